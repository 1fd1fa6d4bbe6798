"""The answers that are packed into the page: all of them, whole, with labels, and what they share with the unsteered ones."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.types import Decoding, Response
from orchestrator.report.browser import packing
from orchestrator.report.browser.packing import ABSENT, CUT_OFF, NO_LABEL, PackedAnswers, packed_answers
from orchestrator.results.store import Store
from tests.orchestrator.samples import cell, filled, grid, plan_of, result_of

COUNTS = {None: (0, 0), (12, 2.0): (0, 0), (12, 8.0): (1, 9), (15, 2.0): (4, 0), (15, 8.0): (9, 1)}


def opened(text: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(text)))


def packed(store: Store) -> PackedAnswers:
    store.compact()
    found = packed_answers(store, store.cell_rows())
    assert found is not None
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return filled(tmp_path, grid(), COUNTS)


def test_every_answer_and_its_label(store: Store) -> None:
    found = packed(store)
    (group,) = opened(found.index)["groups"]
    labels = base64.b64decode(group["labels_of"])
    names = [one["name"] for one in group["labels"]]
    stored = {row.cell_id: store.read_labels(*row.key) for row in store.cell_rows()}
    for number, one in enumerate(group["cells"]):
        responses = store.read_responses(one["id"])
        answers = opened(found.packs[one["pack"]])[one["place"]]
        assert [answer[0] for answer in answers] == [response.text for response in responses]
        assert [row["id"] for row in group["rows"]] == [response.prompt_id for response in responses]
        codes = labels[number * len(group["rows"]) :][: len(group["rows"])]
        assert [names[code] for code in codes] == [label.label for label in stored[one["id"]]]
    assert (found.cells, found.answers, found.left_out) == (5, 50, 0)


def test_axes_doses_and_the_cell_to_put_beside(store: Store) -> None:
    (group,) = opened(packed(store).index)["groups"]
    assert group["axes"] == {"layer": ["12", "15"], "multiplier": ["2", "8"]}
    assert group["axis_words"] == {"layer": "layer", "multiplier": "multiplier"}
    base, *steered = group["cells"]
    assert (base["base"], base["reel"], base["axes"]) == (0, None, {"layer": "none", "multiplier": "none"})
    assert [one["base"] for one in steered] == [0] * 4
    assert [one["dose"] for one in steered] == [2, 8, 2, 8]
    assert steered[0]["reel"] == steered[1]["reel"] != steered[2]["reel"] == steered[3]["reel"]


def test_cells_under_a_condition_and_without_are_told_apart(store: Store) -> None:
    store.compact()
    always = store.cell_rows()
    when = [replace(row, when="harms by dim at L16 below auto #1f") if row.layer == 15 else row for row in always]
    found = packed_answers(store, when)
    assert found is not None
    (group,) = opened(found.index)["groups"]
    assert group["axes"]["when"] == ["always", "when harms by dim at L16 below auto"]
    assert [one["name"].count("when harms") for one in group["cells"]] == [0, 0, 0, 1, 1]


def test_cells_with_own_directions_and_with_one_are_told_apart(store: Store) -> None:
    store.compact()
    rows = [replace(row, scope="own") if row.layer == 15 and row.multiplier == 2 else row for row in store.cell_rows()]
    found = packed_answers(store, rows)
    assert found is not None
    (group,) = opened(found.index)["groups"]
    assert [one["name"] for one in group["cells"] if "L15+" in one["name"]] == ["own directions · L15+ x 2", "L15+ x 8"]


def test_a_cell_is_named_by_what_is_not_the_default(store: Store) -> None:
    store.compact()
    rows = store.cell_rows()
    part = {"behavior": "french", "method": "dim", "layers": [20]}
    then, other = (json.dumps([{**part, "layers": [layer]}]) for layer in (20, 21))
    kept = replace(
        rows[1], intervention="ablation", keep_norm=True, method_options='{"k": 1, "site": "mlp"}', site="mlp", multiplier=1.0
    )
    rows = [rows[0], kept, rows[2], *(replace(rows[3], then=one, then_multipliers=(5.0,)) for one in (then,))]
    rows.append(replace(rows[3], cell_id=store.cell_rows()[4].cell_id, then=other))
    found = packed_answers(store, rows)
    assert found is not None
    (group,) = opened(found.index)["groups"]
    names = [one["name"] for one in group["cells"]]
    assert names == [
        "unsteered",
        "k 1 · ablation · norm kept · mlp · L12+ x 1",
        "L12+ x 8",
        "L15+ x 2 · then french x 5 at L20",
        "L15+ x 2 · then french x 5 at L21",
    ]
    assert [one["title"] for one in group["cells"]][2:4] == [
        "smollm2 · dim · L12+ x 8",
        "smollm2 · dim · L15+ x 2 · then french x 5 at L20",
    ]


def test_what_an_answer_shares_with_the_unsteered_and_whether_it_was_cut_off(tmp_path: Path) -> None:
    cells = (cell(None), cell(12, 2.0))
    store = Store(tmp_path)
    store.write_sweep("name: sample\n")
    store.write_plan(plan_of(cells))
    tokens = {"unsteered": (5, 6, 7, 8), "steered": (5, 6, 9)}
    for one, said in zip(cells, tokens.values(), strict=True):
        answers = tuple(
            Response(
                prompt.id, prompt.text, "x", said[: number + 1] if number < 2 else said, 3, "length" if number == 1 else "stop"
            )
            for number, prompt in enumerate(one.prompts)
        )
        store.write_responses(one, replace(result_of(one), responses=answers), attempt=1)
    found = packed(store)
    (group,) = opened(found.index)["groups"]
    answers = opened(found.packs[0])[group["cells"][1]["place"]]
    assert [answer[2:4] for answer in answers[:3]] == [[1, 1], [2, 2], [3, 2]]
    assert opened(found.packs[0])[group["cells"][0]["place"]][0][3] is None
    assert list(base64.b64decode(group["flags_of"]))[:3] == [0, CUT_OFF, 0]
    assert set(base64.b64decode(group["labels_of"])) == {NO_LABEL}


def test_what_every_scorer_says(store: Store) -> None:
    (group,) = opened(packed(store).index)["groups"]
    assert len(group["scorers"]) == 2
    coherence = next(one for one in group["scorers"] if one["name"].startswith("coherence"))
    said = base64.b64decode(coherence["said"])
    assert sum(coherence["labels"][code] == "garbled" for code in said) == 10


def test_packs_are_small_and_more_than_there_is_room_for_is_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "PACK_CHARACTERS", 100)
    monkeypatch.setattr(packing, "ANSWERS_HELD", 30)
    found = packed(store)
    (group,) = opened(found.index)["groups"]
    assert [(one["pack"], one["place"]) for one in group["cells"]] == [(0, 0), (1, 0), (2, 0)]
    assert (found.cells, found.answers, found.left_out) == (3, 30, 20)


def test_an_answer_is_put_beside_the_unsteered_one_that_was_decoded_alike(tmp_path: Path) -> None:
    cells = (cell(None), cell(12, 2.0))
    drawn = tuple(replace(one, decoding=Decoding(temperature=0.7, samples=3)) for one in cells)
    (group,) = opened(packed(filled(tmp_path, (*cells, *drawn))).index)["groups"]
    assert sorted((one["id"], group["cells"][one["base"]]["id"]) for one in group["cells"]) == sorted(
        (one.id, base.id) for base, steered in (cells, drawn) for one in (base, steered)
    )
    assert group["axes"]["temperature"] == ["0", "0.7"]
    assert len({one["title"] for one in group["cells"] if one["base"] == group["cells"].index(one)}) == 2


def test_nothing_is_finished(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_plan(plan_of(grid()))
    store.compact()
    assert packed_answers(store, store.cell_rows()) is None


def test_samples_that_a_cell_never_had_are_no_answers(tmp_path: Path) -> None:
    drawn = replace(cell(15, 8.0), decoding=Decoding(100, temperature=0.7, samples=2))
    found = packed(filled(tmp_path, (cell(None), drawn), COUNTS))
    (group,) = opened(found.index)["groups"]
    n = len(group["rows"])
    assert n == 20
    codes = base64.b64decode(group["labels_of"])
    assert (codes[:n].count(ABSENT), codes[n:].count(ABSENT)) == (10, 0)
    assert NO_LABEL not in codes
