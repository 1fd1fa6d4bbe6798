"""What to know of a behavior before it is run: what was read, and in what its classes differ besides the behavior."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from scipy.stats import fisher_exact, mannwhitneyu

from actors.types import Prompt
from orchestrator.behaviors.loading import BehaviorRead
from orchestrator.behaviors.similarity import near_pairs, normalized
from orchestrator.counting import counted
from orchestrator.untrusted import visible

LEVEL = 0.05
"""p-values below it are warned of."""
LISTED = 5
"""Duplicates that are shown; all are counted, and in the JSON form."""
SHOWN_CHARACTERS = 1_000

Render = Callable[[Prompt], str]


@dataclass(frozen=True)
class Lengths:
    """Medians of both classes in one unit, and the p-value of the two-sided rank test (Mann-Whitney)."""

    unit: str
    positive: float
    negative: float
    p: float


@dataclass(frozen=True)
class FirstWord:
    """The first word whose share differs most between the classes: counts, and Fisher's p-value times the number of words."""

    word: str
    positive: int
    negative: int
    p: float


@dataclass(frozen=True)
class BehaviorCheck:
    """What was found. ``files``: what was read of each; ``duplicates`` and ``near_duplicates``: pairs of ids; ``rendered``: whole
    prompts by role, empty where the model's template is not at hand."""

    files: tuple[dict[str, object], ...]
    sizes: dict[str, int]
    pairs: int
    lengths: tuple[Lengths, ...]
    first_word: FirstWord
    duplicates: tuple[tuple[str, str], ...]
    near_duplicates: tuple[tuple[str, str], ...]
    rendered: dict[str, str]

    @property
    def warnings(self) -> list[str]:
        """What may make the direction, or the rates, one of something else; a sentence each."""
        told = []
        if self.sizes["positive"] != self.sizes["negative"]:
            told.append("the classes differ in size: methods that take contrast pairs (pca, cosmic_svd) are not run")
        told += [
            f"{one.unit} differ between the classes (medians {one.positive:g} and {one.negative:g}, p = {one.p:.2g}): "
            "the direction may be one of length"
            for one in self.lengths
            if one.p < LEVEL
        ]
        first = self.first_word
        if first.p < LEVEL:
            told.append(
                f"the first word {visible(first.word, 40)!r} tells the classes apart "
                f"({first.positive} of {self.sizes['positive']} and "
                f"{first.negative} of {self.sizes['negative']}, p = {first.p:.2g}): the direction may be one of that word"
            )
        told += _listed("say the same in one role", self.duplicates)
        return told + _listed("nearly say the same, at least one of them a test prompt", self.near_duplicates)

    def as_json(self) -> dict[str, object]:
        """All of it."""
        return {**asdict(self), "warnings": self.warnings}

    def lines(self) -> list[str]:
        """For people; texts of the files are shown escaped."""
        told = [_file_line(one) for one in self.files]
        pairs = f"; {counted(self.pairs, 'pair')}" if self.pairs else ""
        tests = counted(self.sizes["test"], "test prompt")
        told.append(f"{self.sizes['positive']} positive, {self.sizes['negative']} negative, {tests}{pairs}")
        told += [
            f"{one.unit}: medians {one.positive:g} and {one.negative:g} (p = {one.p:.2g})"
            for one in self.lengths
            if one.p >= LEVEL
        ]
        told += [f"warning: {warning}" for warning in self.warnings]
        return told + [
            f"{role}, as the model reads it: {visible(text, SHOWN_CHARACTERS)}" for role, text in self.rendered.items()
        ]


def check_behavior(read: BehaviorRead, render: Render | None) -> BehaviorCheck:
    """Check what ``read`` holds; ``render`` gives the whole prompt of one (None: the model's template is not at hand)."""
    behavior = read.behavior
    positive, negative = ([_said(prompt) for prompt in side] for side in (behavior.positive, behavior.negative))
    shown = {} if render is None else {"positive": render(behavior.positive[0]), "negative": render(behavior.negative[0])}
    return BehaviorCheck(
        files=tuple(
            {"file": one.file, "form": one.form, "prompts": len(one.lines), "left_aside": list(one.left_aside)}
            for one in read.files
        ),
        sizes={"positive": len(positive), "negative": len(negative), "test": len(behavior.test)},
        pairs=sum(one.pairs for one in read.files),
        lengths=(
            _lengths("words", *([len(text.split()) for text in side] for side in (positive, negative))),
            _lengths("characters", *([len(text) for text in side] for side in (positive, negative))),
        ),
        first_word=_first_word(positive, negative),
        duplicates=tuple(pair for side in (behavior.positive, behavior.negative, behavior.test) for pair in _duplicates(side)),
        near_duplicates=(*behavior.near_duplicates(), *_near_within(behavior.test)),
        rendered=shown,
    )


def _said(prompt: Prompt) -> str:
    """In what the classes differ: the answers where there are some, else the user's texts."""
    return prompt.answer or prompt.text


def _lengths(unit: str, positive: Sequence[int], negative: Sequence[int]) -> Lengths:
    p = float(mannwhitneyu(positive, negative).pvalue)
    return Lengths(unit, median(positive), median(negative), p)


def _first_word(positive: Sequence[str], negative: Sequence[str]) -> FirstWord:
    ours, theirs = (Counter(normalized(text).split()[0] for text in side) for side in (positive, negative))
    words = sorted({*ours, *theirs})
    n, m = len(positive), len(negative)
    word = max(words, key=lambda one: abs(ours[one] / n - theirs[one] / m))
    p = float(fisher_exact([[ours[word], n - ours[word]], [theirs[word], m - theirs[word]]]).pvalue)
    return FirstWord(word, ours[word], theirs[word], min(1.0, p * len(words)))


def _duplicates(prompts: Sequence[Prompt]) -> list[tuple[str, str]]:
    """(id of the first, id of a later one) of prompts in the same words."""
    first: dict[tuple[str, str], str] = {}
    found = []
    for prompt in prompts:
        earlier = first.setdefault((normalized(prompt.text), prompt.answer.casefold()), prompt.id)
        if earlier != prompt.id:
            found.append((earlier, prompt.id))
    return found


def _near_within(prompts: Sequence[Prompt]) -> list[tuple[str, str]]:
    unlike = list({normalized(prompt.text): prompt for prompt in reversed(prompts)}.values())[::-1]
    texts = [prompt.text for prompt in unlike]
    return [(unlike[one].id, unlike[other].id) for one, other in near_pairs(texts, texts) if one < other]


def _listed(what: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    if not pairs:
        return []
    named = ", ".join(f"{visible(one, 40)} and {visible(other, 40)}" for one, other in pairs[:LISTED])
    more = f", ... ({len(pairs)} pairs)" if len(pairs) > LISTED else ""
    return [f"prompts that {what}: {named}{more}"]


def _file_line(one: dict[str, object]) -> str:
    aside = one["left_aside"]
    left = f"; left aside: {', '.join(visible(str(key), 40) for key in aside)}" if isinstance(aside, list) and aside else ""
    return f"{one['file']}: {one['form']}; {one['prompts']} prompts{left}"
