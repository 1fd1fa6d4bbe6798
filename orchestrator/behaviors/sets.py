"""Published sets of prompts, by name: where each of their files lies, at which revision, and what its bytes must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.models.hub import hub_url

Half = Literal["harmful", "benign"]


@dataclass(frozen=True)
class SetFile:
    """One file of a set: ``path`` in a repository at a commit, the SHA-256 of its bytes, and the ``half`` of its prompts.

    ``hub``: of a data set of the hub, else of a repository of GitHub."""

    repo: str
    revision: str
    path: str
    sha256: str
    half: Half | None = None
    hub: bool = False

    @property
    def url(self) -> str:
        """Where it is fetched from."""
        if self.hub:
            return hub_url(self.repo, self.path, self.revision, dataset=True)
        return f"https://raw.githubusercontent.com/{self.repo}/{self.revision}/{self.path}"


@dataclass(frozen=True)
class PromptSet:
    """A set: its licence, whose it is, its files, and the columns that are read. ``halves``: which half a value of the column
    ``half`` names; ``context``: a text that stands before the prompt where there is one."""

    licence: str
    by: str
    files: tuple[SetFile, ...]
    text: str
    category: str
    id: str = ""
    half: str = ""
    context: str = ""
    halves: Mapping[str, Half] = field(default_factory=dict)


_JBB = ("JailbreakBench/JBB-Behaviors", "886acc352a31533ffbcf4ef22c744658688086fc")
_OR_BENCH = ("bench-llm/or-bench", "e36d8b80e81837c8a8f264bbb2a49f1b32c7e272")

SETS: dict[str, PromptSet] = {
    "xstest": PromptSet(
        licence="CC-BY-4.0",
        by="Röttger et al. 2024, arXiv:2308.01263",
        files=(
            SetFile(
                *("paul-rottger/exaggerated-safety", "d7bb5bd738c1fcbc36edd83d5e7d1b71a3e2d84d"),
                "xstest_prompts.csv",
                "11783fb294ed017473ee53c207d71f2161c7672c8d0b037501e78387f801cb5a",
            ),
        ),
        text="prompt",
        category="type",
        id="id",
        half="label",
        halves={"unsafe": "harmful", "safe": "benign"},
    ),
    "jbb": PromptSet(
        licence="MIT",
        by="Chao et al. 2024, arXiv:2404.01318; with prompts of AdvBench and of TDC/HarmBench",
        files=(
            SetFile(
                *_JBB,
                "data/harmful-behaviors.csv",
                "4a8ec6832056b631eb092dccc60d37a61c3d441268268888b3d006288afeffa1",
                "harmful",
                hub=True,
            ),
            SetFile(
                *_JBB,
                "data/benign-behaviors.csv",
                "3cda234d21a991fa309bbfea4b6d9dae31ccdf8e9d452424b6a983e4fdc33468",
                "benign",
                hub=True,
            ),
        ),
        text="goal",
        category="category",
        id="index",
    ),
    "advbench": PromptSet(
        licence="MIT",
        by="Zou et al. 2023, arXiv:2307.15043",
        files=(
            SetFile(
                *("llm-attacks/llm-attacks", "098262edf85f807224e70ecd87b9d83716bf6b73"),
                "data/advbench/harmful_behaviors.csv",
                "6cd1a5c63c07610d7eb67307772ee5606017ee950b5770ab288a2c487489d3e1",
                "harmful",
            ),
        ),
        text="goal",
        category="",
    ),
    "harmbench": PromptSet(
        licence="MIT",
        by="Mazeika et al. 2024, arXiv:2402.04249",
        files=(
            SetFile(
                *("centerforaisafety/HarmBench", "c0423b952435fcc8467108d8f25962dbae5b7de2"),
                "data/behavior_datasets/harmbench_behaviors_text_all.csv",
                "8d81accedd38eaaf8b760618622bb888417d1fd0c86eba65c427a16f1cbb4afc",
                "harmful",
            ),
        ),
        text="behavior",
        category="semanticcategory",
        id="behaviorid",
        context="contextstring",
    ),
    "or-bench": PromptSet(
        licence="CC-BY-4.0",
        by="Cui et al. 2024, arXiv:2405.20947",
        files=(
            SetFile(
                *_OR_BENCH,
                "or-bench-toxic.csv",
                "3be45901faae3b4b2b51bf7f8a2784c1650a1cc8c631dbc8b171d5312d4e0057",
                "harmful",
                hub=True,
            ),
            SetFile(
                *_OR_BENCH,
                "or-bench-hard-1k.csv",
                "a6e2f1166416efe5901f3bb05c47dc92ab3aca3acfe143693d38b8057d841e6d",
                "benign",
                hub=True,
            ),
        ),
        text="prompt",
        category="category",
    ),
    # of its file no hash could be had: the user names the file, and may name the hash
    "beavertails": PromptSet(
        licence="CC-BY-NC-4.0", by="Ji et al. 2023, arXiv:2307.04657", files=(), text="prompt", category="category"
    ),
}
"""Every set by the name that a sweep file uses. The texts of a CSV's columns are read without their case."""
