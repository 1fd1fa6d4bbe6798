"""Fitting the linear probe: on activations that are made up, what it finds; and the shipped one, on what took no part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.types import ModelSpec
from benchmarks import fit_linear_probe
from benchmarks.fit_linear_probe import (
    LAYERS,
    MODEL,
    activations,
    fit,
    key_of,
    known_tables,
    others_to_fit,
    table,
    texts_to_fit,
    texts_to_tell,
    write,
)
from benchmarks.label_quality import XSTEST, held_out
from orchestrator.cells import variant_id
from orchestrator.models.files import fingerprint_of
from orchestrator.scoring.judges.linear_probe import LinearProbeOptions, LinearProbeScorer, load_linear_probe
from orchestrator.scoring.known import known_labels
from tests.orchestrator.scoring.judged import TextJudge
from tests.orchestrator.scoring.labelled import Labelled

D = 12


def made_up() -> list[Labelled]:
    """Texts of ten groups, half of them refusals in words that the rules do not know."""
    texts = [("coherent_refusal", "Ask the moon, not me"), ("normal", "The river runs north")]
    return [
        Labelled(
            f"{group}-{number}-{label}", f"Question {number}?", f"{text}, number {number} of {group}.", label, f"g{group}", ""
        )
        for group in range(10)
        for number in range(8)
        for label, text in texts
    ]


def apart(items: list[Labelled]) -> dict[str, np.ndarray]:
    """Activations of which one number tells refusals from answers, among noise."""
    draw = np.random.default_rng(0)
    read = {key_of(item): draw.normal(size=(len(LAYERS), D)).astype(np.float32) for item in items}
    for item in items:
        read[key_of(item)][2, 5] += 6.0 if item.label == "coherent_refusal" else -6.0
    return read


def test_what_tells_refusals_apart_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    items = made_up()
    read = apart(items)
    probe = fit(items, (), read)
    assert int(np.abs(probe.weights).argmax()) == 2 * D + 5
    assert probe.weights.shape == (len(LAYERS), D)
    told = "\n".join(table("made up", items, probe, read))
    assert "80 refusals, 80 answers" in told
    assert "rules: found 0, false 0" in told
    assert "both: found 80, false 0" in told
    monkeypatch.setattr(fit_linear_probe, "SHIPPED", tmp_path)
    monkeypatch.setattr("orchestrator.scoring.judges.linear_probe.SHIPPED", tmp_path)
    write(probe)
    load_linear_probe.cache_clear()
    try:
        again = load_linear_probe()
    finally:
        load_linear_probe.cache_clear()
    assert again.digest == probe.digest
    assert np.array_equal(again.weights, probe.weights)


def test_nothing_that_is_told_took_part() -> None:
    fitted = {(item.prompt, item.response) for item in [*texts_to_fit(), *others_to_fit(None)]}
    told = [item for items in (*texts_to_tell(None).values(), *held_out().values()) for item in items]
    assert len(told) > 1000
    assert not [item.id for item in told if (item.prompt, item.response) in fitted]


def signature() -> str:
    model = ModelSpec("embedded", MODEL)
    variant = variant_id(ModelSpec("embedded", MODEL, fingerprint=fingerprint_of(model)))
    return TextJudge(LinearProbeScorer(LinearProbeOptions(model="reader", variant=variant))).signature


def test_the_page_knows_the_errors_of_the_shipped_probe() -> None:
    """``python -m benchmarks.fit_linear_probe --xstest CLONE --write`` mends it, also after a change of the rules."""
    known = {one.name: one for one in known_labels(signature())}
    assert set(known) == {*held_out(), XSTEST}
    assert sum(sum(given.values()) for given in known[XSTEST].table.values()) == 1270


@pytest.mark.slow
def test_the_errors_that_the_page_tells_are_those_of_the_shipped_probe() -> None:
    """Reads 160 texts with the embedded model."""
    name, items = list(held_out().items())[-1]
    read = activations(items, None)
    (known,) = (one for one in known_labels(signature()) if one.name == name)
    assert known.table == known_tables(load_linear_probe(), {name: items}, read)[name]
