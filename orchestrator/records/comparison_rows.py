"""The rows of the tables that compare: a direction with its full precision, a transferred direction with the target's own.

Frozen dataclasses of columns; ``schema`` derives their Parquet types. A number that cannot be had is None.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DirectionRow:
    """One row of ``directions.parquet``: the direction of one stored set at one layer (0-based).

    ``model`` and ``behavior`` are the sweep's words, ``prompts_sha256`` the digest of the contrast prompts. ``raw_norm``: the
    direction's before normalising; ``residual_norm``: mean last-token norm over the contrast prompts. ``selected``: the
    method's own choice of layer, with a ``warning`` where it does not tell the classes apart. ``full_precision_*`` compare a
    quantized model with the same model unquantized, of which float32 is preferred, then bfloat16, then float16: the direction
    by the same method, options, tool and prompts at the same layer. They are None where the model is not
    quantized or that direction is not stored.
    """

    direction_id: str
    variant: str
    model: str
    quantization: str
    dtype: str
    behavior: str
    prompts_sha256: str
    method: str
    method_options: str
    extractor: str
    layer: int
    n_layers: int | None
    depth: float | None
    raw_norm: float
    residual_norm: float
    selected: bool
    full_precision_direction_id: str | None = None
    full_precision_cosine: float | None = None
    full_precision_raw_norm: float | None = None
    warning: str | None = None


@dataclass(frozen=True, kw_only=True)
class TransferRow:
    """One row of ``transfer.parquet``: a finished cell steered with another model's direction, beside its self-control.

    ``source`` and ``target`` name model variants (``model`` or ``model/quantization``). The control is the target steered
    with its own direction at the corresponding layer, everything else being equal; where the method chose the source's
    layer and no cell has the corresponding one, it is the target's cell at its own chosen layer (``control_layer`` tells).
    ``coherent_refusal_n`` of ``n`` responses refuse, ``control_refusal_n`` of ``control_n`` of the control's; intervals are
    95 % Wilson. ``te`` = transferred rate / control rate, None when the control's is 0 or missing; ``te_low`` and
    ``te_high`` by joint resampling of the prompts, ``te_independent_*`` by independent resampling, as the paper's Table 10;
    infinity stands for no upper bound. ``mcnemar_p``: exact, two-sided. ``cross_cosine``: of the two unit directions.
    """

    cell_id: str
    control_id: str | None
    source: str
    target: str
    behavior: str
    method: str
    method_options: str
    extractor: str
    scope: str | None
    intervention: str
    multiplier: float
    max_new_tokens: int
    source_layer: int | None
    layer: int
    depth: float | None
    control_layer: int | None
    layer_selected: bool
    in_sample: bool | None
    n: int
    coherent_refusal_n: int | None
    coherent_refusal_rate: float | None
    coherent_refusal_low: float | None
    coherent_refusal_high: float | None
    garbled_n: int | None
    normal_n: int | None
    control_n: int | None
    control_refusal_n: int | None
    control_refusal_rate: float | None
    control_refusal_low: float | None
    control_refusal_high: float | None
    te: float | None
    te_low: float | None
    te_high: float | None
    te_independent_low: float | None
    te_independent_high: float | None
    mcnemar_p: float | None
    cross_cosine: float | None
    no_answer_n: int | None = None
