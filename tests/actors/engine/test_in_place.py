"""Edits are written over what they are made of only where nothing else reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from actors.engine.in_place import edits_in_place
from actors.engine.site_places import site_places
from actors.sites import point_of
from actors.worker import ModelWorker

Loader = Callable[..., ModelWorker]
SITES = ("output", "input", "attention", "mlp", "heads")


def points_of(n_layers: int, sites: tuple[str, ...] = SITES) -> list[int]:
    return [point_of(site, layer, n_layers) for site in sites for layer in range(n_layers)]


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "mixtral"])
def test_nothing_else_reads_what_is_edited(family: str, tiny_worker: Loader) -> None:
    loaded = tiny_worker(family)._held()
    assert edits_in_place(loaded.model, loaded.decoder, points_of(loaded.decoder.n_layers))


def test_a_block_whose_output_another_block_reads_is_told(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny_worker("llama")._held()
    site_places(loaded.model, loaded.decoder)  # of the model as it is
    first, third = loaded.decoder.blocks[0], loaded.decoder.blocks[2]
    kept, forwards = [torch.empty(0)], (first.forward, third.forward)

    def keeping(*args: Any, **kwargs: Any) -> Any:
        out = forwards[0](*args, **kwargs)
        kept[0] = out[0] if isinstance(out, tuple) else out
        return out

    def reading(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return forwards[1](hidden + kept[0], *args, **kwargs)

    monkeypatch.setattr(first, "forward", keeping)
    monkeypatch.setattr(third, "forward", reading)
    for site, safe in {"output": False, "attention": True, "mlp": True}.items():
        points = points_of(loaded.decoder.n_layers, (site,))
        points.append(point_of("heads", 0, loaded.decoder.n_layers))  # no set of points that another test asked about
        assert edits_in_place(loaded.model, loaded.decoder, points) is safe


def test_a_state_whose_numbers_are_large_for_their_dtype_is_told(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 what is added to a large number may be nothing."""
    loaded = tiny_worker("llama", "bfloat16")._held()
    first, third = loaded.decoder.blocks[0], loaded.decoder.blocks[2]
    kept, forwards = [torch.empty(0)], (first.forward, third.forward)

    def keeping(*args: Any, **kwargs: Any) -> Any:
        kept[0] = forwards[0](*args, **kwargs) * 1e6
        return kept[0]

    monkeypatch.setattr(first, "forward", keeping)
    monkeypatch.setattr(third, "forward", lambda hidden, *args, **kwargs: forwards[1](hidden + kept[0], *args, **kwargs))
    assert not edits_in_place(loaded.model, loaded.decoder, points_of(loaded.decoder.n_layers, ("output",)))


def test_rows_that_are_one_in_memory_are_told(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny_worker("llama")._held()
    site_places(loaded.model, loaded.decoder)  # of the model as it is
    second = loaded.decoder.blocks[1]
    forward = second.forward
    monkeypatch.setattr(
        second, "forward", lambda hidden, *args, **kwargs: forward(hidden, *args, **kwargs)[:1].expand(hidden.shape)
    )
    assert not edits_in_place(loaded.model, loaded.decoder, points_of(loaded.decoder.n_layers, ("output",)))
    assert edits_in_place(loaded.model, loaded.decoder, points_of(loaded.decoder.n_layers, ("mlp",)))
