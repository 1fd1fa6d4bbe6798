"""Rotary embeddings whose frequencies depend on how long the sequence is.

transformers takes that length from the longest position in a forward: a long row would change the keys of its neighbours, and
``dynamic`` keeps what its longest forward so far has set. Up to the length that the model was first trained for there is one set
of frequencies; rows that stay within it may share a batch, and any other runs alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

DEPENDENT = ("dynamic", "longrope")


@dataclass(frozen=True)
class Rotary:
    """The rotary modules of a model whose frequencies depend on the length. ``limit``: tokens up to which they do not (None: the
    model has no such module)."""

    modules: tuple[nn.Module, ...] = ()
    limit: int | None = None

    @classmethod
    def of(cls, model: Any) -> Rotary:
        """Those of ``model``, by what the modules say of themselves."""
        found = tuple(module for module in model.modules() if _kinds(module) & set(DEPENDENT))
        limits = [limit for module in found for limit in _limits(module)]
        return cls(found, min(limits) if limits else None)

    def shares(self, tokens: int) -> bool:
        """Whether a row of ``tokens`` in all, prompt and answer, may share a batch."""
        return self.limit is None or tokens <= self.limit

    @contextmanager
    def held(self) -> Iterator[None]:
        """The frequencies of short rows, whatever positions a forward has in the ``with`` block: no slot changes another's, and
        nothing is looked up on the host. Rows that do not :meth:`shares` must not run in it."""
        self.restore()
        before = [(module, module.rope_type) for module in self.modules]
        try:
            for module, named in before:
                module.rope_type = dict.fromkeys(named, "default") if isinstance(named, dict) else "default"  # type: ignore[assignment]
            yield
        finally:
            for module, named in before:
                module.rope_type = named

    @torch.inference_mode()
    def restore(self) -> None:
        """Forget the lengths that earlier forwards have seen."""
        for module in self.modules:
            state: dict[str, Any] = {**dict(module.named_buffers(recurse=False)), **module.__dict__}
            for name in [name for name in state if name.endswith("original_inv_freq")]:
                prefix = name.removesuffix("original_inv_freq")
                state[f"{prefix}inv_freq"].copy_(state[name])  # in place: a recorded step reads this very tensor
                if f"{prefix}max_seq_len_cached" in state:
                    setattr(module, f"{prefix}max_seq_len_cached", state["original_max_seq_len"])


def _kinds(module: nn.Module) -> set[str]:
    """The rotary kinds that a module names, one or one per attention kind; "dynamic" may stand within a longer name."""
    named: Any = getattr(module, "rope_type", None)
    names = [str(name) for name in (named.values() if isinstance(named, dict) else [named]) if name]
    return {kind for kind in DEPENDENT for name in names if kind in name}


def _limits(module: nn.Module) -> list[int]:
    """Tokens up to which the frequencies stay as they are: for each attention kind that says so, else the module's own."""
    config: Any = getattr(module, "config", None)
    parameters: Any = getattr(config, "rope_parameters", None) or {}
    each = [one for one in (parameters, *parameters.values()) if isinstance(one, dict)]
    named = [one["original_max_position_embeddings"] for one in each if one.get("original_max_position_embeddings")]
    own: Any = getattr(module, "original_max_seq_len", None)
    return [int(limit) for limit in (*named, own) if limit]
