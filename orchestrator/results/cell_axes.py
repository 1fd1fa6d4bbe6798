"""Where a cell lies in the sweep: the columns that every table of cells begins with, and a plan keeps. Imports no arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from actors.positions import ALL
from actors.schedules import CONSTANT
from actors.sites import OUTPUT
from orchestrator.results.columns import Axis, Int16


@dataclass(frozen=True, kw_only=True, slots=True)
class CellAxes:
    """Where a cell lies in the sweep: its ids and every axis. Layers are absolute and 0-based."""

    cell_id: Annotated[str, "names the cell by its content: `responses/<cell_id>.parquet`"]
    direction_id: Annotated[str | None, "the direction set that steered: `directions/<direction_id>.safetensors`"]
    variant: Annotated[
        str, "id of the model that was steered, with its quantization, dtype, adapter and system prompt", Axis.VARIANT
    ]
    model: Annotated[str, "the sweep's name of the model that was steered", Axis.MODEL]
    source: Annotated[str, "where it comes from: `hub`, `folder` or `embedded`"]
    location: Annotated[
        str, "hub repository, base name of the folder (paths stay out of results), or name of the embedded model", Axis.MODEL
    ]
    revision: Annotated[str | None, "revision on the hub"]
    adapter: Annotated[bool, "whether an adapter (LoRA) is applied", Axis.MODEL]
    dtype: Annotated[str, "in which the model computes", Axis.MODEL]
    quantization: Annotated[str, "`none` or its name", Axis.QUANTIZATION]
    system_prompt: Annotated[str | None, "put before every prompt", Axis.MODEL]
    model_fingerprint: Annotated[str, "digest of the model's files"]
    family: Annotated[str, "the model's family, as the sweep says it"]
    n_layers: Annotated[Int16 | None, "layers of the model"]
    d_model: Annotated[int | None, "width of its residual stream"]
    behavior: Annotated[str, "the sweep's name of the behavior", Axis.TEST]
    n: Annotated[int, "responses: of every test prompt as many as there are `samples`"]
    max_new_tokens: Annotated[
        int, "tokens that a response may have, or with `max_thought_tokens` its answer without its thoughts", Axis.TEST
    ]
    method: Annotated[
        str | None,
        "how the direction was found ([methods.md](methods.md)); null for a baseline, as is all steering",
        Axis.METHOD,
    ]
    method_options: Annotated[str | None, "its options, a JSON object", Axis.METHOD]
    extractor: Annotated[str | None, "the tool that read the activations", Axis.TOOL]
    source_model: Annotated[str | None, "the sweep's name of the model that the direction comes from"]
    is_transfer: Annotated[bool, "whether that is another model than the one that was steered"]
    scope: Annotated[str | None, "which layers are steered, in the sweep's word", Axis.STEERING]
    source_layer: Annotated[Int16 | None, "layer of the source model whose direction acted; null with the scope `own`"]
    depth: Annotated[float | None, "that layer as a share of the depth, where the sweep asks for it so"]
    layers: Annotated[tuple[Int16, ...] | None, "where the cell was really steered, ascending"]
    intervention: Annotated[str | None, "what the direction does to the residual stream", Axis.STEERING]
    multiplier: Annotated[float | None, "what the unit direction is multiplied by", Axis.STRENGTH]
    layer_selected: Annotated[bool, "whether the method chose the layer, which then is in no plan"] = False
    in_sample: Annotated[
        bool | None,
        "true where the rate is of the prompts that chose the setting (tables and figures mark it with †), false on held-out "
        "prompts, null where the sweep chooses nothing",
    ] = None
    max_thought_tokens: Annotated[
        int | None,
        "tokens that its thoughts may have, their marks included; null where the answer's are counted with them",
        Axis.TEST,
    ] = None
    temperature: Annotated[float, "at which tokens were drawn; 0: the likeliest was taken", Axis.TEST] = 0.0
    top_p: Annotated[float, "they were drawn from the fewest likeliest ones that have this mass", Axis.TEST] = 1.0
    samples: Annotated[int, "responses to each prompt", Axis.TEST] = 1
    seed: Annotated[int, "that the random numbers follow from", Axis.TEST] = 0
    search: Annotated[str | None, "the grid whose search tried the cell; null outside of a search"] = None
    trial: Annotated[int | None, "its number among the trials of its arm (model, behavior, method), from 1"] = None
    positions: Annotated[
        str,
        "tokens at which the direction acts ([sweep-file.md](sweep-file.md#at-which-tokens)); `all` also in a baseline's row",
        Axis.STEERING,
    ] = ALL
    strength: Annotated[
        str,
        "what the multiplier is of: the unit direction (`absolute`), or one as long as the residual stream is in the mean over "
        "the contrast prompts at the layer (`relative`)",
        Axis.STEERING,
    ] = "absolute"
    schedule: Annotated[
        str,
        "how the strength changes along the answer ([sweep-file.md](sweep-file.md#how-strongly-along-the-answer))",
        Axis.STEERING,
    ] = CONSTANT
    keep_norm: Annotated[bool, "whether the edited residual stream is scaled to the norm that it had", Axis.STEERING] = False
    scales: Annotated[
        str,
        "factors on the multiplier, layer by layer: `none`, each layer's `raw_norm`, or one for each steered layer",
        Axis.STEERING,
    ] = "none"
    site: Annotated[
        str, "where in a block the direction acts ([sweep-file.md](sweep-file.md#where-in-a-block))", Axis.STEERING
    ] = OUTPUT
    asked: Annotated[
        str | None, "the behavior whose test prompts are asked, where that is another one than the cell is scored for", Axis.TEST
    ] = None
    steers: Annotated[str | None, "the behavior that the direction is of, where that is another one", Axis.STEERING] = None
    when: Annotated[
        str,
        "the condition under which it acts ([sweep-file.md](sweep-file.md#under-a-condition)): whose direction, found how, the "
        "layer, the side, the threshold (`auto`: learned), and the beginning of the direction's id; empty: always",
        Axis.STEERING,
    ] = ""
    then: Annotated[
        str,
        "the further directions that steer after it ([sweep-file.md](sweep-file.md#several-directions-at-once)), in order: a "
        "JSON list of objects with the keys of the columns here, their conditions among them; empty: none",
        Axis.STEERING,
    ] = ""
    then_multipliers: Annotated[tuple[float, ...] | None, "of each of these; null: none", Axis.FURTHER] = None
    orthogonal: Annotated[
        bool, "whether each later direction was made orthogonal to those of the earlier ones", Axis.STEERING
    ] = False

    @property
    def action(self) -> str:
        """How it is steered in words, where it is not by adding a multiple of the unit direction at every token."""
        return self._action(self.then_multipliers or ())

    @property
    def kind(self) -> str:
        """The same without how strong the further directions are."""
        return self._action([None] * len(self.then_multipliers or ()))

    def _action(self, multipliers: Sequence[float | None]) -> str:
        from actors.types import Action  # with the wire's arrays, which reading a plan does not need
        from orchestrator.results.part_axes import told_condition, told_part

        settings = {name: getattr(self, name) for name in Action.names()}
        said = [Action(**settings).words if self.intervention is not None else "", told_condition(self.when)]
        said += [told_part(part, multiplier) for part, multiplier in zip(parts_after(self), multipliers, strict=True)]
        return "; ".join(filter(None, [*said, "made orthogonal" if self.orthogonal else ""]))

    @property
    def key(self) -> tuple[str, str]:
        """The cell as its behavior counts it."""
        return self.cell_id, self.behavior

    @property
    def origin(self) -> Annotated[str | None, Axis.ORIGIN]:
        """Whose direction it is: ``itself``, or another model by its name."""
        return self.source_model if self.is_transfer else "itself"

    @property
    def place(self) -> Annotated[tuple[int, ...] | str | None, Axis.PLACE]:
        """Where it acts: the steered layers, or ``selected`` where the method chose them."""
        return "selected" if self.layer_selected else self.layers


def parts_after(row: CellAxes) -> list[dict[str, Any]]:
    """The further directions that steer a cell, as its column ``then`` has them."""
    return json.loads(row.then) if row.then else []
