"""The stored answers of chosen cells, for people to read: filtered, and beside the answers of other cells to the same prompts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any

import re2

from actors.types import Response
from orchestrator.compare.answer import finished_rows
from orchestrator.compare.comparison import Question
from orchestrator.compare.selection import select
from orchestrator.counting import counted
from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.outcome import in_words
from orchestrator.planned import twin_texts, twins_told
from orchestrator.report.series import cell_text, decoding_text
from orchestrator.results.cell_axes import parts_after
from orchestrator.results.conditions import NAMED
from orchestrator.results.part_axes import side_of
from orchestrator.results.rows import CellRow
from orchestrator.results.store import Store
from orchestrator.scoring import Label
from orchestrator.scoring.pattern import compiled
from orchestrator.storage import Place, UnreadableFileError
from orchestrator.told_values import told_evidence
from orchestrator.untrusted import visible

JSON_VERSION = 1
CHARACTERS = 4000
"""Of an answer that are shown, unless all are asked for."""
_ASIDE = ("variant", "behavior", "prompts_sha256", "max_new_tokens", "samples")
"""What a cell must have in common with the one that it is put beside."""


@dataclass(frozen=True)
class AnswersAsked:
    """Which answers: of the cells in ``selection`` (``compare.selection``), beside those of the cells in ``versus``.

    ``label``: an outcome, or a label by its own name, as a ``Question`` of ``compare`` reads it. ``pattern``: RE2, found anywhere
    in what the model wrote. ``prompts``: ids of prompts. ``changed``: only those whose label is another than beside it.
    """

    selection: str = "all"
    versus: str | None = None
    label: str | None = None
    pattern: str | None = None
    prompts: tuple[str, ...] = ()
    changed: bool = False


@dataclass(frozen=True)
class StoredAnswer:
    """A response, the cell that it is of, and its label (None: it has none yet)."""

    row: CellRow
    response: Response
    label: Label | None

    @property
    def name(self) -> str:
        """The label, by its own name."""
        return "unlabelled" if self.label is None else self.label.label


@dataclass(frozen=True)
class ShownAnswer:
    """An answer and the one that it is put ``beside``; ``same``: the tokens that both begin with."""

    answer: StoredAnswer
    beside: StoredAnswer | None = None

    @property
    def changed(self) -> bool:
        """Whether the two have different labels."""
        return self.beside is not None and self.answer.name != self.beside.name

    @property
    def same(self) -> int:
        """Tokens that both begin with; 0 with nothing beside it."""
        other = () if self.beside is None else self.beside.response.token_ids
        pairs = zip(self.answer.response.token_ids, other, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def answers_of(place: Place, asked: AnswersAsked) -> list[ShownAnswer]:
    """All that are asked for, cell by cell in the order of the tables. InputError for a selection, label, prompt or pattern that
    is none, and where more than one cell could be put beside another."""
    store = Store(place)
    rows = finished_rows(store)
    with twins_told(store.planned().twins):
        chosen = select(rows, asked.selection)
        beside = None if asked.versus is None else select(rows, asked.versus, "--vs")
    if asked.changed and beside is None:
        raise InputError.because("changed against what?", "--changed", allowed="--vs SELECTION, such as --vs baseline")
    found = list(_found(_Answers(store), chosen, beside))
    question = None if asked.label is None else Question(asked.label)
    if question is not None:
        question.check({(one.answer.label.label, one.answer.label.outcome) for one in found if one.answer.label is not None})
    _require_prompts(asked.prompts, found)
    pattern = None if asked.pattern is None else _compiled(asked.pattern)
    return [
        one
        for one in found
        if (question is None or (one.answer.label is not None and question.counts(one.answer.label)))
        and (not asked.prompts or one.answer.response.prompt_id in asked.prompts)
        and (pattern is None or pattern.search(one.answer.response.text))
        and (one.changed or not asked.changed)
    ]


def notes_of(place: Place) -> list[str]:
    """What a person should know of the results beside any answer, a sentence each."""
    return twin_texts(Store(place).planned().twins)


class _Answers:
    """The answers of a cell, read once each."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.of = cache(self._of)

    def _of(self, row: CellRow) -> dict[tuple[str, int], StoredAnswer]:
        """By the prompt and the sample."""
        try:
            responses = self._store.read_responses(row.cell_id)
        except (FileNotFoundError, UnreadableFileError):
            raise InputError.because("its responses cannot be read: `run` makes them anew", row.cell_id) from None
        try:
            labels: Sequence[Label | None] = self._store.read_labels(*row.key)
        except (FileNotFoundError, UnreadableFileError):
            labels = [None] * len(responses)
        pairs = zip(responses, labels, strict=True)
        return {response.key: StoredAnswer(row, response, label) for response, label in pairs}


def _found(answers: _Answers, chosen: Sequence[CellRow], beside: Sequence[CellRow] | None) -> Iterator[ShownAnswer]:
    for row in chosen:
        other = None if beside is None else _partner(row, beside)
        aside: Mapping[tuple[str, int], StoredAnswer] = {} if other is None else answers.of(other)
        for key, answer in answers.of(row).items():
            yield ShownAnswer(answer, aside.get(key))


def _partner(row: CellRow, beside: Sequence[CellRow]) -> CellRow | None:
    """The cell of ``beside`` that ran the same prompts on the same model, of several the one that shares most with ``row``; None
    where that is ``row`` itself, or none is there."""
    fitting = [one for one in beside if all(getattr(one, name) == getattr(row, name) for name in _ASIDE)]
    shared = [sum(getattr(one, name) == getattr(row, name) for name in NAMED) for one in fitting]
    nearest = [one for one, count in zip(fitting, shared, strict=True) if count == max(shared)]
    if len(nearest) > 1:
        several = "; ".join(map(_where, nearest[:3]))
        message = f"{len(nearest)} cells could stand beside {_where(row)}: {several}"
        raise InputError.because(message, "--vs", allowed="a selection that leaves one: baseline, or more columns")
    return nearest[0] if nearest and nearest[0].key != row.key else None


def _require_prompts(asked: Sequence[str], found: Sequence[ShownAnswer]) -> None:
    """InputError for a prompt that none of the chosen cells has."""
    known = list(dict.fromkeys(one.answer.response.prompt_id for one in found))
    problems = [
        Problem("--prompt", value, "none of these answers has it", ", ".join(known[:20]), nearest_name(value, known))
        for value in asked
        if value not in known
    ]
    if problems:
        raise InputError(*problems)


def _compiled(pattern: str) -> Any:
    try:
        return compiled(pattern, ignore_case=True)
    except re2.error:
        raise InputError.because("no regular expression of RE2", "--grep", pattern) from None


def answers_json(found: Sequence[ShownAnswer], shown: int) -> dict[str, object]:
    """The first ``shown`` of them, whole."""
    return {"version": JSON_VERSION, "found": len(found), "answers": [_as_json(one) for one in found[:shown]]}


def answers_lines(found: Sequence[ShownAnswer], shown: int, whole: bool) -> list[str]:
    """The first ``shown`` of them, and how many there are; of each at most ``CHARACTERS`` unless it is to be ``whole``."""
    lines = [line for one in found[:shown] for line in (*_lines(one, None if whole else CHARACTERS), "")]
    labels = Counter(one.answer.name for one in found)
    counts = ", ".join(f"{count} {in_words(name)}" for name, count in labels.most_common())
    rest = f"; {shown} shown, --limit shows more" if len(found) > shown else ""
    return [*lines, f"{counted(len(found), 'answer')}: {counts}{rest}" if found else "no answer meets this"]


def _lines(one: ShownAnswer, limit: int | None) -> Iterator[str]:
    answer = one.answer
    which = f", sample {answer.response.sample}" if answer.row.samples > 1 else ""
    yield f"{_where(answer.row)} · {visible(answer.response.prompt_id)}{which}: {visible(answer.response.prompt, 300)}"
    yield from _said(answer, limit)
    if one.beside is not None:
        yield f"  beside {_where(one.beside.row)}, the same for {one.same} tokens:"
        yield from _said(one.beside, limit)


def _said(answer: StoredAnswer, limit: int | None) -> Iterator[str]:
    """The label with its evidence, then the text."""
    response = answer.response
    cut = {"stop": "", "length": ", cut off", "thought": ", cut off in its thought"}[response.finish_reason]
    why = "" if answer.label is None else f"  {visible(told_evidence(answer.label.evidence), 200)}"
    yield f"  [{in_words(answer.name)}]{why}  {len(response.token_ids)} tokens{cut}{_acted(answer)}"
    yield from (f"  | {line}" for line in visible(response.text, limit, keep_lines=True).split("\n"))


def _acted(answer: StoredAnswer) -> str:
    """Whether the steering acted on this prompt, and why, where it has a condition; of several parts, of each one."""
    row, response = answer.row, answer.response
    whens = [row.when, *(part.get("when", "") for part in parts_after(row))]
    if not response.acted or not any(whens):
        return ""
    cosines, thresholds = iter(response.cosines), iter(row.thresholds or ())
    told = []
    for acted, when in zip(response.acted, whens, strict=True):
        why = _why(when, acted, next(cosines, None), next(thresholds, None)) if when else ""
        told.append(f"{'steered' if acted else 'not steered'}{why}")
    return ", " + (told[0] if len(told) == 1 else ", ".join(f"part {n} {one}" for n, one in enumerate(told, start=1)))


def _why(when: str, acted: bool, cosine: float | None, threshold: float | None) -> str:
    """`` (cosine 0.312, above 0.250)``; empty where it was not stored."""
    if cosine is None or threshold is None:
        return ""
    return f" (cosine {cosine:.3f}, {'' if acted else 'not '}{side_of(when)} {threshold:.3f})"


def _where(row: CellRow) -> str:
    """The cell in words: ``qwen nf4 · refusal · dim L15+ x 8``."""
    model = row.model if row.quantization == "none" else f"{row.model} {row.quantization}"
    whose = f" of {row.steers}" if row.steers else ""
    own = " own directions" if row.scope == "own" else ""
    steered = f"{row.method}{whose}{own} {cell_text(row)}" if row.steered else "unsteered"
    asked = f" asked {row.asked}" if row.asked else ""
    action = f" {row.action}" if row.action else ""
    drawn = f", {decoding_text(row)}" if row.temperature else ""
    return visible(f"{model} · {row.behavior}{asked} · {steered}{action}{drawn}")


def _as_json(one: ShownAnswer) -> dict[str, object]:
    beside = None if one.beside is None else {**_stored_json(one.beside), "same_tokens": one.same}
    return {**_stored_json(one.answer), "beside": beside}


def _stored_json(one: StoredAnswer) -> dict[str, object]:
    row, response, label = one.row, one.response, one.label
    return {
        "cell_id": row.cell_id,
        "cell": _where(row),
        "prompt_id": response.prompt_id,
        "sample": response.sample,
        "prompt": response.prompt,
        "response": response.text,
        "new_tokens": len(response.token_ids),
        "finish_reason": response.finish_reason,
        "acted": list(response.acted),
        "condition_cosines": list(response.cosines),
        "thresholds": list(row.thresholds or ()) if response.cosines else [],
        "label": None if label is None else label.label,
        "outcome": None if label is None else label.outcome,
        "evidence": None if label is None else json.loads(label.evidence),
    }
