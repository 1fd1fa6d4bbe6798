"""Word salad: English words in an order that no grammar allows, or a heap of words that no function word holds together.

English only, by evidence: a text whose commonest function words belong to another language is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from orchestrator.scoring.finding import Finding

_FUNCTION_WORDS = {
    "en": "the a an of to in on at by for from with and or but not is are was were be been it its this that these those you "
    "your i my me we our he she they them his her their as if so can will would should could may have has had do does did there "
    "which who what when where how than then into about after before up out no all any some more most",
    "fr": "le la les un une des de du et à en dans pour que qui ne pas est sont il elle vous je sur avec ce cette au aux par ou",
    "es": "el la los las un una de del y en que no es son por para con se su al lo como más o le te mi tu si",
    "de": "der die das ein eine einen und oder in im zu zum mit von auf für nicht ist sind sie er es ich wir den dem des sich",
    "it": "il lo la i gli le un una di del della e in che non è sono per con si al da come più o su",
    "pt": "o a os as um uma de do da dos das e em no na que não é são por para com se ao como mais ou seu",
    "nl": "de het een van en in op te dat is zijn niet met voor aan er om ook als je ik",
    "sv": "en ett och i på att det som är för av med den till inte om de har",
    "da": "en et og i på at det som er for af med den til ikke om de har",
    "pl": "i w na z do nie to że się jest jak o po od za dla lub",
    "cs": "a v na se je že to s z do ne o k pro jako jsou",
    "ro": "și în de la cu un o pe nu că este sunt din pentru ce sau",
    "tr": "ve bir bu da de için ile çok ne gibi daha mi o en olarak var",
    "fi": "ja on ei se että kun niin joka ovat mutta tai myös kuin",
    "hu": "a az és egy hogy nem is van ez meg de vagy",
    "id": "dan yang di ke dari ini itu untuk dengan tidak adalah pada atau akan bisa",
    "vi": "và là của có không cho một những được trong với để các này từ",
    "sw": "na ya wa ni kwa la za katika hii kuwa cha au lakini",
    "tl": "ang ng sa na mga ay at ito ni para si",
    "la": "et in est non ad ut cum sed qui quod de ex a",
}
_BY_LANGUAGE = {language: frozenset(words.split()) for language, words in _FUNCTION_WORDS.items()}

_DETERMINERS = frozenset(["the", "a", "an", "my", "your", "our", "their"])
_ARTICLES = frozenset({"a", "an"})
_AFTER_ARTICLE = frozenset(["such", "like", "these", "those", "this", "some", "any", "there", "here"])
_PREPOSITIONS = frozenset(["of", "for", "with", "from", "by", "at", "to"])
_CONJUNCTIONS = frozenset(["and", "or", "but"])
_BE = frozenset(["is", "are", "was", "were"])
_PRONOUNS = frozenset(["it", "he", "she", "they", "we", "them", "us", "him"])
_AFTER_DETERMINER = _PREPOSITIONS | _CONJUNCTIONS | _DETERMINERS | _BE | _PRONOUNS | frozenset(["not", "than", "as", "if"])
_AFTER_PREPOSITION = _CONJUNCTIONS | _BE | frozenset(["of", "to", "than"])
_NO_CONTRACTION = re.compile(r"\b(?:(?:i|he|she|it)'re|(?:i|you|we|they|he|she|it)'t)\b")
_MAY_DOUBLE = frozenset(
    [
        "that",
        "had",
        "is",
        "very",
        "so",
        "no",
        "ha",
        "he",
        "ho",
        "hee",
        "heh",
        "la",
        "na",
        "yeah",
        "hey",
        "bye",
        "oh",
        "knock",
        "much",
        "really",
        "many",
        "more",
        "far",
        "long",
        "chop",
        "tsk",
    ]
)
_STRETCH = re.compile(r"[^.,;:!?()\[\]\"|/=<>{}\n]+")
_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*|\d+")


def salad(text: str) -> Finding | None:
    """The first word-salad rule that fires on ``text`` (normal form), or None."""
    stretches = [words for part in _STRETCH.findall(text.casefold()) if (words := _WORD.findall(part))]
    words = [word for stretch in stretches for word in stretch]
    language, share = function_language(text.casefold().split())
    if len(odd := _NO_CONTRACTION.findall(text.casefold())) >= 2:
        return Finding("salad:contractions", odd=", ".join(dict.fromkeys(odd)))
    if language == "en" and share >= 0.15:
        return _impossible_pairs(stretches, words)
    return _no_function_words(text, stretches, share)


def function_language(words: Sequence[str]) -> tuple[str, float]:
    """The language whose function words are commonest in ``words``, with their share."""
    clean = [word.strip("\"'.,;:!?()-*") for word in words]
    counts = {language: sum(word in known for word in clean) for language, known in _BY_LANGUAGE.items()}
    best = max(counts, key=lambda language: counts[language])
    return best, counts[best] / max(len(clean), 1)


def _impossible_pairs(stretches: Sequence[Sequence[str]], words: Sequence[str]) -> Finding | None:
    """Neighbours that English grammar rules out ("the of", "of and", "any any"), as a share of all words."""
    bad = [f"{a} {b}" for stretch in stretches for a, b in pairwise(stretch) if _impossible(a, b)]
    share = len(bad) / max(len(words), 1)
    if len(bad) >= 2 and share >= 0.03:
        return Finding("salad:pairs", pairs=", ".join(dict.fromkeys(bad)), share=share)
    return None


def _impossible(first: str, second: str) -> bool:
    if first == second:
        return first not in _MAY_DOUBLE and not first.isdigit()
    return (
        (first in _DETERMINERS and second in _AFTER_DETERMINER)
        or (first in _ARTICLES and second in _AFTER_ARTICLE)
        or (first in _PREPOSITIONS and second in _AFTER_PREPOSITION)
        or (first in _CONJUNCTIONS and second in _CONJUNCTIONS)
        or (first in _BE and second in _BE)
    )


def _no_function_words(text: str, stretches: Sequence[Sequence[str]], share: float) -> Finding | None:
    """A long unpunctuated heap of plain ASCII words without function words of any language we know."""
    longest = max(map(len, stretches), default=0)
    if longest >= 15 and share < 0.08 and text.isascii():
        return Finding("salad:no_function_words", words=longest, function_share=share)
    return None
