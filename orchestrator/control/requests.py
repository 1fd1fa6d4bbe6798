"""What people ask of a driver: a file per request in ``control`` of the results folder, which the driver looks for.

``pause`` stands as long as its file; ``cancel`` is taken away by the driver that obeys it. Whatever is found when a driver
starts was meant for an earlier one: it is taken away, and told.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal, cast, get_args

from orchestrator.json_text import parse_json
from orchestrator.storage import StoredFolder, UnreadableFileError

RequestName = Literal["pause", "cancel"]
NAMES: tuple[RequestName, ...] = get_args(RequestName)


@dataclass(frozen=True)
class ControlRequest:
    """Who asked, and when (UTC, ISO 8601)."""

    name: RequestName
    by: str
    at: str

    def __str__(self) -> str:
        return f"{self.name} asked by {self.by} at {self.at}"


class Requests:
    """The requests in ``folder``."""

    def __init__(self, folder: StoredFolder) -> None:
        self._folder = folder

    def ask(self, name: RequestName) -> ControlRequest:
        """Put a request there; one that is there already stays. ``StorageError`` when the folder cannot be written."""
        standing = self.asked(name)
        if standing is not None:
            return standing
        request = ControlRequest(name, _me(), datetime.now(UTC).isoformat(timespec="seconds"))
        (self._folder / name).write_bytes(json.dumps(asdict(request)).encode())
        return request

    def asked(self, name: RequestName) -> ControlRequest | None:
        """The request, if it is there. A damaged one is one all the same: its name says what is asked. ``StorageError`` when
        nobody can tell."""
        try:
            content = cast("dict[str, object]", parse_json((self._folder / name).read_bytes()))
            return ControlRequest(name, str(content["by"]), str(content["at"]))
        except FileNotFoundError:
            return None
        except (UnreadableFileError, ValueError, KeyError, TypeError):
            return ControlRequest(name, "somebody", "an unknown time")

    def withdraw(self, name: RequestName) -> bool:
        """Take a request away; whether it was there. ``StorageError`` when the folder cannot be written."""
        return (self._folder / name).delete()

    def withdraw_all(self) -> list[ControlRequest]:
        """Take away whatever is there, the leftovers of killed writers too; what it was."""
        self._folder.clean()
        return [request for name in NAMES if (request := self.asked(name)) is not None and self.withdraw(name)]


def _me() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container without a name for its user
        user = f"user {os.getuid()}"
    return f"{user} on {socket.gethostname()}"
