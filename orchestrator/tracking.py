"""Metrics to Weights & Biases, or nowhere. Our own store is the truth; a tracker is a projection that may be missing.

A tracker never raises into the sweep and never holds it up for long.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from actors.types import CellResult, Failure, ModelInfo
from orchestrator.cells import Cell, content_id
from orchestrator.classifiers import LABEL_NAMES, Label
from orchestrator.recorder import Listener

INIT_TIMEOUT_SECONDS = 10
FINISH_TIMEOUT_SECONDS = 30

_log = logging.getLogger(__name__)


class Tracker(Listener, Protocol):
    """A listener with an end."""

    def finish(self, summary: Mapping[str, float]) -> None:
        """The run has ended with these totals."""
        ...


class NullTracker:
    """Tracks nothing."""

    def loaded(self, variant: str, worker: str, info: ModelInfo) -> None:
        """Nothing."""

    def cell_done(self, cell: Cell, result: CellResult, labels: Sequence[Label]) -> None:
        """Nothing."""

    def failed(self, failure: Failure) -> None:
        """Nothing."""

    def noted(self, text: str) -> None:
        """Nothing."""

    def finish(self, summary: Mapping[str, float]) -> None:
        """Nothing."""


@dataclass(frozen=True)
class RunIdentity:
    """Which W&B run a sweep writes to: always the same one for the same sweep name and results folder.

    ``cells_before``: cells that earlier runs finished, so that the step goes on counting.
    """

    project: str
    sweep: str
    results: Path
    cells_before: int = 0
    config: Mapping[str, object] = field(default_factory=dict)
    entity: str | None = None
    group: str | None = None

    @property
    def id(self) -> str:
        """The run id."""
        return content_id("run", {"sweep": self.sweep, "results": str(self.results.resolve())})


class WandbTracker(NullTracker):
    """One W&B run per sweep: a point per cell with its axes, and totals at the end.

    WANDB_MODE decides where it goes. Without a key, or when the server does not answer within
    ``INIT_TIMEOUT_SECONDS``, the run is written to ``<results>/wandb`` and ``wandb sync`` uploads it later.
    """

    def __init__(self, identity: RunIdentity) -> None:
        self._errors = _errors()
        self._step = identity.cells_before
        self._run: Any = None
        try:
            self._run = _start(identity, mode=None)
        except self._errors as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            _log.warning("Weights & Biases: %s; tracking offline in %s/wandb", reason, identity.results)
            self._start_offline(identity)

    def cell_done(self, cell: Cell, result: CellResult, labels: Sequence[Label]) -> None:
        """A point per cell."""
        self._step += 1
        point = {"cell_number": self._step, **axes(cell), **metrics(result, labels)}
        self._write(lambda run: run.log(point))

    def finish(self, summary: Mapping[str, float]) -> None:
        """Write the totals and close the run."""
        self._write(lambda run: run.summary.update(dict(summary)))
        self._write(lambda run: run.finish())
        self._run = None

    def _start_offline(self, identity: RunIdentity) -> None:
        import wandb

        try:
            wandb.teardown()  # its service keeps the run id of the failed start taken
            self._run = _start(identity, mode="offline")
        except self._errors as error:
            _log.warning("no tracking: %s", error)

    def _write(self, call: Callable[[Any], object]) -> None:
        """The first error ends the tracking, not the sweep."""
        if self._run is None:
            return
        try:
            call(self._run)
        except self._errors as error:
            self._run = None
            _log.warning("tracking stops: %s", error)


def _errors() -> tuple[type[Exception], ...]:
    """What W&B raises when it, its service process or its server fails; half of it does not derive from its own base."""
    import wandb  # three seconds that nobody pays who does not track
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError, WandbAttachFailedError
    from wandb.sdk.lib.service.service_token import WandbServiceConnectionError
    from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError
    from wandb.sdk.mailbox.mailbox_handle import ServerResponseError

    service = (WandbApiFailedError, WandbAttachFailedError, WandbServiceConnectionError)
    mailbox = (HandleAbandonedError, MailboxClosedError, ServerResponseError)
    return (wandb.Error, *service, *mailbox, OSError, RuntimeError, ValueError, TypeError)


def _start(identity: RunIdentity, mode: Literal["offline"] | None) -> Any:
    """A W&B run. With mode None, WANDB_MODE decides; an explicit "online" would override it."""
    import wandb

    identity.results.mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(
        silent=True,
        console="off",
        x_disable_stats=True,
        x_disable_meta=True,
        disable_git=True,
        save_code=False,
        init_timeout=INIT_TIMEOUT_SECONDS,
        finish_timeout=FINISH_TIMEOUT_SECONDS,
    )
    run = wandb.init(
        project=identity.project,
        entity=identity.entity,
        group=identity.group,
        name=identity.sweep,
        id=identity.id,
        resume="allow",
        mode=mode,
        dir=str(identity.results),
        config=dict(identity.config),
        settings=settings,
    )
    run.define_metric("cell_number")
    run.define_metric("*", step_metric="cell_number")
    return run


def axes(cell: Cell) -> dict[str, str | int | float]:
    """Where a cell lies in the sweep, as W&B columns; axes that it does not have are left out."""
    found: dict[str, str | int | float | None] = {
        "model": cell.labels.model,
        "behavior": cell.labels.behavior,
        "scope": cell.labels.scope,
        "depth": cell.labels.depth,
        "multiplier": 0.0,
    }
    if cell.steering is not None:
        found |= {
            "source_model": cell.labels.source_model or cell.labels.model,
            "method": cell.steering.direction.method,
            "layer": cell.steering.source_layer,
            "multiplier": cell.steering.multiplier,
            "intervention": cell.steering.intervention,
        }
    return {name: value for name, value in found.items() if value is not None}


def metrics(result: CellResult, labels: Sequence[Label]) -> dict[str, float]:
    """What a cell gave: the share of each label, their number, tokens and seconds."""
    counts = Counter(label.label for label in labels)
    shares = {f"{name}_rate": counts[name] / max(len(labels), 1) for name in LABEL_NAMES}
    return {**shares, "n": len(labels), "new_tokens": result.new_tokens, "seconds": result.seconds}
