"""The tools that a parity study reads a model with: one file each, one line below. Torch-free."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tool:
    """One that runs in the worker's process: where its ``Extractor`` is, ``module:name``, and what it is, in a line."""

    extractor: str
    docs: str

    def load(self) -> Any:
        """The ``actors.extraction.Extractor``."""
        module, _, name = self.extractor.partition(":")
        return getattr(importlib.import_module(module), name)


TOOLS: dict[str, Tool] = {
    "hooks": Tool("actors.extraction.hooks:read_with_hooks", "plain forward hooks on the blocks"),
    "nnsight": Tool("actors.extraction.nnsight:read_with_nnsight", "nnsight, tracing token ids"),
    "pre-hooks": Tool(
        "actors.parity.tools.pre_hooks:read_with_pre_hooks", "hooks on inputs, as baukit's TraceDict(retain_input=True)"
    ),
    "hidden-states": Tool(
        "actors.parity.tools.hidden_states:read_hidden_states", "transformers' output_hidden_states, `hidden_states[1:]`"
    ),
}
