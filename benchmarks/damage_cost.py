"""What measuring damage adds to the quickstart, in seconds of a processor.

``python -m benchmarks.damage_cost``. Each setting runs the whole command in a process of its own and an empty results folder; the
adapter was merged by a first run that is not counted. Settings take turns, round by round, each round in the other order.
Seconds of a processor, not of a clock: the machines are shared. ``--json FILE`` keeps the rounds and goes on with those that the
file has, so that a measurement may be made of several short calls; ``--seconds`` ends a call before a round that would not fit.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from orchestrator.statistics import mean_of

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
    parser.add_argument("--rounds", type=int, default=3, help="at most so many in this call")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="so long by the clock at most")
    parser.add_argument("--only", choices=[one for one in SETTINGS if one != NONE], help="this setting beside none")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started, longest = time.monotonic(), 0.0
    names = [NONE, options.only] if options.only else list(SETTINGS)
    rounds = json.loads(options.json.read_text()) if options.json and options.json.exists() else []
    seconds_of(False)
    for number in range(options.rounds):
        before = time.monotonic()
        if before + longest > started + options.seconds:
            break
        rounds.append({name: seconds_of(SETTINGS[name]) for name in names[:: 1 if number % 2 else -1]})
        longest = max(longest, time.monotonic() - before)
        if options.json:
            options.json.write_text(json.dumps(rounds, indent=1))
    print("\n".join(told(rounds)))


def told(rounds: Sequence[Mapping[str, float]]) -> Iterator[str]:
    """A line per setting: the median of its seconds, and of what it adds in a round to the run without, with the range and the
    95 % interval of the mean."""
    for name in SETTINGS:
        both = [one for one in rounds if name in one]
        more = [100 * (one[name] / one[NONE] - 1) for one in both]
        if not more:
            continue
        line = f"{name}: {statistics.median(one[name] for one in both):.1f} s, {statistics.median(more):+.1f} %"
        line += f" [{min(more):+.1f}, {max(more):+.1f}] in {len(more)} rounds"
        mean = mean_of(more, [str(number) for number in range(len(more))])
        yield line + ("" if mean.low is None else f", mean {mean.value:+.1f} % [{mean.low:+.1f}, {mean.high:+.1f}]")


if __name__ == "__main__":
    main()
