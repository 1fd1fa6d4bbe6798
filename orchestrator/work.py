"""The one protocol of everything that takes a model."""

from __future__ import annotations

from typing import Protocol


class WorkItem(Protocol):
    """Something that one worker with one model does, and that leaves one file."""

    @property
    def id(self) -> str:
        """Content id; names the file."""
        ...

    @property
    def kind(self) -> str:
        """A key of ``scheduling.kinds.KINDS``."""
        ...

    @property
    def variant(self) -> str:
        """The model variant that it takes."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """The ids of the items whose files must be there."""
        ...

    @property
    def rows(self) -> int:
        """Prompts to run."""
        ...

    @property
    def budget(self) -> int:
        """Tokens at most, the measure of its size."""
        ...
