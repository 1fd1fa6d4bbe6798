"""The section ``parity`` of a sweep file: which tools read its models beside each other."""

from __future__ import annotations

from dataclasses import dataclass

from actors.parity.tools import TOOLS
from orchestrator.sweep_file.schema import ParityEntry
from orchestrator.sweep_file.sections import Sections


@dataclass(frozen=True)
class AskedParity:
    """``tools`` by name; as many contrast ``prompts`` of each class at most; what else is asked, as of a ``ParityEntry``."""

    tools: tuple[str, ...]
    prompts: int
    faults: bool
    pairs: bool
    steering: bool
    rates: float | None = None


def resolve_parity(top: Sections) -> AskedParity | None:
    """What a sweep file asks for; None where it has no such section."""
    entry: ParityEntry | None = top.valid("parity")
    if entry is None:
        return None
    tools = tuple(TOOLS) if entry.tools is None else tuple(dict.fromkeys(entry.tools))
    for number, name in enumerate(entry.tools or ()):
        if name not in TOOLS:
            top.report_unknown(("parity", "tools", number), name, "tool", list(TOOLS))
    return AskedParity(tools, entry.prompts, entry.faults, entry.pairs, entry.steering, entry.rates)
