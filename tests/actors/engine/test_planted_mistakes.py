"""Known mistakes of steering, planted at every site and in every part: the check says that it did not fire as asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from actors.engine import site_hooks
from actors.engine.conditions import ConditionReader
from actors.engine.residual import TensorSite
from actors.engine.rows import Row
from actors.engine.site_places import SitePlaces, site_places
from actors.positions import Positions, Spans
from actors.sites import point_of
from actors.stacks import StackedTable
from actors.steering import SteeringHooks, SteeringTable, TableInForce
from actors.types import CellResult, Decoding, GenerationJob, Steering
from actors.worker import ModelWorker
from tests.actors.engine.test_interventions import unit
from tests.actors.engine.test_stacks import condition
from tests.actors.engine.test_steered_positions import PROMPTS, run

Loader = Callable[..., ModelWorker]
SITES = ("output", "input", "attention", "mlp", "heads", "head:2", "everywhere")
STANDING = ("alone", "first", "second")
PLACES = [(site, where) for number, site in enumerate(SITES) for where in ("alone", STANDING[1 + number % 2])]
N_LAYERS, NEW = 5, 7
HERE = "here"


@pytest.fixture(scope="module")
def worker(tiny_worker: Loader) -> ModelWorker:
    """One for all mistakes: what a call learns of a prompt is of the model alone."""
    return tiny_worker("llama")


def narrow(n: int, width: int, seed: int = 3) -> np.ndarray:
    """Random unit vectors ``[n, width]``."""
    found = np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def at(site: str, positions: str = "all", layers: tuple[int, ...] = (1, 3)) -> Steering:
    """One steering there, of which twice is more than once."""
    vectors = narrow(len(layers), 16 if site.startswith("head:") else 64)
    if site == "everywhere":
        return Steering(layers, vectors, 0.5, "ablation", site=site, positions=positions)
    return Steering(layers, vectors, 15.0, site=site, positions=positions)


def standing(part: Steering, where: str) -> tuple[Steering, int]:
    """Alone, or beside another part that acts at every token, and which of the parts it is."""
    other = Steering((2,), unit(1, 8), 10.0)
    if where == "alone":
        return part, 0
    return (replace(part, then=(other,)), 0) if where == "first" else (replace(other, then=(part,)), 1)


def check(worker: ModelWorker, steering: Steering, *others: Steering) -> CellResult:
    """That of one cell beside an unsteered one, one at block outputs, and others."""
    beside = (None, Steering((1, 3), unit(2, 9), 12.0), *others)
    jobs = [GenerationJob(HERE, PROMPTS[:3], Decoding(NEW), steering)]
    jobs += [GenerationJob(str(number), PROMPTS[:3], Decoding(NEW), one) for number, one in enumerate(beside)]
    return run(worker, jobs)[HERE]


def missing(part: int, place: Callable[[Row], int]) -> Any:
    """``Row.acting`` of which one part is left out at one place."""
    acting = Row.acting

    def lacking(row: Row, at: int) -> tuple[int, ...]:
        found = acting(row, at)
        return tuple(0 if number == part and at == place(row) else one for number, one in enumerate(found))

    return lacking


@pytest.mark.parametrize(("site", "where"), PLACES)
def test_the_first_token_of_the_answer_is_missed(
    site: str, where: str, worker: ModelWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    steering, part = standing(at(site, "generation"), where)
    assert check(worker, steering).fired.fired is True
    monkeypatch.setattr(Row, "acting", missing(part, lambda row: row.rendered.prompt_tokens))
    fired = check(worker, steering).fired
    assert fired.fired is False
    assert fired.shift_ratio_min == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("off", [-1, 1])
@pytest.mark.parametrize(("site", "where"), PLACES)
def test_a_template_token_is_off_by_one(
    site: str, where: str, off: int, worker: ModelWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    steering, _ = standing(at(site, "template"), where)
    spans = Positions.spans

    def shifted(self: Positions, prompt: int, template: int) -> Spans:
        right = spans(self, prompt, template)
        return right._replace(start=right.start + off) if self.prompt == "template" else right

    monkeypatch.setattr(Positions, "spans", shifted)
    assert check(worker, steering).fired.fired is False


@pytest.mark.parametrize("positions", ["all", "last_prompt+first:3"])
@pytest.mark.parametrize(("site", "where"), PLACES)
def test_a_vector_is_added_twice(
    site: str, where: str, positions: str, worker: ModelWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    steering, part = standing(at(site, positions), where)
    apply = SteeringTable.apply

    def twice(self: StackedTable, layer: int, hidden: Tensor) -> Tensor:
        for number, table in enumerate(self.tables):
            hidden = table.apply(layer, hidden)
            hidden = table.apply(layer, hidden) if number == part else hidden
        return hidden

    if where == "alone":
        edit = SteeringHooks.edit
        monkeypatch.setattr(SteeringHooks, "edit", lambda self, layer, out: apply(self.table, layer, edit(self, layer, out)))
    else:
        monkeypatch.setattr(StackedTable, "apply", twice)
    fired = check(worker, steering).fired
    assert fired.fired is False
    assert (fired.shift_ratio_max or 0.0) > 1.4


def mixed_up(change: Callable[[list[tuple[float | None, ...]]], Sequence[Sequence[float | None]]]) -> Any:
    """``ConditionReader.decide``, behind which the cosines of the conditional rows are changed."""
    decide = ConditionReader.decide

    def deciding(self: ConditionReader, rows: Sequence[Row]) -> None:
        decide(self, rows)
        conditional = [row for row in rows if row.conditional]
        for row, found in zip(conditional, change([row.cosines for row in conditional]), strict=True):
            row.decide(found)

    return deciding


@pytest.mark.parametrize(("site", "where"), PLACES)
def test_the_condition_of_another_row_decides(
    site: str, where: str, worker: ModelWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    steering, _ = standing(replace(at(site), condition=condition(worker)), where)
    result = check(worker, steering)
    assert result.fired.fired is True
    assert len({one.acted for one in result.responses}) == 2, "it holds for some of the prompts"
    monkeypatch.setattr(ConditionReader, "decide", mixed_up(lambda found: [*found[1:], *found[:1]]))
    assert check(worker, steering).fired.fired is False


def test_the_condition_of_another_part_decides(worker: ModelWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    first = condition(worker)
    second = replace(first, layer=0, vector=unit(1, 21)[0], threshold=0.0)
    steering = replace(at("mlp"), condition=first, then=(replace(at("output", "generation"), condition=second),))
    assert check(worker, steering).fired.fired is True
    monkeypatch.setattr(ConditionReader, "decide", mixed_up(lambda found: [one[::-1] for one in found]))
    assert check(worker, steering).fired.fired is False


@dataclass(frozen=True)
class Elsewhere:
    """A table whose edits of two points are exchanged."""

    table: TableInForce
    points: dict[int, int]

    @property
    def where(self) -> Tensor | None:
        return self.table.where

    @property
    def tables(self) -> tuple[SteeringTable, ...]:
        return self.table.tables

    def apply(self, layer: int, hidden: Tensor) -> Tensor:
        return self.table.apply(self.points.get(layer, layer), hidden)


WRONG = {
    "another head": (("head:1", 2), ("head:2", 2)),
    "another head of another layer": (("head:1", 2), ("head:1", 3)),
    "attention instead of MLP": (("mlp", 2), ("attention", 2)),
    "the heads instead of attention": (("attention", 2), ("heads", 2)),
    "what the block is given instead of its output": (("output", 2), ("input", 2)),
    "the next layer": (("output", 1), ("output", 2)),
    "the layer before": (("mlp", 3), ("mlp", 2)),
    "the next layer's input": (("input", 2), ("input", 3)),
}


@pytest.mark.parametrize(("name", "where", "positions"), zip(WRONG, STANDING * 3, ("all", "template+first:2") * 4, strict=False))
def test_another_place_is_edited(
    name: str, where: str, positions: str, worker: ModelWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit = SteeringHooks.edit
    (site, layer), (other, its) = WRONG[name]
    steering, _ = standing(at(site, positions, (layer,)), where)
    neighbour = at(other, positions, (its,))
    assert check(worker, steering, neighbour).fired.fired is True
    one, another = point_of(site, layer, N_LAYERS), point_of(other, its, N_LAYERS)

    def wrong(self: SteeringHooks, point: int, output: Tensor) -> Tensor:
        right = self.table
        self.table = Elsewhere(right, {one: another, another: one})
        try:
            return edit(self, point, output)
        finally:
            self.table = right

    monkeypatch.setattr(SteeringHooks, "edit", wrong)
    assert check(worker, steering, neighbour).fired.fired is False


class Crossed:
    """Where the sites of a model are, but for attention and MLP of whoever asks first of two: the hook that edits."""

    def __init__(self, places: SitePlaces) -> None:
        self.n_heads, self._places, self._asked = places.n_heads, places, 0

    def tensor(self, site: str, layer: int) -> TensorSite:
        self._asked += 1
        crossed = {"attention": "mlp", "mlp": "attention"} if self._asked % 2 else {}
        return self._places.tensor(crossed.get(site, site), layer)


@pytest.mark.parametrize("family", ["llama", "qwen3_5"])
@pytest.mark.parametrize("site", ["attention", "mlp"])
def test_the_hook_is_on_the_module_of_another_site(
    site: str, family: str, tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker(family)
    loaded = worker._held()
    layer = loaded.decoder.layer_types.index("full_attention") if family == "qwen3_5" else 2
    steering = at(site, layers=(layer,))
    assert check(worker, steering).fired.fired is True
    crossed = Crossed(site_places(loaded.model, loaded.decoder))
    monkeypatch.setattr(site_hooks, "site_places", lambda *_: crossed)
    assert check(worker, steering).fired.fired is False


@pytest.mark.parametrize(("site", "where"), [("output", "second"), ("input", "alone")])
def test_rows_that_run_alone_are_looked_at_too(
    site: str, where: str, tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker("qwen3_5")
    steering, part = standing(at(site, "generation"), where)
    assert check(worker, steering).fired.fired is True
    monkeypatch.setattr(Row, "acting", missing(part, lambda row: row.rendered.prompt_tokens))
    assert check(worker, steering).fired.fired is False
