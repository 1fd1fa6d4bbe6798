"""A method with its options as it is written in tables: only what differs from the method's own defaults."""

from __future__ import annotations

import json

from actors.methods import METHODS
from actors.sites import EVERYWHERE, OUTPUT


def method_text(method: str | None, options: str | None) -> str:
    """``cosmic``, or ``cosmic (ablation affine)``; ``options`` is the JSON object of ``cells.parquet``."""
    changed = options_text(method, options)
    return f"{method or ''} ({changed})" if changed else method or ""


def options_text(method: str | None, options: str | None, acts_in: str | None = None) -> str:
    """``ablation affine, kl_limit 0.2``; empty when all options are the method's defaults. Of a direction that ``acts_in`` a
    site, the site where it was read is told only where that is another one."""
    given = json.loads(options or "{}")
    known = METHODS.get(method or "")
    defaults = {} if known is None else json.loads(known.options().model_dump_json())
    if acts_in is not None and "site" in defaults:
        defaults["site"] = OUTPUT if acts_in == EVERYWHERE else acts_in
        given = {"site": OUTPUT, **given}
    return ", ".join(
        f"{name} {value if isinstance(value, str) else json.dumps(value)}"
        for name, value in given.items()
        if name not in defaults or defaults[name] != value
    )
