"""The sweeps that the chaos runs run: tiny random models, several grids, directions carried both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.orchestrator.sweep_files import sweep_data, write_sweep
from tests.tiny import tiny_folder

PROMPTS = 6
WIDE = {"name": "wide", "methods": ["dim", "pca"], "layers": [1, 2, 3], "multipliers": [2, 4, 8], "extractor": "nnsight"}
TRANSFER = {
    "name": "transfer",
    "baseline": False,
    "layers": [2],
    "multipliers": [4],
    "extractor": "hooks",
    "transfer": [{"source": "one", "target": "two"}, {"source": "two", "target": "one"}],
}
COSMIC = {"name": "cosmic", "options": {"kl_limit": None, "positions": 3}}
CHOSEN = {"name": "chosen", "baseline": False, "methods": [COSMIC], "layers": [2], "multipliers": [3], "extractor": "hooks"}
"""Its extraction tries layers out, so it lasts long enough to be hit."""
NARROW = {"name": "narrow", "layers": [1, 2, 3], "multipliers": [2, 4, 8]}


@dataclass(frozen=True)
class Asked:
    """A sweep file, and how many cells and direction sets it asks for (each cell has ``PROMPTS`` prompts)."""

    path: Path
    cells: int
    directions: int

    @property
    def rows(self) -> int:
        """One per cell and prompt."""
        return self.cells * PROMPTS


def wide_sweep(folder: Path) -> Asked:
    """Two models of two families. Each has its baseline, two methods at nine settings, a third method, a direction of the other
    model, and beside that its own."""
    path = _write(folder, {"one": "llama", "two": "qwen2"}, [WIDE, TRANSFER, CHOSEN])
    return Asked(path, cells=2 * (1 + 2 * 9 + 1 + 2), directions=2 * 4)


def narrow_sweep(folder: Path) -> Asked:
    """One model, one method at nine settings, and the baseline."""
    return Asked(_write(folder, {"one": "llama"}, [NARROW]), cells=10, directions=1)


def _write(folder: Path, families: Mapping[str, str], grids: Sequence[Mapping[str, object]]) -> Path:
    for seed, (name, family) in enumerate(families.items()):
        tiny_folder(family, folder / name, seed)
    data = sweep_data(
        name="chaos",
        models={name: {"folder": str(folder / name)} for name in families},
        behaviors={"refusal": {"file": "refusal.jsonl", "limit": PROMPTS}},
        layers=None,
        multipliers=None,
        grids=list(grids),
        decoding={"max_new_tokens": 24},
        engine={"slots": 16, "threads": 1},
    )
    return write_sweep(folder, data)
