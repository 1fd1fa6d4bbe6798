"""Known mistakes of steering scripts, each a switch of one recipe. Torch-free; what each does is in ``actors.parity.steered``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True)
class SteeringRecipe:
    """How a vector is added behind a block while a model answers greedily. The default is right: once, behind the block that was
    asked for, at every token of the prompt and of the answer, in every row of the batch.

    ``shift``: blocks further on; ``times``: how often it is added (0: the model is left alone); ``prompt``: at which of the
    prompt's tokens; ``first_step``: at the first token of the answer; ``later_steps``: at those behind it.
    """

    shift: int = 0
    times: int = 1
    rows: Literal["all", "first"] = "all"
    prompt: Literal["all", "last", "none"] = "all"
    first_step: bool = True
    later_steps: bool = True


@dataclass(frozen=True)
class SteeringMistake:
    """What it ``sets`` of a recipe, and what it is, in words."""

    docs: str
    sets: Mapping[str, object] = field(default_factory=dict)

    @property
    def recipe(self) -> SteeringRecipe:
        """The recipe with this mistake in it."""
        return replace(SteeringRecipe(), **self.sets)  # type: ignore[arg-type]


STEERING_MISTAKES: dict[str, SteeringMistake] = {
    "not steered": SteeringMistake("the edit never reaches the model", {"times": 0}),
    "prefill missed": SteeringMistake(
        "only forwards of a single token are edited: the prompt, and so the first token, is unsteered", {"prompt": "none"}
    ),
    "first step missed": SteeringMistake(
        "counting begins one step late: the first token of the answer is read without the edit", {"first_step": False}
    ),
    "answer missed": SteeringMistake(
        "only the forward of the prompt is edited: the answer goes on unsteered", {"first_step": False, "later_steps": False}
    ),
    "last token alone": SteeringMistake("`[:, -1]` is edited: of the prompt the last token alone", {"prompt": "last"}),
    "added twice": SteeringMistake("the hook is registered twice", {"times": 2}),
    "batch item 0 alone": SteeringMistake(
        "`output[0] += vector` on a block that returns a tensor: the first row of a batch alone", {"rows": "first"}
    ),
    "block before": SteeringMistake("off by one layer: added behind the block before", {"shift": -1}),
    "block after": SteeringMistake("off by one layer the other way", {"shift": 1}),
}
"""By the name that a diagnosis gives."""
