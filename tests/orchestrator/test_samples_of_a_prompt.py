"""Several answers to each prompt, from the sweep file to the tables: what is stored, counted, shown and compared."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from actors.types import Decoding
from orchestrator import load_results
from orchestrator.cells import Cell
from orchestrator.cli import app
from orchestrator.clusters import rate_interval
from orchestrator.errors import InputError
from orchestrator.report import results_tables, write_report
from orchestrator.results import plan_file
from orchestrator.results.store import Store
from orchestrator.statistics import clustered, interval_text, sign_flip, wilson
from tests.orchestrator.samples import PROMPTS, cell, filled, result_of
from tests.orchestrator.sweep_files import plan_of

DRAWN = Decoding(100, temperature=0.7, top_p=0.9, samples=5)
WORDS = "100 new tokens, temperature 0.7, top-p 0.9, 5 samples, seed 0"


def drawn(layer: int | None, multiplier: float = 8.0) -> Cell:
    return replace(cell(layer, multiplier), decoding=DRAWN)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Of ten prompts with five samples each, at layer 15 the first seven always refuse and one does twice."""
    found = filled(
        tmp_path_factory.mktemp("drawn") / "out", [drawn(None), drawn(12), drawn(15)], {(15, 8.0): (37, 0), (12, 8.0): (8, 0)}
    )
    found.compact()
    write_report(found)
    return found


COUNTS = [(5, 5)] * 7 + [(2, 5)] + [(0, 5)] * 2


def test_greedy_cells_keep_their_ids_and_drawn_ones_have_their_own(tmp_path: Path) -> None:
    ids = {one.id for one in plan_of(tmp_path / "a").cells}
    said = {"temperature": 0, "top_p": 1, "samples": 1, "seed": 0}
    assert ids == {one.id for one in plan_of(tmp_path / "b", decoding=said).cells}
    assert cell(15, 8.0).id == "cell-ebc79079d2cc181e2291"
    others = [replace(DRAWN, **changed) for changed in ({}, {"seed": 1}, {"samples": 4}, {"top_p": 1.0}, {"temperature": 1.0})]
    assert len({replace(cell(15), decoding=one).id for one in (Decoding(100), *others)}) == 6


def test_a_plan_counts_samples(tmp_path: Path) -> None:
    one, five = (plan_of(tmp_path / str(n), decoding={"temperature": 0.7, "samples": n}) for n in (1, 5))
    assert five.estimate.rows == 5 * one.estimate.rows
    assert five.estimate.new_tokens == 5 * one.estimate.new_tokens
    assert five.estimate.prompt_tokens == one.estimate.prompt_tokens, "a prompt's samples share one prefill"


def test_tables_know_prompt_and_sample(store: Store) -> None:
    (row,) = (row for row in store.cell_rows() if row.layer == 15)
    assert (row.n, row.samples, row.success_n) == (50, 5, 37)
    expected = rate_interval(COUNTS)
    assert (row.success_low, row.success_high) == (expected.low, expected.high)
    assert expected.low < wilson(37, 50).low
    assert row.stability == pytest.approx((9 + 3 / 5) / 10)
    assert row.success_between is not None
    assert row.success_between > (row.success_within or 0) > 0
    (rate,) = (one for one in store.rate_rows() if one.key == row.key and one.label == "coherent_refusal")
    assert (rate.k, rate.n, rate.low, rate.high) == (37, 50, expected.low, expected.high)
    assert not store.lacking()
    responses = store.read_responses(row.cell_id)
    assert [one.key for one in responses] == [(prompt.id, sample) for prompt in PROMPTS for sample in range(5)]


def test_frames_tell_each_prompt(store: Store) -> None:
    results = load_results(str(store.root))
    assert results.responses.height == 150
    at = results.prompts.filter(cell_id=drawn(15).id)
    assert at["n"].to_list() == [5] * 10
    assert at["success_n"].to_list() == [k for k, _ in COUNTS]
    assert at["stability"].to_list() == pytest.approx([1.0] * 7 + [0.6, 1.0, 1.0])
    assert at["label"].to_list() == ["coherent_refusal"] * 7 + ["normal"] * 3


def test_the_page_and_the_terminal_say_how_and_never_wilsons(store: Store) -> None:
    shown = StringIO()
    Console(file=shown, width=160, color_system=None).print(results_tables(store, 160))
    page = (store.root / "report.md").read_text()
    naive, right = interval_text(wilson(37, 50)), interval_text(rate_interval(COUNTS))
    for text in (shown.getvalue(), page):
        assert WORDS in " ".join(text.split())
        assert right in text
        assert naive not in text
        assert "96" in text, "the stability"


def test_comparisons_are_by_prompt(store: Store) -> None:
    asked = CliRunner().invoke(app, ["compare", str(store.root), "layer=15", "layer=12", "--json"])
    assert asked.exit_code == 0, asked.output
    (one,) = json.loads(asked.stdout)["comparisons"]
    ours, theirs = COUNTS, [(5, 5), (3, 5)] + [(0, 5)] * 8
    outcomes = [number < k for side in (ours, theirs) for k, n in side for number in range(n)]
    expected = clustered(outcomes, [True] * 50 + [False] * 50, [*(n // 5 for n in range(50))] * 2)
    assert one["test"].startswith("clustered by prompt")
    assert one["p"] == pytest.approx(expected)
    assert one["paired"]["p"] == pytest.approx(sign_flip([a - b for (a, _), (b, _) in zip(ours, theirs, strict=True)]))
    interval = rate_interval(COUNTS)
    assert (one["a"]["low"], one["a"]["high"]) == (interval.low, interval.high)


def test_what_is_not_all_samples_is_not_stored(tmp_path: Path) -> None:
    one = drawn(None)
    whole = result_of(one)
    with pytest.raises(ValueError, match="are not those of its"):
        Store(tmp_path / "out").write_responses(one, replace(whole, responses=whole.responses[:-1]), attempt=1)


def test_an_earlier_program_refuses_a_folder_with_samples_and_reads_one_without(store: Store, tmp_path: Path) -> None:
    plain = filled(tmp_path / "out", [cell(None)])
    with pytest.MonkeyPatch.context() as earlier:
        earlier.setattr(plan_file, "PLAN_VERSION", plan_file.PLAN_VERSION - 1)
        assert Store(plain.root).planned().cells
        with pytest.raises(InputError, match="newer version"):
            Store(store.root).planned()
