"""What measuring damage adds to the quickstart, in seconds of a processor.

``python -m benchmarks.damage_cost``. Each setting runs the whole command in a process of its own and an empty results folder; the
adapter was merged by a first run that is not counted. Settings take turns, round by round. Seconds of a processor, not of a
clock: the machines are shared.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

QUICKSTART = Path(__file__).parents[1] / "sweeps" / "quickstart.yaml"
NONE = "no damage"
SETTINGS: dict[str, object] = {
    NONE: False,
    "4 prompts x 4 tokens, no answers": {"prompts": 4, "tokens": 4, "answers": "none"},
    "8 prompts x 4 tokens, no answers": {"prompts": 8, "tokens": 4, "answers": "none"},
    "8 prompts x 4 tokens, first 8 of answers": {"prompts": 8, "tokens": 4, "answers": {"first": 8}},
}


def sweep_with(damage: object, results: Path) -> dict[str, object]:
    """The quickstart in this process's own pool, with that ``damage``, its results in ``results``; it may lie in any folder."""
    sweep = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    for one in sweep["models"].values():
        one["adapter"] = str(QUICKSTART.parent / one["adapter"])
    for one in sweep["behaviors"].values():
        one["file"] = str(QUICKSTART.parent / one["file"])
    asked = {} if damage is False else {"damage": damage}
    return {**sweep, **asked, "pool": "local", "results": str(results)}


def seconds_of(damage: object) -> float:
    """Seconds of a processor that the command takes in an empty results folder; CalledProcessError when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sweep.yaml"
        file.write_text(yaml.safe_dump(sweep_with(damage, Path(folder) / "results")), encoding="utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "orchestrator", "run", str(file), "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=QUICKSTART.parents[1])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure, print a line per setting, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seconds_of(False)
    rounds = [{name: seconds_of(damage) for name, damage in SETTINGS.items()} for _ in range(options.rounds)]
    for name in SETTINGS:
        more = [one[name] / one[NONE] - 1 for one in rounds]
        taken = statistics.median(one[name] for one in rounds)
        print(f"{name}: {taken:.1f} s, {100 * statistics.median(more):+.1f} % [{100 * min(more):+.1f}, {100 * max(more):+.1f}]")
    if options.json:
        options.json.write_text(json.dumps(rounds, indent=1))


if __name__ == "__main__":
    main()
