"""Extraction methods, one file each, listed here: activations of two classes -> one direction per layer. Imports no torch.

To add a method: a file with a function like :func:`actors.methods.dim.dim` and a frozen pydantic model of its options,
and a line below. A method that needs more than the last token (template positions, trials on the model, its own choice of a
layer) takes the whole :class:`~actors.methods.contrast.Contrast`, as :func:`actors.methods.cosmic.cosmic` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actors.methods.contrast import Activations, Asked, Contrast, Found, Probe, Reading, Trial
from actors.methods.cosmic import CosmicOptions, cosmic, cosmic_unfit
from actors.methods.cosmic_svd import CosmicSvdOptions, cosmic_svd, cosmic_svd_unfit
from actors.methods.curve import CurveOptions, curve, curve_unfit
from actors.methods.dim import DimOptions, dim
from actors.methods.file import FileOptions, file
from actors.methods.logistic import LogisticOptions, logistic
from actors.methods.options import MethodOptions
from actors.methods.pca import PcaOptions, pca, pca_unfit
from actors.methods.random import RandomOptions, random
from actors.methods.rfm import RfmOptions, rfm
from actors.methods.wrmd import WrmdOptions, wrmd, wrmd_unfit

__all__ = ["METHODS", "Activations", "Asked", "Contrast", "Found", "Method", "Probe", "Reading", "Trial", "at_last_token"]


@dataclass(frozen=True)
class Method:
    """``find(contrast, options)``: what the method found, from one capture.

    ``selects_layer``: it also picks a layer by itself (``Found.selected_layer``). ``reads_positions``: it needs every template
    position, however large that makes the capture; other methods get at least the last token. ``unfit(asked, options)``: why it
    cannot do what is asked, in a sentence, as far as that is known before a model is loaded; None when it can. ``given``: it
    takes the vectors that come with the job (``Contrast.given``), of whichever layers these are.
    """

    find: Callable[[Contrast, Any], Found]
    options: type[MethodOptions]
    selects_layer: bool = False
    reads_positions: bool = False
    unfit: Callable[[Asked, Any], str | None] = lambda _asked, _options: None
    given: bool = False


def at_last_token(difference: Callable[[Activations, Activations, Any], Activations]) -> Callable[[Contrast, Any], Found]:
    """Make a method of a plain function ``(positive [n, L, d], negative [n, L, d], options) -> [L, d]``, all float64.

    It is given the last token of every prompt; the norm of what it returns is the raw norm.
    """

    def find(contrast: Contrast, options: Any) -> Found:
        return Found(difference(*contrast.last, options))

    return find


METHODS: dict[str, Method] = {
    "dim": Method(at_last_token(dim), DimOptions),
    "cosmic": Method(cosmic, CosmicOptions, selects_layer=True, reads_positions=True, unfit=cosmic_unfit),
    "cosmic_svd": Method(cosmic_svd, CosmicSvdOptions, selects_layer=True, reads_positions=True, unfit=cosmic_svd_unfit),
    "pca": Method(at_last_token(pca), PcaOptions, unfit=pca_unfit),
    "logistic": Method(at_last_token(logistic), LogisticOptions),
    "wrmd": Method(wrmd, WrmdOptions, unfit=wrmd_unfit),
    "rfm": Method(at_last_token(rfm), RfmOptions),
    "curve": Method(curve, CurveOptions, unfit=curve_unfit),
    "random": Method(at_last_token(random), RandomOptions),
    "file": Method(file, FileOptions, given=True),
}
