"""How well the rules label: precision, recall and kappa with 95 % intervals on texts that people or a reader have labelled.

``--xstest`` takes a clone of github.com/paul-rottger/exaggerated-safety, whose completions of five models two people annotated
each (Röttger et al. 2024, CC-BY-4.0; the completions are under their models' licences): full compliance is held against full
refusal, and what the rules say of partial refusals stands apart.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator.scoring.known import FILE
from tests.orchestrator.scoring.judged import TEXT
from tests.orchestrator.scoring.labelled import (
    HARD_GROUPS,
    HELD_OUT_GROUPS,
    MANNERS,
    SOUGHT,
    STEERED,
    TYPICAL,
    WARM,
    Labelled,
    load,
    score,
)

_XSTEST = "xstest_v2_completions_"
_LABELS = {"1_full_compliance": "normal", "2_full_refusal": "coherent_refusal"}
XSTEST = "XSTest's answers of three models, labelled by its authors"
READ_IN_TUNING = frozenset({"llama2orig", "mistralguard"})
"""Models of whose completions the misses were read while rules were written; those of the others were not."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures of every set."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_quality", description=__doc__)
    parser.add_argument("--xstest", type=Path, help="clone of github.com/paul-rottger/exaggerated-safety")
    parser.add_argument("--write", action="store_true", help="write what the report page tells, which takes --xstest, too")
    options = parser.parse_args(arguments)
    if options.write and options.xstest is None:
        parser.error("--write takes --xstest")
    if options.xstest is not None and not annotated(options.xstest):
        parser.error(f"no model_completions/{_XSTEST}*.csv in {options.xstest}")
    for title, items in _sets():
        print(score(TEXT, items).show(title))
    if options.xstest is None:
        return
    of_models = completions_of(options.xstest)
    print("\n".join(xstest(of_models)))
    if options.write:
        sets = {**held_out(), XSTEST: unread(of_models)}
        write_known(TEXT.signature, {name: counts(items) for name, items in sets.items()})


def write_known(classifier: str, tables: Mapping[str, Mapping[str, Mapping[str, int]]]) -> None:
    """Put the counts of ``classifier`` in the place of those of any other version of its first scorer."""
    kind = classifier.partition("@")[0]
    others = {name: sets for name, sets in json.loads(FILE.read_text()).items() if name.partition("@")[0] != kind}
    sets = [{"name": name, "table": table} for name, table in tables.items()]
    FILE.write_text(json.dumps({**others, classifier: sets}, indent=1) + "\n", encoding="utf-8")


def held_out() -> dict[str, list[Labelled]]:
    """The sets that the report page tells of and that are in the repository, by what they are called there."""
    return {
        "steered answers until they break": [item for item in load(STEERED) if item.half == "held_out"],
        "answers of a warmer adapter": list(load(WARM)),
        "refusals and answers in usual wordings, in 27 languages": [item for item in load(TYPICAL) if item.half == "held_out"],
        "refusals and answers in wordings sought to be mistaken": _of_batch(18),
        "refusals and answers sought to look alike": [item for item in load(SOUGHT) if item.half == "held_out"],
    }


def _of_batch(number: int) -> list[Labelled]:
    return [item for item in load(MANNERS) if item.note == f"batch {number}, held_out"]


def counts(items: Sequence[Labelled]) -> dict[str, dict[str, int]]:
    """How many of ``items`` a reader labels so and the rules so."""
    return by_truth(score(TEXT, items).table)


def by_truth(table: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """The counts of a table of pairs, a reader's label and another one."""
    labels = sorted({truth for truth, _ in table})
    return {truth: {given: n for (of, given), n in sorted(table.items()) if of == truth} for truth in labels}


def unread(of_models: Mapping[str, Sequence[Labelled]]) -> list[Labelled]:
    """Of XSTest's completions those that two people call full refusals or full compliance, of the models that were not read."""
    found = (item for model, items in of_models.items() if model not in READ_IN_TUNING for item in items)
    return [item for item in found if item.label != "partial"]


def _sets() -> Iterator[tuple[str, list[Labelled]]]:
    responses, manners = load(), [item for item in load(MANNERS) if item.source not in HARD_GROUPS]
    for name, items in (("responses", list(responses)), ("manners", manners), ("steered", list(load(STEERED)))):
        for half in ("dev", "held_out"):
            yield f"{name}, {half}", [item for item in items if item.half == half]
    yield "a warm adapter and its base, wholly held out", list(load(WARM))
    yield "manners, groups wholly held out", [item for item in manners if item.source in HELD_OUT_GROUPS]
    yield "wordings that nobody listed, wholly held out", _of_batch(18)
    for half in ("dev", "held_out"):
        yield f"usual wordings, {half}", [item for item in load(TYPICAL) if item.half == half]
        yield f"sought to look alike, {half}", [item for item in load(SOUGHT) if item.half == half]
    yield "manners, hard cases", [item for item in load(MANNERS) if item.source in HARD_GROUPS]


def xstest(of_models: Mapping[str, Sequence[Labelled]]) -> Iterator[str]:
    """The figures on XSTest's annotated completions, a model at a time, and of the models that were not read together."""
    for model, items in of_models.items():
        judged = [item for item in items if item.label != "partial"]
        yield f"XSTest, {model}" + (" (read in tuning)" if model in READ_IN_TUNING else "")
        yield score(TEXT, judged).show("  full refusal or full compliance").partition("\n  differ")[0]
        partial = Counter(TEXT.label("p", "", i.response, "stop").label for i in items if i.label == "partial")
        yield f"  partial refusals are labelled {dict(partial)}"
    yield score(TEXT, unread(of_models)).show("XSTest, models not read in tuning").partition("\n  differ")[0]


def annotated(folder: Path) -> list[Path]:
    """The files of annotated completions in a clone, one of each model."""
    return sorted(folder.glob(f"model_completions/{_XSTEST}*.csv"))


def completions_of(folder: Path) -> dict[str, list[Labelled]]:
    """The annotated completions in a clone, by their model."""
    models = {file.stem.removeprefix(_XSTEST): file for file in annotated(folder)}
    return {model: list(completions(file, model)) for model, file in models.items()}


def completions(file: Path, model: str) -> Iterator[Labelled]:
    """The completions of a model; what people call a partial refusal is labelled ``partial``."""
    with file.open(encoding="utf-8", newline="") as opened:
        for row in csv.DictReader(opened):
            label = _LABELS.get(row["final_label"], "partial")
            yield Labelled(row["id"], row["prompt"], row["completion"], label, f"xstest:{model}", row["type"])


if __name__ == "__main__":
    main()
