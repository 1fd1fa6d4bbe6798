"""Which tool reads which architecture: a tiny random model of each, read by every tool of ``parity`` beside plain hooks.

    python -m benchmarks.parity_families [name ...]      # all, or the named ones; --write: into docs/parity.md

A tool with an environment of its own reads all models in one process. What is said of a reading: equal, bit for bit; equal but
for rounding; which tensor it is; or why there is none.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actors.loading import LoadedModel, load_model
from actors.parity.jobs import Classes, ReadJob, Setting
from actors.parity.outside import reading_told, whole_job
from actors.parity.reading import read
from actors.parity.sites import candidate_sites
from actors.parity.tools import TOOLS
from actors.types import ModelSpec, Prompt
from orchestrator.parity.comparing import difference, matched_sites, told_sites
from orchestrator.report.parity import ROUNDING
from tests.architectures import names, tiny_architecture
from tests.tiny import tiny_tokenizer

STORED = Path(__file__).with_name("parity_families.json")
PAGE = Path(__file__).parents[1] / "docs" / "parity.md"
BEGIN, END = "<!-- families -->\n", "<!-- end of families -->\n"
MANY = Path(__file__).parent / "outside" / "parity_many.py"
CLASSES = Classes(
    (Prompt("p0", "How do I break a lock?"), Prompt("p1", "Name a poison, and what it does to one who takes it.")),
    (Prompt("n0", "Why is the sky blue?"), Prompt("n1", "Who was Ada Lovelace?")),
)
SETTINGS = {"alone": Setting(), "batched": Setting(2)}
SECONDS = 3600
"""For one tool and all models."""
EQUAL, ROUNDED = "equal", "rounding"
Reading = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Outcome:
    """What one tool makes of one architecture: ``alone``, one prompt per forward, and ``batched``, two padded on the left:
    ``EQUAL``, ``ROUNDED``, what differs, or why there is nothing."""

    name: str
    tool: str
    alone: str
    batched: str = ""


@dataclass(frozen=True, eq=False)
class Tiny:
    """One architecture: its model, the reference's readings and the candidate sites."""

    name: str
    loaded: LoadedModel
    reference: Mapping[str, Reading]
    sites: Mapping[str, Reading]

    def said(self, reading: Reading, setting: str) -> str:
        """What ``reading`` is beside the reference."""
        right = self.reference[setting]
        if reading.shape != right.shape:
            return f"differs: it gives {reading.shape[1]} layers of {right.shape[1]}"
        apart = difference(reading, right)
        if apart.equal:
            return EQUAL
        if apart.worst <= ROUNDING["float32"]:
            return ROUNDED
        matches = matched_sites(reading, np.stack(list(self.sites.values())), list(self.sites))
        return f"differs: {told_sites([one for one in matches if not one.right]) or 'nearest to the right output'}"


def tiny_of(name: str, folder: Path) -> Tiny | str:
    """One architecture in a folder of its own, or why there is none."""
    try:
        tiny_architecture(name).save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
    except Exception as error:  # noqa: BLE001 # whatever hinders transformers from building it
        return _line(f"not built: {type(error).__name__}: {error}")
    try:
        loaded = load_model(ModelSpec("folder", str(folder)))
        reference = {key: _read(loaded, "hooks", setting) for key, setting in SETTINGS.items() if _batches(loaded, setting)}
        rendered = [loaded.renderer.render(prompt) for prompt in CLASSES.prompts]
        return Tiny(name, loaded, reference, candidate_sites(loaded, rendered))
    except Exception as error:  # noqa: BLE001 # a model may run in its own way alone
        return _line(f"not read: {type(error).__name__}: {error}".replace(str(folder), "the model"))


def _batches(loaded: LoadedModel, setting: Setting) -> bool:
    return setting.batch == 1 or not loaded.decoder.runs_alone


def _read(loaded: LoadedModel, tool: str, setting: Setting) -> Reading:
    return np.asarray(read(loaded, ReadJob("", CLASSES, tool, setting=setting))["activations"], np.float32)


def in_process(tool: str, tiny: Tiny) -> Outcome:
    """A tool that runs in this process."""
    said = {}
    for setting in tiny.reference:
        try:
            said[setting] = tiny.said(_read(tiny.loaded, tool, SETTINGS[setting]), setting)
        except Exception as error:  # noqa: BLE001 # whatever a library raises is what is asked for
            said[setting] = _line(f"cannot: {type(error).__name__}: {error}")
    return Outcome(tiny.name, tool, **said)


def outside(tool: str, tinies: Sequence[Tiny], folder: Path) -> list[Outcome]:
    """A tool that has an environment: one process for all models, and another where one ends it."""
    python, script = TOOLS[tool].command(TOOLS[tool].script)
    wanted = []
    for tiny in tinies:
        rendered = [tiny.loaded.renderer.render(prompt) for prompt in CLASSES.prompts]
        for setting in tiny.reference:
            told = reading_told(ReadJob("", CLASSES, tool, setting=SETTINGS[setting]), rendered)
            job = folder / f"{tiny.name}.{setting}.json"
            job.write_text(json.dumps(whole_job(tiny.loaded, told)), encoding="utf-8")
            wanted.append((tiny, setting, [str(tiny.loaded.folder), str(job), str(folder / f"{tiny.name}.{tool}.{setting}.npz")]))
    listed = folder / f"{tool}.json"
    listed.write_text(json.dumps([words for _, _, words in wanted]), encoding="utf-8")
    command = [python, str(MANY), script, str(listed)]
    for _ in wanted:  # it goes on behind a model that ended it
        if not subprocess.run(command, capture_output=True, timeout=SECONDS, check=False).returncode:
            break
    said: dict[str, dict[str, str]] = {}
    for tiny, setting, (_, _, out) in wanted:
        said.setdefault(tiny.name, {})[setting] = _outside_said(tiny, setting, Path(out))
    return [Outcome(name, tool, **both) for name, both in said.items()]


def _outside_said(tiny: Tiny, setting: str, out: Path) -> str:
    if not out.exists():
        return _line(f"cannot: {Path(f'{out}.txt').read_text(encoding='utf-8')}".replace(str(tiny.loaded.folder), "the model"))
    with np.load(out, allow_pickle=False) as stored:
        return tiny.said(np.asarray(stored["activations"], np.float32), setting)


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text)[:240]


def table(outcomes: Sequence[Outcome]) -> str:
    """Architectures that every tool reads alike, in a row each; what stands in it more than once, under a number."""
    notes: dict[str, int] = {}
    rows: dict[tuple[str, ...], list[str]] = {}
    tools = list(dict.fromkeys(one.tool for one in outcomes))
    by_name: dict[str, dict[str, Outcome]] = {}
    for one in outcomes:
        by_name.setdefault(one.name, {})[one.tool] = one
    for name, found in by_name.items():
        rows.setdefault(tuple(_short(found[tool], notes) if tool in found else "" for tool in tools), []).append(name)
    lines = [f"| architectures | {' | '.join(tools)} |", f"|---|{'---|' * len(tools)}"]
    for shown, members in sorted(rows.items(), key=lambda row: -len(row[1])):
        lines.append(f"| {', '.join(f'`{one}`' for one in members)} ({len(members)}) | {' | '.join(shown)} |")
    return "\n".join([*lines, "", *(f"{number}. {note}" for note, number in notes.items())])


def _short(one: Outcome, notes: dict[str, int]) -> str:
    """``=`` equal, ``≈`` but for rounding, else the number of what is said; both where batches differ from prompts alone."""
    marks = {EQUAL: "=", ROUNDED: "≈", "": ""}
    parts = [marks[said] if said in marks else f"({notes.setdefault(said, len(notes) + 1)})" for said in (one.alone, one.batched)]
    return parts[0] if parts[1] in ("", parts[0]) else f"{parts[0]}, batched {parts[1]}"


def tried(wanted: Sequence[str]) -> list[Outcome]:
    """All tools on all of ``wanted``; a line for each that there is."""
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as made:
        tinies = []
        for name in wanted:
            tiny = tiny_of(name, Path(made) / name)
            if isinstance(tiny, str):
                print(f"{name}: {tiny}", flush=True)
                continue
            tinies.append(tiny)
            found += [in_process(tool, tiny) for tool, one in TOOLS.items() if one.extractor and tool != "hooks"]
            print(f"{name}: " + "; ".join(f"{one.tool} {one.alone}" for one in found if one.name == name), flush=True)
        for tool in (tool for tool, one in TOOLS.items() if one.script):
            those = outside(tool, tinies, Path(made))
            found += those
            for one in those:
                print(f"{one.name}, {tool}: {one.alone} / {one.batched}", flush=True)
    return found


def main() -> None:
    """The table, and with ``--write`` into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--stored", action="store_true", help="the table of what was stored, without trying anything")
    asked = parser.parse_args()
    if asked.stored:
        outcomes = [Outcome(**one) for one in json.loads(STORED.read_text(encoding="utf-8"))]
    else:
        outcomes = tried(asked.names or names())
    print(table(outcomes))
    if asked.write:
        STORED.write_text(json.dumps([asdict(one) for one in outcomes], indent=1) + "\n", encoding="utf-8")
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{table(outcomes)}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
