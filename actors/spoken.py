"""What of a response is its answer, and what the model only thought: told apart by the marks that models use.

A thought is what stands between two marks of ``actors.thoughts.PAIRS``, before a closing one alone (the prompt had opened it),
or in another channel than ``final``. A mark that is only mentioned opens and closes nothing: one in quotation marks or code, or
one with words of its own sentence on both sides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from actors.thoughts import AROUND_ANSWERS, CHANNEL, IN_WORDS, MESSAGE, PAIRS

_ANYWHERE = re.compile(r"think|THINK|channel|unused|inner")
"""Openings that start a thought at any line; the others, which are words of plain XML, do so before the answer only."""
_MARK = re.compile(
    "|".join(f"(?P<o{number}>{re.escape(o)})|(?P<c{number}>{re.escape(c)})" for number, (o, c) in enumerate(PAIRS)),
    re.IGNORECASE,
)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_PARTS_OF_SENTENCES = re.compile(r"[^\s.!?…:;)\]*>\"'”]$")
_TOKENS = re.compile("|".join(map(re.escape, AROUND_ANSWERS)))
_WRAPPED = re.compile(r"\s*<(response|answer|output)>(.*?)(?:</\1>\s*)?$", re.DOTALL | re.IGNORECASE)

_USED_CHANNEL = re.compile(
    r"\A\s*<\|channel\|>|<\|start\|>[^<]*<\|channel\|>|<\|channel\|>\s*(?:analysis|commentary|final)\b[^<`]*<\|message\|>"
)
"""A channel that is one: at the beginning, in the head of a message, or with one; not a mark that a sentence only mentions."""
_CHANNEL_ENDS = re.compile(r"<\|(?:end|start|return|call)\|>")
_SPOKEN_CHANNEL = re.compile(r"\s*final\b")
_BEGINS = r"(?=[A-Z\"'“‘«(¡¿]|[^\x00-\x7f])"
_FIRST_CHANNEL = re.compile(rf"\s*(analysis|commentary|final){_BEGINS}")
_ANY_CHANNEL = re.compile(r"\s*(analysis|commentary)(?=\S)")
_SWITCH = re.compile(r"assistant(analysis|commentary|final)(?=\S|\Z)")
_TO_FINAL = re.compile(rf"assistantfinal{_BEGINS}")

_PROCESS = re.compile(rf"\s*here(?: is|'s|’s) my {IN_WORDS}:", re.IGNORECASE)
_RESPONSE = re.compile(r"here(?: is|'s|’s) my response:", re.IGNORECASE)

BORDERS = re.compile(
    "|".join([*(re.escape(mark) for pair in PAIRS for mark in pair), re.escape(CHANNEL), re.escape(MESSAGE)])
    + f"|{_PROCESS.pattern}|{_RESPONSE.pattern}",
    re.IGNORECASE,
)
"""Where alone, in a text with its marks, a thought may begin or end."""


@dataclass(frozen=True)
class Spoken:
    """A response in two: its ``answer``, and its ``thought`` (None: it has none, and the answer is the response as it is).

    ``open``: it ends inside a thought.
    """

    answer: str
    thought: str | None = None
    open: bool = False


def told_apart(response: str) -> Spoken:
    """The answer of ``response`` and its thoughts. Never raises."""
    if _USED_CHANNEL.search(response):
        return _channels(response)
    found = _bare_channels(response) or _process(response) or _tagged(response)
    if found is None:
        bare = _TOKENS.sub("", response)
        return Spoken(bare.strip() if bare != response else response)
    wrapped = _WRAPPED.fullmatch(found.answer)
    answer = _TOKENS.sub("", wrapped.group(2) if wrapped else found.answer)
    return Spoken(answer.strip(), (found.thought or "").strip(), found.open)


def _channels(response: str) -> Spoken:
    """Harmony with its marks: what is in the channel ``final`` is said, what is in any other is thought."""
    first, *rest = response.split(CHANNEL)
    said, thought = [_CHANNEL_ENDS.split(first)[0]], list[str]()
    begun = bool(said[0].strip())
    for chunk in rest:
        head, mark, body = chunk.partition(MESSAGE)
        text = _CHANNEL_ENDS.split(body)[0]
        final = _SPOKEN_CHANNEL.match(head) is not None and bool(mark)
        begun |= final
        (said if final else thought).append(text)
    return Spoken("".join(said).strip(), "\n".join(thought).strip() if thought else None, not begun)


def _bare_channels(response: str) -> Spoken | None:
    """The same where the marks were left out in decoding, ``analysis...assistantfinal...``; None where it is not that."""
    switches = list(_SWITCH.finditer(response))
    first = (_ANY_CHANNEL if switches else _FIRST_CHANNEL).match(response) or _FIRST_CHANNEL.match(response)
    if first is None and not _TO_FINAL.search(response):
        return None
    names = [first.group(1) if first else "analysis", *(switch.group(1) for switch in switches)]
    starts = [first.end() if first else 0, *(switch.end() for switch in switches)]
    ends = [*(switch.start() for switch in switches), len(response)]
    parts = [(name, response[start:end]) for name, start, end in zip(names, starts, ends, strict=True)]
    said = [text for name, text in parts if name == "final"]
    thought = [text for name, text in parts if name != "final"]
    return Spoken("".join(said), "\n".join(thought), not said)


def _process(response: str) -> Spoken | None:
    """Granite 3.2, which marks both in words."""
    begins = _PROCESS.match(response)
    if begins is None:
        return None
    answers = _RESPONSE.search(response, begins.end())
    if answers is None:
        return Spoken("", response[begins.end() :], open=True)
    return Spoken(response[answers.end() :], response[begins.end() : answers.start()])


def _tagged(response: str) -> Spoken | None:
    """Thoughts between marks; None where nothing opens or closes one."""
    said: list[str] = []
    thought: list[str] = []
    inside: str | None = None
    start = 0
    for mark in _MARK.finditer(response):
        kind = str(mark.lastgroup)
        before = response[start : mark.start()]
        if kind[0] == "o":
            if inside is None and _opens(response, mark, before):
                said.append(before)
                inside, start = kind[1:], mark.end()
        elif (_ends(response, mark, inside) and not _mentioned(response, mark)) or (
            inside is None and _closes(response, mark, before)
        ):
            thought.append(before)
            inside, start = None, mark.end()
    if inside is None and not thought:
        return None
    (said if inside is None else thought).append(response[start:])
    parts = [part.strip() for part in said if part.strip()]
    return Spoken("\n\n".join(parts), "\n".join(thought), inside is not None)


def _ends(text: str, mark: re.Match[str], inside: str | None) -> bool:
    """The closing mark of the opening one, or where that never comes a near relative's: ``<think>...</thinking>``."""
    if inside is None:
        return False
    own, this = PAIRS[int(inside)][1], mark.group().casefold()
    return this == own.casefold() or (this[:6] == own[:6] == "</thin" and own not in text[mark.start() :].casefold())


def _opens(text: str, mark: re.Match[str], before: str) -> bool:
    """Before anything was said; later at the start of a line, and with the marks that are nothing else."""
    if not before.strip() and not text[: mark.start()].strip():
        return True
    if _mentioned(text, mark) or _in_code(text, mark):
        return False
    if not before.strip():
        return True
    return before.rstrip(" \t").endswith("\n") and _ANYWHERE.search(mark.group()) is not None


def _closes(text: str, mark: re.Match[str], before: str) -> bool:
    """A closing mark whose opening the prompt had: at a line's or a sentence's end, glued to its neighbours, or before a gap."""
    if _mentioned(text, mark) or _in_code(text, mark):
        return False
    after = text[mark.end() :]
    if before.rstrip(" \t").endswith("\n") or not before.strip():
        return True
    if not after.strip():
        return False  # the last word of a sentence about it
    spaced = before[-1:].isspace()
    ended = _PARTS_OF_SENTENCES.search(before.rstrip()) is None
    return ended or not (spaced or after[:1].isspace()) or re.match(r"[ \t]*\n\s*\n", after) is not None


def _mentioned(text: str, mark: re.Match[str]) -> bool:
    """In quotation marks, or in a line's code."""
    around = text[mark.start() - 1 : mark.start()], text[mark.end() : mark.end() + 1]
    if all(around) and around[0] in "\"'`“‘«„" and around[1] in "\"'`”’»“":
        return True
    line = text[text.rfind("\n", 0, mark.start()) + 1 : mark.start()]
    rest = text[mark.end() :].partition("\n")[0]
    return line.count("`") % 2 == 1 and "`" in rest


def _in_code(text: str, mark: re.Match[str]) -> bool:
    return any(fence.start() < mark.start() < fence.end() for fence in _FENCE.finditer(text))
