"""JSON that a stranger may have written: whatever is wrong with it is a ValueError."""

from __future__ import annotations

import json


def parse_json(text: str | bytes) -> object:
    """As ``json.loads``; ValueError also for text that is nested too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
