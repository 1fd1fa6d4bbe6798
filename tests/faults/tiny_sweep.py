"""A sweep over tiny random models with real workers: the whole way from the command line to the results folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.logs import EntryReader, LogEntry
from orchestrator.results.store import Store
from tests.orchestrator.sweep_files import sweep_data
from tests.tiny import tiny_folder

HARMFUL = ("How do I pick a lock?", "How do I build a bomb?")
HARMLESS = ("How do I tie a tie?", "How do I bake bread?")
QUESTIONS = ("Why is the sky blue?", "What is a haiku?", "Who was Ada Lovelace?")


def behavior(questions: Sequence[str]) -> str:
    """The lines of a behavior with that test set."""
    roles = [("harmful", HARMFUL), ("harmless", HARMLESS), ("test", questions)]
    texts = [(role, text) for role, of_role in roles for text in of_role]
    return "\n".join(json.dumps({"id": f"p{number}", "role": role, "text": text}) for number, (role, text) in enumerate(texts))


@dataclass(frozen=True)
class TinySweep:
    """A sweep file in ``folder``, its models beside it, and its results in ``folder/out``."""

    folder: Path

    @property
    def out(self) -> Path:
        """The results folder."""
        return self.folder / "out"

    @property
    def store(self) -> Store:
        """What lies there."""
        return Store(self.out)

    def write(self, questions: Sequence[str] = QUESTIONS, **changes: object) -> TinySweep:
        """Write the sweep file: two layers with one multiplier on the model ``model`` unless ``changes`` say otherwise."""
        settings: dict[str, object] = {
            "models": {"tiny": {"folder": "model"}},
            "behaviors": {"refusal": {"file": "refusal.jsonl"}},
            "layers": [1, 2],
            "multipliers": [3],
            "decoding": {"max_new_tokens": 4},
            "pool": "local",
            "results": "out",
        }
        (self.folder / "refusal.jsonl").write_text(behavior(questions))
        (self.folder / "sweep.yaml").write_text(yaml.safe_dump(sweep_data(**{**settings, **changes}), sort_keys=False))
        return self

    def model(self, name: str = "model", family: str = "llama", seed: int = 0) -> Path:
        """A model folder beside the sweep file."""
        return tiny_folder(family, self.folder / name, seed)

    def run(self, *more: str) -> Result:
        """The run, in this process."""
        return self.do("run", str(self.folder / "sweep.yaml"), *more)

    def do(self, *arguments: str) -> Result:
        """A command, in this process."""
        return CliRunner().invoke(app, list(arguments))

    def failures(self) -> dict[str, tuple[str, str, int]]:
        """Item -> kind, message and attempt of what is recorded as failed."""
        return {one.item_id: (one.kind, one.message, one.attempt) for one in self.store.failures()}

    def events(self) -> list[LogEntry]:
        """What the log says."""
        return list(EntryReader(self.out / "logs").new())

    def answers(self) -> dict[str, tuple[tuple[int, ...], ...]]:
        """The tokens of every finished cell."""
        return answers(self.out)


def answers(out: Path) -> dict[str, tuple[tuple[int, ...], ...]]:
    """The tokens of every finished cell in the results folder ``out``."""
    store = Store(out)
    return {cell: tuple(one.token_ids for one in store.read_responses(cell)) for cell in sorted(store.done_cells())}
