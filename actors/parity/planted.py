"""Known mistakes of extraction scripts, each a switch of one recipe. Torch-free.

What each does is in ``actors.parity.reference``; the figures of what each costs are in docs/parity.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal

Side = Literal["left", "right"]
Site = Literal["output", "input", "next", "normed", "last_normed"]
Halves = Literal["", "bfloat16", "float16"]


@dataclass(frozen=True)
class Tokens:
    """How a prompt becomes tokens: by the chat ``template`` or as bare text, with the generation prompt or without, with blanks
    at its end ``stripped``, and with the BOS token in front once more (``bos``)."""

    template: bool = True
    generation_prompt: bool = True
    stripped: bool = False
    bos: bool = False


@dataclass(frozen=True)
class Pass:
    """How tokens run through the model: ``batch`` prompts at once, padded on a ``side``, with the attention ``mask`` or none.
    A batch that is padded on the left with its mask is what one prompt at a time is, but for rounding."""

    side: Side = "left"
    mask: bool = True
    batch: int = 1

    @property
    def clean(self) -> bool:
        """Whether it is as one prompt at a time, but for rounding."""
        return self.side == "left" and self.mask


@dataclass(frozen=True)
class ReadingRecipe:
    """How a direction is extracted. The default is right: see ``MISTAKES`` for what the other values mean.

    ``kept``: which prompts' activations reach the mean: all, the ``first`` of every batch, or those of the ``last_batch``.
    """

    tokens: Tokens = Tokens()
    side: Side = "left"
    mask: bool = True
    site: Site = "output"
    pooled: Literal["last", "mean"] = "last"
    kept: Literal["all", "first", "last_batch"] = "all"
    halves: Halves = ""
    batch: int = 1

    @property
    def run(self) -> Pass:
        """The forward passes that it takes: what is clean is run one prompt at a time."""
        passed = Pass(self.side, self.mask, self.batch)
        return Pass() if passed.clean else passed


@dataclass(frozen=True)
class Mistake:
    """A planted mistake: what it ``sets`` of a recipe and of its tokens, and what it is, in words. ``least``: prompts per forward
    from which on it shows, where it depends on how many there are; 0: it does not."""

    docs: str
    sets: Mapping[str, object] = field(default_factory=dict)
    tokens: Mapping[str, bool] = field(default_factory=dict)
    least: int = 0

    def planted(self, recipe: ReadingRecipe) -> ReadingRecipe:
        """``recipe`` with this mistake in it."""
        return replace(recipe, tokens=replace(recipe.tokens, **self.tokens), **self.sets)  # type: ignore[arg-type]


MISTAKES: dict[str, Mistake] = {
    "batch item 0": Mistake(
        "`output[0]` on a block that returns a tensor (transformers 5) and no tuple: the first prompt of every batch alone",
        {"kept": "first"},
        least=2,
    ),
    "right padding": Mistake("padding on the right, and `[:, -1]` read all the same", {"side": "right"}, least=2),
    "mask dropped": Mistake("a padded batch run without its attention mask", {"mask": False}, least=2),
    "final norm": Mistake(
        "`hidden_states[-1]` taken for the last block's output: the final norm is applied", {"site": "last_normed"}
    ),
    "normed stream": Mistake("every layer read behind the final norm, as a logit lens does", {"site": "normed"}),
    "block input": Mistake("the input of a block read for its output: every layer is the one before", {"site": "input"}),
    "next block": Mistake("off by one the other way: every layer is the one after", {"site": "next"}),
    "no template": Mistake("the bare text of the prompt, without the chat template", tokens={"template": False}),
    "no generation prompt": Mistake(
        "the chat template without what opens the answer (`add_generation_prompt=False`)", tokens={"generation_prompt": False}
    ),
    "stripped newline": Mistake("`.strip()` on the rendered prompt: its last token is another one", tokens={"stripped": True}),
    "doubled BOS": Mistake("a rendered prompt tokenized with special tokens: it begins with BOS once more", tokens={"bos": True}),
    "mean over tokens": Mistake("the mean over all tokens in place of the last one", {"pooled": "mean"}),
    "16-bit means": Mistake("means and their difference computed in bfloat16", {"halves": "bfloat16"}),
    "aliased buffer": Mistake(
        "activations kept without a copy, in a buffer that the next forward fills anew: a class has only its last batch",
        {"kept": "last_batch"},
        least=1,
    ),
}
"""By the name that a diagnosis gives."""

_BARE = ("generation_prompt", "stripped")
"""What only a rendered template has."""


@dataclass(frozen=True)
class Planted:
    """A recipe and the names of the faults in it; none: clean."""

    names: tuple[str, ...]
    recipe: ReadingRecipe


def planted(batches: Sequence[int], pairs: bool) -> Iterator[Planted]:
    """The clean recipe, every fault, and with ``pairs`` every two that do not contradict each other; those that depend on the
    batch once for each of ``batches``."""
    yield Planted((), ReadingRecipe())
    for count in (1, 2) if pairs else (1,):
        for names in combinations(MISTAKES, count):
            together = [MISTAKES[name] for name in names]
            if _contradict(together):
                continue
            least = max(fault.least for fault in together)
            for size in sorted({size for size in (1, *batches) if size >= least}) if least else [1]:
                recipe = ReadingRecipe(batch=size)
                for fault in together:
                    recipe = fault.planted(recipe)
                yield Planted(names, recipe)


def _contradict(together: Sequence[Mistake]) -> bool:
    """Whether two of them set the same, or one asks for what the other has left out."""
    keys = [key for fault in together for key in (*fault.sets, *fault.tokens)]
    return len(set(keys)) < len(keys) or ("template" in keys and any(key in keys for key in _BARE))
