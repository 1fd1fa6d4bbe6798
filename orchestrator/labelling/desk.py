"""A rater's place in a results folder, from the sample to the server: one process per rater, any number of raters."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import InputError, Problem
from orchestrator.labelling.readings import readings_of
from orchestrator.labelling.sample import Draw
from orchestrator.labelling.server import LabelServer
from orchestrator.labelling.session import RaterSession
from orchestrator.results.folder import Folder
from orchestrator.results.frames import load_frames
from orchestrator.results.ratings import checked_rater
from orchestrator.storage import Place, StoreLockedError
from orchestrator.storage.locking import exclusive


def rater_here() -> str:
    """The login name, for a rater who gives none; InputError where that is no name for a rater."""
    try:
        return checked_rater(getpass.getuser().lower())
    except (OSError, KeyError, InputError):
        raise InputError.because("your login name is none for a rater: give one", "--rater", allowed="--rater NAME") from None


@contextmanager
def desk(place: Place, rater: str, draw: Draw) -> Iterator[LabelServer]:
    """The server of ``rater``'s page, not yet serving; closed at the end. InputError for a name that is none, where nothing is
    labelled, and where the rater is at work already."""
    folder, name = Folder(place), checked_rater(rater)
    readings = readings_of(folder, load_frames(place), draw)
    lock = folder.local / "ratings" / f".{name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive(lock), LabelServer(RaterSession(folder, rater, readings)) as server:
            yield server
    except StoreLockedError:
        message = "this rater's page is open already: another process of this machine serves it"
        raise InputError(Problem("rater", rater, message, "the page that is open, or another name")) from None
