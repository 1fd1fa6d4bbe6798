"""The rows of the tables that compare: a direction with its full precision, a transferred direction with the target's own.

Frozen dataclasses that declare the columns. A number that cannot be had is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from actors.positions import ALL
from actors.schedules import CONSTANT
from orchestrator.cells import CellKey

_TRANSFERRED = "successes with the transferred direction, their share of `n`, and its 95 % interval as in `cells.parquet`"
_CONTROL = "the same of the control's own responses"
_JOINT = "95 % percentile bootstrap that draws the same prompts in both arms; infinity stands for no upper bound"
_INDEPENDENT = "each arm drawn for itself, as in the paper's Table 10"


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectionRow:
    """One row of ``directions.parquet``: the direction of one stored set at one layer (0-based).

        ``full_precision_*`` compare a quantized model with the same model unquantized, of which float32 is preferred, then
    bfloat16, then float16. They are None where the model is not quantized or that direction is not stored.
    """

    direction_id: Annotated[str, "names the set by its content: `directions/<direction_id>.safetensors`"]
    variant: Annotated[str, "id of the model that it was found in, with its quantization, dtype, adapter and system prompt"]
    model: Annotated[str, "the sweep's name of that model"]
    quantization: Annotated[str, "`none` or its name"]
    dtype: Annotated[str, "in which the model computes"]
    behavior: Annotated[str, "the sweep's name of the behavior"]
    prompts_sha256: Annotated[str, "digest of the contrast prompts"]
    method: Annotated[str, "how it was found ([methods.md](methods.md))"]
    method_options: Annotated[str, "its options, a JSON object"]
    extractor: Annotated[str, "the tool that read the activations"]
    layer: Annotated[int, "of the model, from 0"]
    n_layers: Annotated[int | None, "layers of the model"]
    depth: Annotated[float | None, "layer / n_layers"]
    raw_norm: Annotated[float, "norm of the direction before it was made a unit vector"]
    residual_norm: Annotated[float, "mean norm of the residual stream at that layer over the contrast prompts"]
    selected: Annotated[bool, "whether the method chose this layer"]
    full_precision_direction_id: Annotated[str | None, "the same model's set unquantized"] = None
    full_precision_cosine: Annotated[float | None, "between the two, by the same method, options, tool and prompts"] = None
    full_precision_raw_norm: Annotated[float | None, "its `raw_norm`"] = None
    warning: Annotated[str | None, "where the chosen layer does not tell the classes apart"] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferRow:
    """One row of ``transfer.parquet``: a finished cell steered with another model's direction, beside its self-control.

    The control is the target steered with its own direction at the corresponding layer, everything else being equal; where
    the method chose the source's layer and no cell has the corresponding one, it is the target's cell at its own chosen layer.
    """

    cell_id: Annotated[str, "the transfer cell"]
    control_id: Annotated[
        str | None,
        "its control: the target steered with its own direction at the corresponding layer, with the same method, options, "
        "scope, intervention, positions, schedule, multiplier, prompts and decoding, an ordinary cell of the grid; null when "
        "none is finished",
    ]
    source: Annotated[str, "model that the direction comes from: `model` or `model/quantization`"]
    target: Annotated[str, "model that was steered"]
    behavior: Annotated[str, "the sweep's name of the behavior"]
    method: Annotated[str, "how the direction was found ([methods.md](methods.md))"]
    method_options: Annotated[str, "its options, a JSON object"]
    extractor: Annotated[str, "the tool that read the activations"]
    scope: Annotated[str | None, "which layers are steered, in the sweep's word"]
    intervention: Annotated[str, "what the direction does to the residual stream"]
    multiplier: Annotated[float, "what the unit direction is multiplied by"]
    max_new_tokens: Annotated[int, "tokens that a response may have, as in `cells.parquet`"]
    source_layer: Annotated[int | None, "layer of the source model whose direction acted"]
    layer: Annotated[int, "first steered layer of the target"]
    depth: Annotated[float | None, "that layer as a share of the depth"]
    control_layer: Annotated[int | None, "the same of the control"]
    layer_selected: Annotated[bool, "whether the method chose the layer"]
    in_sample: Annotated[bool | None, "as in `cells.parquet`"]
    n: Annotated[int, "responses"]
    success_n: Annotated[int | None, _TRANSFERRED]
    success_rate: Annotated[float | None, _TRANSFERRED]
    success_low: Annotated[float | None, _TRANSFERRED]
    success_high: Annotated[float | None, _TRANSFERRED]
    garbled_n: Annotated[int | None, "its responses that are garbled"]
    control_n: Annotated[int | None, _CONTROL]
    control_success_n: Annotated[int | None, _CONTROL]
    control_success_rate: Annotated[float | None, _CONTROL]
    control_success_low: Annotated[float | None, _CONTROL]
    control_success_high: Annotated[float | None, _CONTROL]
    te: Annotated[float | None, "transferred rate / control rate, null when the control's is 0 or missing"]
    te_low: Annotated[float | None, _JOINT]
    te_high: Annotated[float | None, _JOINT]
    te_independent_low: Annotated[float | None, _INDEPENDENT]
    te_independent_high: Annotated[float | None, _INDEPENDENT]
    mcnemar_p: Annotated[
        float | None, "McNemar's exact test of the two arms, two-sided; of several samples the sign-flip test by prompt"
    ]
    cross_cosine: Annotated[float | None, "between the two unit directions"]
    no_answer_n: Annotated[int | None, "its responses whose answer had not begun"] = None
    max_thought_tokens: Annotated[int | None, "tokens that its thoughts may have, as in `cells.parquet`"] = None
    positions: Annotated[str, "tokens at which the direction acts, as in `cells.parquet`"] = ALL
    schedule: Annotated[str, "how its strength changes along the answer, as in `cells.parquet`"] = CONSTANT
    keep_norm: Annotated[bool, "as in `cells.parquet`"] = False
    scales: Annotated[str, "factors on its strength by layer, as in `cells.parquet`"] = "none"
    site: Annotated[str, "where in a block it acts, as in `cells.parquet`"] = "output"

    @property
    def key(self) -> CellKey:
        """The transfer cell as its behavior counts it."""
        return self.cell_id, self.behavior
