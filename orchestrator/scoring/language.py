"""The scorer ``language``: which of some languages an answer is in, by lingua. Its models are loaded at the first answer."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from pydantic import Field, field_validator

from orchestrator.errors import fault, nearest_name
from orchestrator.scoring.answer import Answer, Reads
from orchestrator.scoring.finding import Finding
from orchestrator.scoring.options import ScorerOptions, encodable, scorer_id
from orchestrator.scoring.score import Labels, Score
from orchestrator.strict import FromList

UNKNOWN = "unknown"
READ = 1000
"""Characters from the start that are read: a language shows in a few sentences, and lingua takes seconds for a long text."""


class LanguageOptions(ScorerOptions):
    """``among``: ISO 639-1 codes of the languages that are told apart, each some 10 to 100 MB of memory. An answer with fewer
    letters than ``min_letters``, or in whose language lingua has less ``confidence`` (0 to 1) than this, is ``unknown``."""

    among: Annotated[tuple[str, ...], FromList, Field(min_length=2)] = ("en", "fr", "de", "es", "it", "pt")
    min_letters: int = Field(default=12, ge=0)
    confidence: float = Field(default=0.5, ge=0, le=1, allow_inf_nan=False)

    @field_validator("among")
    @classmethod
    def _codes(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        known = _known_codes()
        for code in codes:
            if code not in known:
                raise fault(f"unknown language '{code}'", ", ".join(known), nearest_name(code, known) or "")
        if len(set(codes)) != len(codes):
            raise fault("a language is listed twice", "each once")
        return codes


class LanguageScorer:
    """The code of the language of the answer, or ``unknown``."""

    def __init__(self, options: LanguageOptions) -> None:
        self.id = scorer_id("language", "1", options)
        self.reads: Reads = options.reads
        self.says = Labels((*options.among, UNKNOWN))
        self._options = options

    def score(self, answer: Answer) -> Score:
        """The label, with lingua's confidence in it as evidence."""
        text = encodable(answer.text[:READ])
        letters = sum(map(str.isalpha, text))
        if letters < self._options.min_letters:
            return Score(UNKNOWN, evidence=Finding("language:short", letters=letters).evidence())
        code, confidence = likeliest(self._options.among, text)
        label = code if confidence >= self._options.confidence else UNKNOWN
        return Score(label, evidence=Finding("language", likeliest=code, confidence=confidence).evidence())


@cache
def _known_codes() -> tuple[str, ...]:
    import lingua  # a second, for those who ask for it

    return tuple(sorted(language.iso_code_639_1.name.lower() for language in lingua.Language.all()))


@cache
def _detector(codes: tuple[str, ...]):  # type: ignore[no-untyped-def]  # its class is imported here alone
    import lingua

    isos = [getattr(lingua.IsoCode639_1, code.upper()) for code in codes]
    return lingua.LanguageDetectorBuilder.from_iso_codes_639_1(*isos).build()


def likeliest(codes: tuple[str, ...], text: str) -> tuple[str, float]:
    """The likeliest language and its share of the confidence of all."""
    best = _detector(codes).compute_language_confidence_values(text)[0]
    return best.language.iso_code_639_1.name.lower(), best.value
