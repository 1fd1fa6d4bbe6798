"""What a planted mistake costs, on answers that are written here."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from actors.types import Response
from orchestrator.parity.costs import read_costs


def answers(*texts: str) -> str:
    return json.dumps([asdict(Response(f"t{n}", "p", text, (1, 2), 3, "length")) for n, text in enumerate(texts)])


def test_rates_have_wilson_intervals_and_kl_a_mean_over_prompts() -> None:
    file = {
        "labels": np.array(["null", '["no template", 1]', "[1]"]),
        "responses": np.array([answers("b", "b"), answers(*["a"] * 45, *["b"] * 5), answers("a", "b")]),
        "kl": np.array([[0.0, 0.0], [1.0, 3.0], [0.5, 0.5]]),
    }
    plain, mistaken, clean = read_costs(file, lambda responses: [one.text == "a" for one in responses])
    assert [one.title for one in (plain, mistaken, clean)] == ["unsteered", "no template", "clean"]
    assert (mistaken.successes, mistaken.n) == (45, 50)
    assert [mistaken.rate.low, mistaken.rate.high] == pytest.approx([0.786, 0.957], abs=5e-4)
    assert (plain.successes, plain.kl.value) == (0, 0.0)
    assert mistaken.kl.value == 2.0
    assert mistaken.kl.low is not None
    assert mistaken.kl.low < 1 < 3 < (mistaken.kl.high or 0)
