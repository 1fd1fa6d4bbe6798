"""Where in a block an activation is read or edited. Knows no torch.

A *point* is a site of one block, as one number: of the output of block ``l`` it is ``l``, of the other sites it is a multiple of
the number of blocks further on.
"""

from __future__ import annotations

import re

OUTPUT = "output"
EVERYWHERE = "everywhere"
HEADS = "heads"
SITES = (OUTPUT, "input", "attention", "mlp", HEADS)
"""Of a block: what it puts out; what it is given; what attention, and what the MLP, adds to the residual stream; and the heads'
outputs side by side, as the output projection of attention reads them. ``head:3`` is one of these heads."""
ALLOWED = "output, input, attention, mlp, heads, {head: 3}, or for an ablation everywhere"
_HEAD = re.compile(r"head:(\d{1,3})")


def site_of(text: str) -> str:
    """``text`` itself where it is a site; ValueError says what is wrong."""
    if text in (*SITES, EVERYWHERE) or _HEAD.fullmatch(text):
        return text
    raise ValueError(f"site {text!r} is unknown")


def head_of(site: str) -> int | None:
    """The number of the head that a site is; None where it is none."""
    found = _HEAD.fullmatch(site)
    return None if found is None else int(found[1])


def of_heads(site: str) -> bool:
    """Whether it is one of the heads' outputs, or all of them."""
    return site == HEADS or head_of(site) is not None


def point_of(site: str, layer: int, n_layers: int) -> int:
    """The point of ``site`` at block ``layer`` of ``n_layers``."""
    head = head_of(site)
    return layer + n_layers * (SITES.index(site) if head is None else len(SITES) + head)


def place_of(point: int, n_layers: int) -> tuple[str, int]:
    """Site and block of a point."""
    kind, layer = divmod(point, n_layers)
    return SITES[kind] if kind < len(SITES) else f"head:{kind - len(SITES)}", layer


def reached(point: int, n_layers: int) -> tuple[int, int]:
    """Sorts points in the order in which a model reaches them."""
    site, layer = place_of(point, n_layers)
    return layer, ("input", HEADS, "attention", "mlp", OUTPUT).index(HEADS if of_heads(site) else site)


def places_of_steering(site: str, layers: tuple[int, ...]) -> list[tuple[str, int, int]]:
    """Where a steering acts, as site, block and index among its ``layers``. Everywhere: what the first of its blocks is given,
    and all that attention and MLP of each add to the residual stream."""
    if site != EVERYWHERE:
        return [(site, layer, index) for index, layer in enumerate(layers)]
    added = [(kind, layer, index) for index, layer in enumerate(layers) for kind in ("attention", "mlp")]
    return [("input", layers[0], 0), *added]
