"""How long the tables, the page and the status of a large results folder take, and how much memory.

``python -m benchmarks.tables --cells 20000 --prompts 30 --folder FOLDER``. The folder is made up, with real bytes: every cell's
responses and scores are encoded as a run encodes them; one that is there already is used again. What is measured runs in a
process of its own, whose peak of resident memory is read when it ends. ``--against CHECKOUT``: another checkout of this
program does the same to the same folder first, and the ratio of processor times is told.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from actors.types import CellResult, FiredCheck, Response
from benchmarks.simulation_workload import SIZES, Size, make_workload
from orchestrator.cells import Cell
from orchestrator.plan import Plan
from orchestrator.results.folder import Folder
from orchestrator.results.folder_files import scores_of
from orchestrator.results.parts import StoredScores, encode_responses, encode_scores
from orchestrator.results.rows import axes_of, measures_of, steered_at
from orchestrator.results.store import Store
from orchestrator.scoring.score import Labels, ResponseScore
from orchestrator.scoring.uses import default_scorers

HERE = Path(__file__).parents[1]
NEW_TOKENS = 100
WORDS = ("the", "a", "to", "of", "and", "in", "is", "you", "can", "it", "that", "for", "with", "on", "as", "this", "be", "or")
AT_EXIT = """
import atexit, os, re
status = lambda: re.search("VmHWM:[^0-9]*([0-9]+)", open("/proc/self/status").read())[1]
atexit.register(lambda: print(sum(os.times()[:4]), status(), flush=True))
"""
"""A process tells its peak itself: what its parent is told of it includes the parent's own. Its helpers' time counts."""

STEPS = {
    "tables": "store = Store(folder); store.forget_tables(); store.compact()",
    "page": "from orchestrator.report import write_report; write_report(Store(folder))",
    "status": "from orchestrator.cli import app; app(['status', str(folder)])",
}


@dataclass(frozen=True)
class Cost:
    """What a step took: seconds of wall time and of processors, and the peak of resident memory in MB (10^6 bytes)."""

    seconds: float
    processor: float
    megabytes: float


def make_folder(folder: Path, cells: int, prompts: int, sizes: Sequence[Size] = SIZES) -> None:
    """A finished sweep of ``cells`` cells of ``prompts`` prompts each over models of ``sizes`` in ``folder``, without tables."""
    workload = make_workload(cells, seed=1, transfer=True, sizes=sizes)
    plan = replace(workload.plan, cells=tuple(replace(one, prompts=one.prompts[-prompts:]) for one in workload.plan.cells))
    store = Store(folder)
    store.write_plan(plan)
    for spec in plan.directions:
        store.write_direction(spec, workload.directions[spec.id])
    _write_parts(Folder(folder), plan)


def _write_parts(folder: Folder, plan: Plan) -> None:
    draw, at = random.Random(1), datetime.now(UTC)
    for kind in ("responses", *map(scores_of, default_scorers())):
        (folder.local / kind).mkdir(parents=True)
    for cell in plan.cells:
        result, steered = _result(cell, draw), steered_at(cell.steering)
        measures = measures_of(cell, result, None, 1, at)
        responses = encode_responses(axes_of(cell), steered, measures, result.responses)
        (folder.local / folder.path("responses", cell.id).key).write_bytes(responses)
        for scorer, one in default_scorers().items():
            assert isinstance(one.says, Labels)
            scores = tuple(_score(answer.prompt_id, draw.choice(one.says.names)) for answer in result.responses)
            content = encode_scores(cell.id, StoredScores.of(scorer, one.says, scores, at))
            (folder.local / folder.path(scores_of(scorer), cell.id).key).write_bytes(content)


def _score(prompt_id: str, label: str) -> ResponseScore:
    return ResponseScore(prompt_id, label, None, '{"rule": "phrase", "phrase": "cannot"}', None)


def _result(cell: Cell, draw: random.Random) -> CellResult:
    def response(prompt_id: str, prompt: str) -> Response:
        tokens = tuple(draw.randrange(50_000) for _ in range(NEW_TOKENS))
        text = " ".join(draw.choices(WORDS, k=NEW_TOKENS))
        return Response(prompt_id, prompt, text, tokens, 20, "length")

    responses = tuple(response(one.id, one.text) for one in cell.prompts)
    fired = FiredCheck(True, 1.0, 1.0, 0.0) if cell.steering is not None else FiredCheck(None)
    return CellResult(cell.id, responses, fired, 100.0, 1.0, NEW_TOKENS * len(responses), {"worker": "gpu-0"})


def measured(checkout: Path, code: str) -> Cost:
    """What ``code`` takes with the program in ``checkout``; CalledProcessError when it fails."""
    began = time.perf_counter()
    told = subprocess.run(
        [sys.executable, "-c", AT_EXIT + code],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        check=True,
    )
    processor, peak = told.stdout.split()[-2:]
    return Cost(time.perf_counter() - began, float(processor), float(peak) * 1024 / 1e6)


def cost(step: str, folder: Path, checkout: Path = HERE) -> Cost:
    """What one of ``STEPS`` takes in ``folder``."""
    start = f"from pathlib import Path; from orchestrator.results.store import Store; folder = Path({str(folder.resolve())!r}); "
    return measured(checkout, start + STEPS[step])


def costs(checkouts: Sequence[Path], folder: Path) -> Iterator[tuple[str, list[Cost]]]:
    """Step by step what it takes in each of ``checkouts``."""
    for step in STEPS:
        yield step, [cost(step, folder, one) for one in checkouts]


def main() -> None:
    """Make the folder, measure, print a line per step, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--prompts", type=int, default=30)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not Store(options.folder).there():
        make_folder(options.folder, options.cells, options.prompts)
    checkouts = [*([options.against.resolve()] if options.against else []), HERE]
    found = {}
    for step, taken in costs(checkouts, options.folder):
        told = ", then ".join(
            f"{one.seconds:.1f} s ({one.processor:.1f} s of a processor) and {one.megabytes:.0f} MB" for one in taken
        )
        ratio = f"; processor x {taken[-1].processor / taken[0].processor:.2f}" if options.against else ""
        print(f"{step}: {told}{ratio}")
        found[step] = [vars(one) for one in taken]
    if options.json:
        options.json.write_text(json.dumps({"cells": options.cells, "prompts": options.prompts, "costs": found}, indent=1))


if __name__ == "__main__":
    main()
