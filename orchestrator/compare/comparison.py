"""Two sides of finished cells against each other: the numbers of one comparison, and Holm's adjustment over several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from actors.types import SampleKey
from orchestrator.clusters import Count, difference_p, rate_interval
from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.outcome import OUTCOMES, Outcome, in_words, success_in_words
from orchestrator.results.conditions import NAMED
from orchestrator.results.rows import CellRow
from orchestrator.scoring import Label
from orchestrator.statistics import (
    BootstrapKind,
    Interval,
    TransferEffectiveness,
    clustered,
    cohens_h,
    effectively_steerable,
    fisher,
    holm,
    p_text,
    rate_text,
    sign_flip,
    transfer_effectiveness,
)

Outcomes = dict[SampleKey, bool]
"""Prompt and sample -> whether the response counts."""

_Answers = dict[tuple[str, str], list[bool]]
"""Prompt -> whether each of its responses counts, of all cells and samples."""

LEVEL = 0.05
"""Below it a p-value is told as significant."""

Reader = Callable[[CellRow], Outcomes]

TAKE_PAIRED = (
    "where p and paired p lie on either side of 0.05, take the paired one: it is exact given how far each prompt's answers "
    "differ, and p is too small where few prompts do"
)
CLUSTERED = "a prompt has several answers, which are not independent: tests and intervals are clustered by prompt"


@dataclass(frozen=True)
class Side:
    """The cells of one side, taken together, with the ``outcomes`` of each."""

    name: str
    rows: tuple[CellRow, ...]
    outcomes: tuple[Outcomes, ...]

    @property
    def n(self) -> int:
        """Responses."""
        return sum(map(len, self.outcomes))

    @property
    def k(self) -> int:
        """Those that count."""
        return sum(sum(one.values()) for one in self.outcomes)

    def answers(self, digested: bool = True) -> _Answers:
        """By prompt; ``digested``: prompts are told apart by the digest of their cell's. Folders of before there was one have the
        behavior for it."""
        found: _Answers = {}
        for row, outcomes in zip(self.rows, self.outcomes, strict=True):
            prompts = (digested and row.prompts_sha256) or row.behavior
            for (prompt, _), counts in outcomes.items():
                found.setdefault((prompts, prompt), []).append(counts)
        return found

    @property
    def rate(self) -> float:
        """``k / n``."""
        return self.k / self.n

    @property
    def interval(self) -> Interval:
        """95 %, clustered by prompt where one has several answers."""
        return rate_interval((sum(found), len(found)) for found in self.answers().values())

    @property
    def several(self) -> bool:
        """Whether a prompt has several answers."""
        return len(self.answers()) < self.n

    @property
    def in_sample(self) -> bool:
        """Whether a cell's prompts are those that chose its setting, so that its rate flatters it."""
        return any(row.in_sample for row in self.rows)

    @property
    def steerable(self) -> bool:
        """Whether the rate reaches 60 % (meant for success)."""
        return effectively_steerable(self.k, self.n)


@dataclass(frozen=True)
class Paired:
    """The same ``n`` prompts on both sides, equally often: on how many one side counts more often than the other, and the p,
    McNemar's exact one, or with several answers to a prompt that of the sign-flip test by prompt."""

    n: int
    only_a: int
    only_b: int
    p: float
    p_holm: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A against B. ``points``: A's rate minus B's in percentage points. ``paired`` is None where the
    answers do not pair (a note says why).

    ``p`` is Fisher's, or where a prompt has ``several`` answers one that is clustered by prompt: of the cluster-robust t where
    the answers pair, else of the interval of the difference. ``te``: the transferred side over the target's own, when one side
    is the transfer of the other. ``p_holm`` is ``p`` adjusted for all comparisons of the table (None: only one). ``differs``: the
    columns in which the sides differ.
    """

    counted: str
    a: Side
    b: Side
    points: float
    p: float
    h: float
    paired: Paired | None
    te: TransferEffectiveness | None
    differs: tuple[str, ...]
    notes: tuple[str, ...]
    p_holm: float | None = None

    def __repr__(self) -> str:
        sides = ", ".join(f"{side.name} {rate_text(side.k, side.n)}" for side in (self.a, self.b))
        return f"Comparison({self.counted}: {sides}: {self.points:+.1f} points, p {p_text(self.p)}, h {self.h:+.2f})"

    @property
    def several(self) -> bool:
        """Whether a prompt has several answers on a side, of samples or of cells."""
        return self.a.several or self.b.several

    @property
    def of_success(self) -> bool:
        """Whether successes are counted."""
        return self.counted == "success"

    @property
    def words(self) -> str:
        """What is counted, for people: of success the label that counts as such."""
        targets = (row.target for row in (*self.a.rows, *self.b.rows))
        return success_in_words(targets) if self.of_success else in_words(self.counted)


@dataclass(frozen=True)
class Question:
    """What is asked of every pair of sides: what is ``counted``, an outcome or a label by its own name, and which bootstrap TE
    shows. ``outcome:NAME`` and ``label:NAME`` say which of the two NAME is, where it is both; else it is the outcome."""

    counted: str = "outcome:success"
    te_kind: BootstrapKind = "joint"

    @property
    def outcome(self) -> Outcome | None:
        """The outcome that is counted; None: it is a label."""
        return next((one for one in OUTCOMES if self.counted in (one, f"outcome:{one}")), None)

    @property
    def label(self) -> str:
        """The label that is counted, where it is no outcome."""
        return self.counted.removeprefix("label:")

    @property
    def name(self) -> str:
        """What is counted, by its name alone unless that is the name of an outcome too."""
        return self.outcome or (self.counted if self.label in OUTCOMES else self.label)

    def counts(self, label: Label) -> bool:
        """Whether a response with ``label`` counts."""
        return label.label == self.label if self.outcome is None else label.outcome == self.outcome

    def check(self, there: Collection[tuple[str, str]]) -> None:
        """InputError, of ``--label``, for what is neither an outcome nor one of the labels that are ``there``, each with what it
        counts as, and for a name of both that are not the same."""
        labels = dict.fromkeys(label for label, _ in there)
        if self.outcome is None and self.label not in labels:
            known = list(dict.fromkeys([*OUTCOMES, *labels]))
            allowed = f"{', '.join(known[:20])}; outcome:NAME and label:NAME, too"
            raise InputError(
                Problem("--label", self.counted, "nothing here is called so", allowed, nearest_name(self.label, known))
            )
        if self.counted in OUTCOMES and any(label == self.counted != outcome for label, outcome in there):
            message = "an outcome and a label that does not count as it are both called so"
            raise InputError.because(message, "--label", self.counted, f"outcome:{self.counted}, label:{self.counted}")


def side_of(name: str, rows: Sequence[CellRow], question: Question, read: Reader) -> Side:
    """The cells of ``rows`` taken together. InputError for cells without labels or without responses, and for one that is
    there for several behaviors: its responses would count twice."""
    twice = [cell_id for cell_id, count in Counter(row.cell_id for row in rows).items() if count > 1]
    if twice:
        behaviors = ", ".join(sorted({row.behavior for row in rows if row.cell_id in twice}))
        message = f"{len(twice)} cells are shared by several behaviors, and their responses would count twice"
        raise InputError.because(message, name, allowed=f"--where behavior=NAME, one of {behaviors}")
    unlabelled = [row.cell_id for row in rows if not row.labelled]
    if unlabelled:
        raise InputError.because(f"{len(unlabelled)} cells have no labels yet ({unlabelled[0]}): run `score`", name)
    if not any(row.n for row in rows):
        raise InputError.because("its cells have no responses", name)
    return Side(name, tuple(rows), tuple(map(read, rows)))


def compare(a: Side, b: Side, question: Question) -> Comparison:
    """Every number of A against B. InputError when they share a cell."""
    shared = {row.cell_id for row in a.rows} & {row.cell_id for row in b.rows}
    if shared:
        raise InputError.because(f"{len(shared)} cells are on both sides, such as {min(shared)}", f"{a.name} | {b.name}")
    differs = tuple(column for column in NAMED if _values(a, column) != _values(b, column))
    digested = all(row.prompts_sha256 for row in (*a.rows, *b.rows))
    answers = a.answers(digested), b.answers(digested)
    paired = _paired(*answers)
    several = a.several or b.several
    about = [CLUSTERED] if several else []
    if not several:
        p = fisher(a.k, a.n, b.k, b.n)
    elif isinstance(paired, str):
        p = difference_p(*map(_counts, answers))
    else:
        p = _clustered(*answers)
        about += [TAKE_PAIRED] if (p < LEVEL) != (paired.p < LEVEL) else []
    return Comparison(
        counted=question.name,
        a=a,
        b=b,
        points=100 * (a.rate - b.rate),
        p=p,
        h=cohens_h(a.k, a.n, b.k, b.n),
        paired=None if isinstance(paired, str) else paired,
        te=_transfer(a, b, question.te_kind, answers) if question.outcome == "success" else None,
        differs=differs,
        notes=tuple(_notes(a, b, about, unpaired=paired if isinstance(paired, str) else "")),
    )


def adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same with Holm-adjusted p-values, the unpaired and the paired each for themselves; one alone needs none."""
    if len(comparisons) < 2:
        return list(comparisons)
    unpaired_p = holm([one.p for one in comparisons])
    paired_p = iter(holm([one.paired.p for one in comparisons if one.paired is not None]))
    return [
        replace(one, p_holm=p, paired=None if one.paired is None else replace(one.paired, p_holm=next(paired_p)))
        for one, p in zip(comparisons, unpaired_p, strict=True)
    ]


def _values(side: Side, column: str) -> set[object]:
    return {getattr(row, column) for row in side.rows}


def _clustered(first: _Answers, second: _Answers) -> float:
    answers = [(counts, side is first, key) for side in (first, second) for key, found in side.items() for counts in found]
    outcomes, sides, prompts = zip(*answers, strict=True)
    return clustered(outcomes, sides, prompts)


def _counts(answers: _Answers) -> list[Count]:
    return [(sum(found), len(found)) for found in answers.values()]


def _paired(first: _Answers, second: _Answers) -> Paired | str:
    """The paired test; in words why there is none unless every prompt was answered as often on either side."""
    if first.keys() != second.keys():
        return "the two sides were not asked the same prompts"
    if any(len(found) != len(second[key]) for key, found in first.items()):
        return "a prompt has more answers on one side than on the other"
    differences = [sum(found) - sum(second[key]) for key, found in first.items()]
    return Paired(len(first), sum(d > 0 for d in differences), sum(d < 0 for d in differences), sign_flip(differences))


def _transfer(a: Side, b: Side, kind: BootstrapKind, answers: tuple[_Answers, _Answers]) -> TransferEffectiveness | None:
    """TE of the side that is all transfer over the one that is the target's own, of each prompt the share of its answers;
    unpaired sides allow only ``independent``."""
    a_transfers, b_transfers = ({row.is_transfer and row.steered for row in side.rows} for side in (a, b))
    own = b if a_transfers == {True} else a
    if {True} not in (a_transfers, b_transfers) or {False} not in (a_transfers, b_transfers):
        return None
    if not all(row.steered for row in own.rows) or {row.variant for row in a.rows} != {row.variant for row in b.rows}:
        return None
    first, second = answers
    paired = first.keys() == second.keys()
    arms = [[sum(found[key]) / len(found[key]) for key in (first if paired else found)] for found in answers]
    transferred, control = arms if own is b else arms[::-1]
    return transfer_effectiveness(transferred, control, kind if paired else "independent")


def _notes(a: Side, b: Side, about: Sequence[str], unpaired: str) -> list[str]:
    notes = []
    for side in (a, b):
        if side.in_sample:
            notes.append(f"{side.name}: in-sample, its prompts chose its setting")
        if any(row.fired is False for row in side.rows):
            notes.append(f"{side.name}: a steering did not fire")
    notes += about
    classifiers = sorted({row.classifier or "" for row in (*a.rows, *b.rows)})
    if len(classifiers) > 1:
        notes.append(f"labelled by different classifiers: {', '.join(classifiers)}")
    if unpaired:
        notes.append(f"no paired test: {unpaired}")
    return notes
