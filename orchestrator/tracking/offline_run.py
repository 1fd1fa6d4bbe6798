"""A W&B run on disk. Nothing here waits for a network: ``upload`` sends the same file from a process of its own.

An online run would send from W&B's service process, which has been seen to end on an odd answer of the server and to take
with it what it had not yet written. This one is written first and sent later.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from orchestrator.redaction import redacted_values
from orchestrator.tracking.overview import AXES
from orchestrator.tracking.tables import TrackedTable
from orchestrator.tracking.tracker import RunIdentity

FLUSH_SECONDS = 5.0
"""How old the file on disk may be: what a killed driver loses of the metrics, and how far an upload lags behind."""

FINISH_SECONDS = 5.0
STEP = "cell_number"
RATES = ("cells_done", "cells_failed", "tokens_per_second", "seconds_left")
"""Of the live rates, whose last value is the run's."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """What W&B's own settings ask for (WANDB_MODE, WANDB_BASE_URL, the key): ``server`` is None for a run that stays on disk."""

    disabled: bool
    server: str | None
    why_offline: str = ""


def target() -> Target:
    """Read W&B's settings, environment and credentials; asks nobody, neither server nor user."""
    wandb = _wandb()
    from wandb.sdk.lib import wbauth

    settings = wandb.setup(_settings()).settings
    if settings._noop:
        return Target(True, None)
    if settings._offline:
        return Target(False, None, "WANDB_MODE is offline")
    try:
        logging.getLogger("wandb").setLevel(logging.ERROR)
        key = wbauth.authenticate_session(host=settings.base_url, source="sweep", prompt=False, update_session=False)
    except wandb.Error as error:
        return Target(False, None, f"its key is not usable ({type(error).__name__})")
    return Target(False, settings.base_url if key else None, "" if key else "there is no API key")


class OfflineRun:
    """One fragment of the run ``identity.id``; W&B joins the fragments of a resumed sweep when they are uploaded."""

    def __init__(self, identity: RunIdentity) -> None:
        identity.results.mkdir(parents=True, exist_ok=True)
        self._run: Any = _wandb().init(
            project=identity.project,
            entity=identity.entity,
            group=identity.group,
            tags=redacted_values(list(identity.tags)),
            name=identity.sweep,
            id=identity.id,
            resume="allow",
            mode="offline",
            dir=str(identity.results),
            config=redacted_values(dict(identity.config)),
            settings=_settings(),
        )
        self._run.define_metric(STEP, summary="none")
        for axis in AXES.values():
            self._run.define_metric(axis, summary="none")
        for family, axis in AXES.items():
            self._run.define_metric(f"{family}/*", step_metric=axis, summary="none")
        for kind in RATES:  # the last value is what counts
            self._run.define_metric(f"{kind}/*", step_metric=STEP)
        self._run.define_metric("*", step_metric=STEP, summary="none")

    @property
    def folder(self) -> Path:
        """Where the run is written."""
        return Path(self._run.dir).parent

    def log(self, point: Mapping[str, object], step: int) -> None:
        """Write a row of the history. ``step`` must grow, over the fragments too."""
        self._run.log(dict(point), step=step, commit=True)

    def summarize(self, values: Mapping[str, object]) -> None:
        """Set values of the whole run."""
        self._run.summary.update(dict(values))

    def tables(self, tables: Sequence[TrackedTable], step: int) -> None:
        """Write tables, as one row of the history."""
        self._run.log({one.name: _as_wandb(one) for one in tables}, step=step, commit=True)

    def pictures(self, pictures: Mapping[str, bytes], step: int) -> None:
        """Write heat maps (title -> PNG) as one row of the history."""
        from PIL import Image

        make = _wandb().Image
        shown = [make(Image.open(BytesIO(content)), caption=title) for title, content in pictures.items()]
        self._run.log({f"heat_maps/{number:02d}": one for number, one in enumerate(shown, start=1)}, step=step, commit=True)

    def artifact(self, name: str, files: Sequence[tuple[Path, str]]) -> None:
        """Keep ``files`` (path, name within) as a version of an artifact."""
        artifact = _wandb().Artifact(name, type="results")
        for path, inside in files:
            artifact.add_file(str(path), name=inside)
        self._run.log_artifact(artifact)

    def finish(self) -> None:
        """Close the file."""
        self._run.finish()


def errors() -> tuple[type[Exception], ...]:
    """What W&B raises when it or its service process fails; half of it does not derive from its own base."""
    wandb = _wandb()
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError, WandbAttachFailedError
    from wandb.sdk.lib.service.service_token import WandbServiceConnectionError
    from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError
    from wandb.sdk.mailbox.mailbox_handle import ServerResponseError

    service = (WandbApiFailedError, WandbAttachFailedError, WandbServiceConnectionError)
    mailbox = (HandleAbandonedError, MailboxClosedError, ServerResponseError)
    return (wandb.Error, *service, *mailbox, OSError, RuntimeError, ValueError, TypeError)


def restart_service() -> None:
    """After a failure: W&B's service process keeps the id of a run taken, or is gone."""
    wandb = _wandb()
    try:
        wandb.teardown()
    except errors() as error:
        _log.debug("the old W&B service: %s", error)


def _as_wandb(table: TrackedTable) -> Any:
    data = [list(row) for row in table.rows]
    return _wandb().Table(columns=list(table.columns), data=data, allow_mixed_types=True)


def _wandb() -> Any:
    """The package: seconds to import, which nobody pays who does not track. It is told not to report its own errors."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    return wandb


def _settings() -> Any:
    return _wandb().Settings(
        silent=True,
        console="off",
        x_disable_stats=not _has_gpu(),
        x_disable_meta=True,
        x_save_requirements=False,
        x_transaction_log_flush_interval=FLUSH_SECONDS,
        disable_git=True,
        save_code=False,
        finish_timeout=FINISH_SECONDS,
    )


def _has_gpu() -> bool:
    """Whether this machine has a GPU, whose use W&B then records."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/kfd").exists()
