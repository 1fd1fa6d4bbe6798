"""Damage is measured of stored cells: resumed, in tables, failing by itself, asked for in a sweep file."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from actors.types import Prompt
from orchestrator.behaviors import NEUTRAL, load_prompts
from orchestrator.cli.summaries import state_line
from orchestrator.control.status import read_status, status_json, status_lines
from orchestrator.damage import DamageSettings, MeasuredDamage, damage_items
from orchestrator.errors import InputError
from orchestrator.logs import EntryReader, Journal
from orchestrator.news import ItemStored
from orchestrator.plan import Plan, make_plan
from orchestrator.planning.estimate import prompt_tokens
from orchestrator.pool import PoolOptions
from orchestrator.pool.local import LocalPool
from orchestrator.progress import Lines, progress_of
from orchestrator.report import write_report
from orchestrator.results.damage import damages
from orchestrator.results.folder import Folder
from orchestrator.results.rows import CellRow
from orchestrator.results.store import Store
from orchestrator.retrying import failures_of
from orchestrator.run import prepare
from orchestrator.scheduler import Scheduler, Settings
from orchestrator.scheduling.board import Board
from orchestrator.scheduling.kinds import item_folders
from orchestrator.scoring.score import GARBLED_BY_RULES
from orchestrator.sweep import load_sweep
from tests.orchestrator.recording import Recording
from tests.orchestrator.test_scheduler import cells_of, model, plan_of

CELLS = cells_of(model("a"), [0, 1, 2])
SETTINGS = DamageSettings((Prompt("N1", "one"), Prompt("N2", "two")), 4, 5)
SWEEP = re.sub(r"(?m)^damage: .*\n", "", Path("sweeps/quickstart.yaml").read_text())
SWEEP = SWEEP.replace("file: ", "file: SWEEPS/").replace("adapter: ", "adapter: SWEEPS/")


def run(
    root: Path, settings: DamageSettings | None, cells: int = len(CELLS), records: type[Recording] = Recording
) -> tuple[Plan, Board]:
    """Run what is missing, with the damage of the first so many cells."""
    plan, store = replace(plan_of(*CELLS), others=damage_items(CELLS[:cells], settings)), Store(root)
    with store.lock(), Journal(Folder(root).logs) as journal, records(store) as recorder:
        store.write_plan(plan)
        board = Board(plan, store.done(item_folders()), store.failures())
        pool = LocalPool(PoolOptions(worker="tests.fakes:FakeWorker"))
        Scheduler(plan, board, pool, recorder, Settings(tell=journal.hear)).run()
        store.compact()
    return plan, board


def rows_of(root: Path) -> list[CellRow]:
    return Store(root).cell_rows()


def tasks_of(root: Path) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.text, one.items) for one in EntryReader(Folder(root).logs).new() if one.event == "submitted"]


def test_a_finished_folder_gets_it_without_generating_anything(tmp_path: Path) -> None:
    run(tmp_path, None)
    assert {row.kl for row in rows_of(tmp_path)} == {None}
    assert set(pq.read_table(tmp_path / "responses.parquet")["loss_window"].to_pylist()) == {None}
    before = len(tasks_of(tmp_path))
    partly, _ = run(tmp_path, SETTINGS, cells=1)
    plan, board = run(tmp_path, SETTINGS)
    assert not board.unfinished()
    first, *rest = [one.id for one in plan.others]
    measured = [(what, set(items)) for what, items in tasks_of(tmp_path)[before:] if what != "load"]
    assert measured == [("measure damage", {first}), ("measure damage", set(rest))], "only what there was not yet"
    losses: dict[str, list[tuple[float, float]]] = {}
    for one in pq.read_table(tmp_path / "responses.parquet").to_pylist():
        losses.setdefault(one["cell_id"], []).append((one["loss"], one["loss_window"]))
    for row in rows_of(tmp_path):
        tokens = [len(one.token_ids[:5]) for one in Store(tmp_path).read_responses(row.cell_id)]
        assert row.loss == pytest.approx(sum(tokens) / len(tokens) / 10)
        assert losses[row.cell_id] == [(one / 10, one) if one else (None, None) for one in tokens]
        if row.steered:
            spread = 6.3531  # Student's t for one degree of freedom times the standard error of 1 and 2
            assert (row.kl, row.kl_low, row.kl_high) == pytest.approx((1.5, 0.0, 1.5 + spread), abs=1e-3), "no KL is below 0"
        else:
            assert (row.kl, row.kl_low, row.kl_high) == (0.0, 0.0, 0.0)
    assert {one.id for one in partly.cells} == {one.id for one in plan.cells}


def test_the_page_says_how_much_was_read_and_what_decides_on_garbled(tmp_path: Path) -> None:
    run(tmp_path, SETTINGS)
    store = Store(tmp_path)
    size = f"{len(SETTINGS.prompts)} neutral prompts x {SETTINGS.tokens} tokens"
    page = write_report(store).read_text()
    assert f"- damage: KL on {size}, loss of the first {SETTINGS.answers} tokens of every answer" in page
    assert f"of the next token in nats, on {size}; in brackets its 95 % t interval over prompts." in page
    assert GARBLED_BY_RULES in page
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan.pop("damage") == {"prompts": len(SETTINGS.prompts), "tokens": SETTINGS.tokens, "answers": SETTINGS.answers}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    page = write_report(Store(tmp_path)).read_text()
    assert "in nats, on neutral prompts; in brackets" in page, "a folder of an earlier version does not know"
    assert "- damage:" not in page


def test_other_settings_are_other_items(tmp_path: Path) -> None:
    plan, _ = run(tmp_path, SETTINGS)
    others = [replace(SETTINGS, tokens=5), replace(SETTINGS, answers=None), replace(SETTINGS, prompts=SETTINGS.prompts[:1])]
    ids = {one.id for settings in (SETTINGS, *others) for one in damage_items(CELLS, settings)}
    assert len(ids) == 4 * len(CELLS)
    renamed = tuple(Prompt(f"other-{one.id}", one.text) for one in SETTINGS.prompts)
    assert [one.id for one in damage_items(CELLS, replace(SETTINGS, prompts=renamed))] == [one.id for one in plan.others]


def test_a_damaged_file_is_measured_again(tmp_path: Path) -> None:
    plan, _ = run(tmp_path, SETTINGS)
    file = tmp_path / "analyses" / "damage" / plan.others[0].id
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    with Store(tmp_path).lock():
        Store(tmp_path).compact()
    assert [row.kl is None for row in rows_of(tmp_path)].count(True) == 1
    run(tmp_path, SETTINGS)
    assert file.read_bytes() == whole
    with pytest.raises(ValueError, match="divergence"):
        MeasuredDamage.decode(b'{"kl": [-1.0], "losses": [], "windows": []}')
    with pytest.raises(ValueError, match="same answers"):
        MeasuredDamage.decode(b'{"kl": [1.0], "losses": [1.0], "windows": [null]}')
    with pytest.raises(ValueError, match="same answers"):
        MeasuredDamage.decode(b'{"kl": [1.0], "losses": [1.0], "windows": [1.0], "spans": [null]}')
    with pytest.raises(ValueError, match="no measured damage"):
        MeasuredDamage.decode(b'{"kl": [1.0], "losses": [1.0], "windows": [1.0], "spans": null}')
    assert MeasuredDamage.decode(b'{"kl": [1.0], "losses": [1.0], "windows": [1.0]}').spans == (), "of an earlier version"


class Stopping(Recording):
    """Its driver is killed once the first measurement is on the disk."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        write = self.analysis

        def analysis(kind: str, item_id: str, content: bytes) -> None:
            write(kind, item_id, content)
            raise KeyboardInterrupt

        self.analysis = analysis


def test_a_run_that_is_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, SETTINGS, records=Stopping)
    folder = tmp_path / "analyses" / "damage"
    (first,) = folder.iterdir()
    before, half = first.read_bytes(), folder / f".{first.name}.0.tmp"
    first.touch()
    half.write_bytes(before[:10])
    submitted = len(tasks_of(tmp_path))
    plan, board = run(tmp_path, SETTINGS)
    assert not board.unfinished()
    measured = [set(items) for what, items in tasks_of(tmp_path)[submitted:] if what == "measure damage"]
    assert measured == [{one.id for one in plan.others} - {first.name}]
    assert first.read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {one.id for one in plan.others}, "what was half written is gone"


def test_status_notices_what_is_damaged_or_gone(tmp_path: Path) -> None:
    plan, _ = run(tmp_path, SETTINGS)
    folder, planned = Folder(tmp_path), Store(tmp_path).planned()
    assert damages(folder, planned, (), tables=True) == ()
    first, second, *_ = (folder.analysis("damage", one.id) for one in plan.others)
    first.write_bytes(b"{")
    second.delete()
    found = damages(folder, planned, (), tables=True)
    assert {one.file: one.reason for one in found}.keys() >= {first.key, second.key}
    assert {one.item for one in found} >= {first.name, second.name}
    for _ in range(2):  # the first finds out, when it makes the tables; a sweep's own run goes on by itself
        run(tmp_path, SETTINGS)
    assert damages(folder, planned, (), tables=True) == ()


def test_a_failure_is_run_again_when_it_is_forgotten(tmp_path: Path) -> None:
    fails_once = replace(SETTINGS, prompts=(Prompt("N1", f"[job error once {tmp_path / 'was'}]"),))
    plan, _ = run(tmp_path, fails_once)
    failed = {one.id for one in failures_of(tmp_path).items}
    assert len(failed) == 1
    assert {one.kl is None for one in rows_of(tmp_path)} == {True, False}
    run(tmp_path, fails_once)
    assert {one.id for one in failures_of(tmp_path).items} == failed, "nobody asked for it"
    Store(tmp_path).clear_failures(failed)
    _, board = run(tmp_path, fails_once)
    assert not board.failures()
    assert all(one.kl is not None for one in rows_of(tmp_path))
    assert len(list((tmp_path / "analyses" / "damage").iterdir())) == len(plan.others)


def test_its_failure_leaves_the_cells_alone(tmp_path: Path) -> None:
    plan, _ = run(tmp_path, replace(SETTINGS, prompts=(Prompt("N1", "[job error]"),)))
    assert {(one.id, one.failure.kind) for one in failures_of(tmp_path).items} == {(one.id, "job") for one in plan.others}
    assert len(rows_of(tmp_path)) == len(CELLS)


def sweep_with(folder: Path, damage: str) -> Path:
    (folder / "neutral.jsonl").write_text('{"id": "N1", "role": "test", "text": "What is rain?"}\n')
    (folder / "contrast.jsonl").write_text('{"id": "P1", "role": "positive", "text": "What is rain?"}\n')
    path = folder / "sweep.yaml"
    path.write_text(SWEEP.replace("SWEEPS", str(Path("sweeps").absolute())) + f"\ndamage: {damage}\n")
    return path


def test_a_sweep_file_asks_for_it(tmp_path: Path) -> None:
    without = make_plan(load_sweep(sweep_with(tmp_path, "false")))
    assert without.others == ()
    plan = make_plan(load_sweep(sweep_with(tmp_path, "true")))
    assert plan.cells == without.cells
    assert [one.needs[0] for one in plan.others] == [cell.id for cell in plan.cells]
    asked = load_sweep(sweep_with(tmp_path, "{prompts: neutral.jsonl, tokens: 2, answers: {first: 8}}")).damage
    assert asked == DamageSettings((Prompt("N1", "What is rain?"),), 2, 8)
    everything = load_sweep(sweep_with(tmp_path, "{prompts: 32, answers: none}")).damage
    assert everything is not None
    assert (len({one.text for one in everything.prompts}), everything.answers) == (32, 0)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("yes please", "true, false"),
        ("{answers: al}", "did you mean 'all'"),
        ("{answers: {first: 0}}", "answers.first: out of range (got 0); allowed: {first: 8}, a whole number of tokens from 1"),
        ("{answers: {frist: 8}}", "answers.frist: unknown key 'frist' (got 8); allowed: all, none, {first: 8}; did you mean"),
        ("{answers: {first: 1.5}}", "'first' takes a whole number of tokens, not 1.5; allowed: all, none, {first: 8}"),
        ("{answers: {first: 8, last: 8}}", "one of them, not 2: first, last"),
        ("{prompt: 3}", "did you mean 'prompts'"),
        ("{tokens: 0}", "from 1"),
        ("{prompts: 33}", "damage.prompts"),
        ("{prompts: neutrl.jsonl}", "neutral.jsonl"),
        (
            "{prompts: contrast.jsonl}",
            "damage.prompts: the file has no test prompts (got 'contrast.jsonl'); allowed: at least one prompt of role test",
        ),
    ],
)
def test_what_is_wrong_in_it_is_told(tmp_path: Path, written: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        load_sweep(sweep_with(tmp_path, written))
    assert told in str(error.value)


def test_what_is_left_is_told(tmp_path: Path) -> None:
    """Before, while and after: by ``plan``, by the progress, by ``status``."""
    path = sweep_with(tmp_path, "{prompts: 2, tokens: 4}")
    prepared = prepare(path, tmp_path / "none")
    assert state_line(prepared) == "13 of 13 cells to run, 0 done before, 13 items to measure damage"
    without = prepare(sweep_with(tmp_path, "false"), tmp_path / "none").plan.estimate
    more = prepared.plan.estimate
    read = 13 * (2 * 4 + 10 * 48) + 13 * sum(prompt_tokens(one, None) for one in load_prompts(NEUTRAL)[:2])
    assert (more.prompt_tokens - without.prompt_tokens, more.new_tokens) == (read, without.new_tokens)
    run(tmp_path, None)
    plan, store = replace(plan_of(*CELLS), others=damage_items(CELLS, SETTINGS)), Store(tmp_path)
    with store.lock():
        store.write_plan(plan)
    found = read_status(tmp_path)
    assert status_json(found)["others"] == {"damage": 3}
    assert "3 items to measure damage" in status_lines(found)
    board = Board(plan, store.done(item_folders()))
    board.start([board[plan.others[0].id]], "w1")
    board.finish(plan.others[0].id)
    shown = io.StringIO()
    Lines(plan, board, Console(file=shown, width=120)).hear(ItemStored(plan.others[0].id, "w1", "done"))
    assert "3/3 cells, 2 items to measure damage" in shown.getvalue()
    assert progress_of(board, plan.models[0].variant, "a").others == "2 items to measure damage"
    run(tmp_path, SETTINGS)
    assert status_json(read_status(tmp_path))["others"] == {}
