"""Which tool reads which architecture: a tiny random model of each, read by every tool of ``parity`` beside plain hooks.

    python -m benchmarks.parity_families [name ...] [--tools a,b] [--write]      # all, or the named ones; into docs/parity.md

A tool with an environment of its own reads all models in one process. What is said of a reading: equal, bit for bit; equal but
for rounding; which tensor it is; or why there is none.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actors.catalogue import FAMILIES
from actors.loading import LoadedModel, load_model
from actors.parity.jobs import Classes, ReadJob, Setting
from actors.parity.outside import reading_told, whole_job
from actors.parity.reading import read
from actors.parity.sites import candidate_sites
from actors.parity.tools import TOOLS
from actors.types import ModelSpec, Prompt
from orchestrator.parity.comparing import difference, matched_sites, told_sites
from orchestrator.parity.study import REFERENCE
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
WORDS = 130
"""Characters of a reason that the table has."""
EQUAL, ROUNDED, NONE = "equal", "rounding", "unknown"
UNKNOWN = ("cannot: KeyError: <class", "Could not determine supported architecture", "Transformers does not recognize")
"""How tools say that they know no such architecture."""
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
        matches = matched_sites(reading, np.stack(list(self.sites.values())), list(self.sites)) if self.sites else []
        wrong = told_sites([one for one in matches if not one.right])
        return f"differs: {wrong}" if wrong else f"differs by {apart.worst:.0e}, relative, from the right output"


def tiny_of(name: str, folder: Path) -> Tiny | str:
    """One architecture in a folder of its own, or why there is none."""
    try:
        tiny_architecture(name).save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
    except Exception as error:  # noqa: BLE001 # whatever hinders transformers from building it
        return _line(f"not built: {type(error).__name__}: {error}")
    try:
        loaded = load_model(ModelSpec("folder", str(folder)))
        reference = {key: _read(loaded, REFERENCE, setting) for key, setting in SETTINGS.items() if _batches(loaded, setting)}
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
    """A row for architectures that every tool reads alike, where they are several or in the catalogue; numbers stand for what is
    said below."""
    notes: dict[str, int] = {}
    rows: dict[tuple[str, ...], list[str]] = {}
    tools = list(dict.fromkeys(one.tool for one in outcomes))
    by_name: dict[str, dict[str, Outcome]] = {}
    for one in outcomes:
        by_name.setdefault(one.name, {})[one.tool] = one
    for name, found in by_name.items():
        rows.setdefault(tuple(_said(found[tool]) if tool in found else "" for tool in tools), []).append(name)
    shown = {said: those for said, those in rows.items() if len(those) > 1 or those[0] in FAMILIES}
    lines = [f"| architectures | {' | '.join(tools)} |", f"|---|{'---|' * len(tools)}"]
    for said, members in sorted(shown.items(), key=lambda row: -len(row[1])):
        marks = [_NUMBERED.sub(lambda one: f"({notes.setdefault(one[1], len(notes) + 1)})", one) for one in said]
        lines.append(f"| {', '.join(f'`{one}`' for one in members)} ({len(members)}) | {' | '.join(marks)} |")
    left = sum(map(len, rows.values())) - sum(map(len, shown.values()))
    rest = [f"{left} more, which are read like no other: `benchmarks/parity_families.json`.", ""] if left else []
    return "\n".join([*lines, "", *rest, *(f"{number}. {note}" for note, number in notes.items())])


def _said(one: Outcome) -> str:
    """``=`` equal, ``≈`` but for rounding, ``–`` not known, else what is said, in braces; both where batches differ."""
    marks = {EQUAL: "=", ROUNDED: "≈", NONE: "–", "": ""}
    parts = [marks.get(words, f"{{{words}}}") for words in map(_general, (one.alone, one.batched))]
    return parts[0] if parts[1] in ("", parts[0]) else f"{parts[0]}, batched {parts[1]}"


_NUMBERED = re.compile(r"\{(.*?)\}(?=, batched|$)")


def _general(said: str) -> str:
    """Without the names and numbers of one model."""
    if not said.startswith("cannot"):
        return said
    if any(words in said for words in UNKNOWN):
        return NONE
    told = re.sub(r"<class '[^']*'>", "its class", said.partition(" Available")[0])
    told = re.sub(r"'[^' ]*'|\b[A-Z]\w*(?:ForCausalLM|LMHeadModel|Model|Config|Adapter|Attention|Layer|Block)\b", "'...'", told)
    told = re.sub(r"(?:'\.\.\.'|\w+)\($", "the model has no module of a name that it knows", told)
    told = told.replace("Traceback (most recent call last):", "an error in the model's forward")
    return re.sub(r"\d+", "#", told)[:WORDS].strip()


def stored() -> list[Outcome]:
    """What was measured last."""
    if not STORED.exists():
        return []
    return [Outcome(**one) for one in json.loads(STORED.read_text(encoding="utf-8"))]


def tried(wanted: Sequence[str], tools: Sequence[str]) -> Iterator[Outcome]:
    """What ``tools`` make of ``wanted``; a line for each."""
    with tempfile.TemporaryDirectory() as made:
        tinies = []
        for name in wanted:
            tiny = tiny_of(name, Path(made) / name)
            if isinstance(tiny, str):
                print(f"{name}: {tiny}", flush=True)
                continue
            tinies.append(tiny)
            yield from (_told(in_process(tool, tiny)) for tool in tools if TOOLS[tool].extractor)
        for tool in tools:
            if TOOLS[tool].script:
                yield from map(_told, outside(tool, tinies, Path(made)))


def _told(one: Outcome) -> Outcome:
    print(f"{one.name}, {one.tool}: {one.alone} / {one.batched}", flush=True)
    return one


def main() -> None:
    """The table of what is stored; with names or tools, these are tried first."""
    known = [tool for tool in TOOLS if tool != REFERENCE]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--tools", default=",".join(known), help="only these, with commas between them; none: nothing is tried")
    parser.add_argument("--write", action="store_true", help="into the page")
    asked = parser.parse_args()
    found = {(one.name, one.tool): one for one in stored()}
    tools = [tool for tool in asked.tools.split(",") if tool]
    for one in tried(asked.names or names(), tools) if tools else ():
        found[one.name, one.tool] = one
    outcomes = sorted(found.values(), key=lambda one: (one.name, known.index(one.tool)))
    print(table(outcomes))
    if asked.write:
        lines = ",\n".join(json.dumps(asdict(one)) for one in outcomes)
        STORED.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{table(outcomes)}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
