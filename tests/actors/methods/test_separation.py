"""The permutation test against a plain enumeration, and what it says of classes that differ and of classes that do not."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from actors.methods import separation as module
from actors.methods.cosmic import CosmicOptions, cosmic
from actors.methods.cosmic_svd import CosmicSvdOptions, cosmic_svd
from actors.methods.separation import separation
from tests.actors.methods.toy import toy_contrast


@pytest.mark.parametrize(("n", "m"), [(3, 3), (2, 4), (4, 3), (1, 1)])
def test_p_is_that_of_every_labelling(n: int, m: int) -> None:
    rng = np.random.default_rng(n * 10 + m)
    together = rng.standard_normal((n + m, 4))
    together[:n] += 0.8
    distances = []
    for chosen in itertools.combinations(range(n + m), n):
        rest = [i for i in range(n + m) if i not in chosen]
        distances.append(float(np.linalg.norm(together[list(chosen)].mean(axis=0) - together[rest].mean(axis=0))))
    real = float(np.linalg.norm(together[:n].mean(axis=0) - together[n:].mean(axis=0)))
    found = separation(together[:n], together[n:])
    assert found.p == pytest.approx(sum(one >= real - 1e-9 for one in distances) / len(distances))
    assert found.least == pytest.approx((2 if n == m else 1) / len(distances))


def test_classes_that_differ_pass_and_classes_that_do_not_are_warned_of() -> None:
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((10, 64))
    shifted = noise.copy()
    shifted[:5, 0] += 20.0
    assert separation(shifted[:5], shifted[5:]).warning is None
    alike = [separation(*np.split(rng.standard_normal((10, 64)), 2)) for _ in range(100)]
    assert sum(one.warning is not None for one in alike) >= 90, "a valid test lets one in twenty pass"


def test_few_prompts_are_no_verdict() -> None:
    noise = np.random.default_rng(0).standard_normal((6, 16))
    found = separation(noise[:3], noise[3:])
    assert not found.tellable
    assert found.warning is None


def test_many_prompts_are_drawn_and_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    positive, negative = rng.standard_normal((6, 8)) + 0.35, rng.standard_normal((6, 8))
    exact = separation(positive, negative).p
    monkeypatch.setattr(module, "EXACT_UP_TO", 900)
    assert separation(positive, negative).p == pytest.approx(exact, abs=0.03)


def test_methods_that_select_say_when_their_choice_means_nothing() -> None:
    contrast, _ = toy_contrast(n=6)
    found = cosmic(contrast, CosmicOptions(kl_limit=None))
    evidence = json.loads(found.record["separation"])
    assert evidence["p"] <= 0.05
    assert evidence["gain"] > 0.7
    assert "warning" not in found.record
    assert "warning" not in cosmic_svd(contrast, CosmicSvdOptions()).record
    noise, other = (np.random.default_rng(seed).standard_normal(contrast.positive.shape).astype(np.float32) for seed in (1, 2))
    meaningless = replace(contrast, positive=noise, negative=other)
    told = cosmic(meaningless, CosmicOptions(kl_limit=None))
    assert told.selected_layer is not None
    assert f"layer {told.selected_layer}" in told.record["warning"]
    assert "no farther apart" in told.record["warning"]
    assert "no farther apart" in cosmic_svd(meaningless, CosmicSvdOptions()).record["warning"]


def test_edits_that_change_nothing_are_warned_of() -> None:
    """The classes differ, clearly, along something that the model never acts on: neither edit brings one nearer to the other."""
    contrast, _ = toy_contrast(n=6, d=48)
    aside = np.zeros(48, np.float32)
    aside[7] = 1e-3
    quiet = replace(contrast, positive=contrast.negative + 50 * aside)
    found = cosmic(quiet, CosmicOptions(kl_limit=None))
    assert json.loads(found.record["separation"])["gain"] < 0.1
    assert "close" in found.record["warning"]
