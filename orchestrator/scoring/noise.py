"""Noise: characters and words that are no language at all.

Each rule returns its name with the numbers it measured, or None. Rules on words apply to cased scripts (Latin, Cyrillic,
Greek, ...) only, since other scripts are written without spaces or without vowels.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from orchestrator.scoring.finding import Finding

_LONGEST_WORD = 45
_RARE = (
    "bq bx cx dx fq fx fz gq gx hx jb jc jd jf jg jh jk jl jm jn jp jq jr js jt jv jw jx jy jz kq kx lx mq mx pq px "
    "qb qc qd qf qg qh qj qk ql qm qn qo qp qr qs qt qv qw qx qy qz vb vf vg vh vj vk vm vn vp vq vt vw vx wq wv wx wz "
    "xb xd xg xj xk xl xm xn xr xs xv xw xz yq zb zc zf zg zj zk zm zn zp zq zr zt zv zx dk sd df fj fw kg"
)
_RARE_PAIRS = frozenset(_RARE.split())
"""Letter pairs that the languages written in Latin script hardly use; keyboards mashed at random use them all the time."""
_SCRIPTS = {
    "CJK": "CJK",
    "HIRAGANA": "CJK",
    "KATAKANA": "CJK",
    "KATAKANA-HIRAGANA": "CJK",
    "HANGUL": "CJK",
    "BOPOMOFO": "CJK",
    "IDEOGRAPHIC": "CJK",
}
_BRACKETS = re.compile(r"(\()|(?<=[^\W\d_]{3})[\]\"']?(\))")
_CASED_WORD = re.compile(r"[^\W\d_]+")


def noise(text: str) -> Finding | None:
    """The first rule on characters that fires on ``text`` (normal form), or None."""
    return symbols(text) or endless_word(text) or mixed_scripts(text)


def odd_spelling(text: str) -> Finding | None:
    """The first rule on the spelling of prose that fires on ``text`` (normal form), or None."""
    return stray_brackets(text) or mashed_letters(text)


def is_letter(char: str) -> bool:
    """Letters, digits and the combining marks that many scripts write their vowels with."""
    return unicodedata.category(char)[0] in "LNM"


def symbols(text: str) -> Finding | None:
    """No letter at all (a few emoji are an answer), or symbols in place of a text."""
    shown = [char for char in text if not char.isspace()]
    letters = sum(map(is_letter, shown))
    if not letters:
        pictures = sum(unicodedata.category(char) == "So" for char in shown)
        return None if 1 <= pictures <= 8 and pictures * 2 >= len(shown) else Finding("noise:no_words", characters=len(shown))
    share = letters / len(shown)
    if len(shown) >= 30 and share < 0.35 and len(set(shown)) > 6:
        return Finding("noise:symbols", letter_share=share)
    return None


def stray_brackets(text: str) -> Finding | None:
    """Brackets that close after a word though nothing is open, more than once; code and lists open or number theirs."""
    open_now = strays = 0
    for opened, _closed in _BRACKETS.findall(text):
        open_now += 1 if opened else -1
        strays += open_now < 0
        open_now = max(open_now, 0)
    return Finding("noise:brackets", unopened=strays) if strays >= 2 else None


def mashed_letters(text: str) -> Finding | None:
    """Words that no one could say: no vowel, or pairs of letters that languages do not use."""
    words = [word.casefold() for word in _CASED_WORD.findall(text) if len(word) >= 3 and word.isascii() and not word.isupper()]
    if len(words) < 8:
        return None
    odd = sum(_is_odd(word) for word in words) / len(words)
    return Finding("noise:letters", odd_words=odd) if odd >= 0.4 else None


def _is_odd(word: str) -> bool:
    return not set(word) & set("aeiouy") or any(word[i : i + 2] in _RARE_PAIRS for i in range(len(word) - 1))


def endless_word(text: str) -> Finding | None:
    """One word far longer than any language's, when it is most of the text (an address or a hash has digits or dots)."""
    longest = max((len(word) for word in _CASED_WORD.findall(text) if word[0].lower() != word[0].upper()), default=0)
    share = longest / max(sum(not char.isspace() for char in text), 1)
    return Finding("noise:endless_word", letters=longest, share=share) if longest > _LONGEST_WORD and share > 0.4 else None


def script(char: str) -> str:
    """The writing system of a letter by its Unicode name; Chinese, Japanese and Korean count as one."""
    first = unicodedata.name(char, "UNKNOWN").split(" ", 1)[0]
    return _SCRIPTS.get(first, first)


def mixed_scripts(text: str) -> Finding | None:
    """Three or more scripts that alternate within words or from word to word, without punctuation between."""
    words = [found for line in re.split(r"[\n,.;:!?()\[\]\"/|=、。]", text) for found in _line_scripts(line)]
    flat = [name for line in words for name in line]
    if len(flat) < 8 or len(set(flat)) < 3:
        return None
    switches = sum(a != b for line in words for a, b in pairwise(line))
    share = switches / len(flat)
    return Finding("noise:scripts", scripts=len(set(flat)), switch_share=share) if share >= 0.35 else None


def _line_scripts(line: str) -> list[list[str]]:
    """For one unpunctuated stretch, the script of every run of letters of one script, word after word."""
    runs: list[str] = []
    for word in line.split()[:2000]:
        previous = ""
        for name in (script(char) for char in word if unicodedata.category(char)[0] == "L"):
            if name != previous:
                runs.append(name)
            previous = name
    return [runs] if runs else []


def words_of(text: str) -> Sequence[str]:
    """Casefolded words between blanks, outer punctuation stripped; works for scripts that use combining marks."""
    stripped = (word.strip("\"'.,;:!?()[]{}<>*_~|-–—…。，、！？；：¿¡«»") for word in text.casefold().split())
    return [word for word in stripped if word]
