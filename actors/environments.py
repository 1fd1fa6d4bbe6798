"""Virtual environments for what does not install beside this program, made on first use in the user's cache folder."""

from __future__ import annotations

import hashlib
import logging
import shutil
import site
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from actors.commands import CommandError, run_command
from actors.embedded import cache_root

logger = logging.getLogger(__name__)

SECONDS = 1800
"""A step of an installation that takes longer is ended."""
SPACE = 100e6
"""Bytes; less free space is told where an installation fails."""


class EnvironmentUnavailableError(Exception):
    """An environment could not be made here; the text says why."""


@dataclass(frozen=True)
class Environment:
    """``requirements``: a pip file; ``unwanted``: packages taken out again after the installation. ``beside``: what this program
    has installed is there too, where the environment has nothing else of that name. Other requirements, or another installation
    of this program, have a folder of their own: an environment never changes under one who uses it."""

    name: str
    requirements: Path
    unwanted: tuple[str, ...] = ()
    beside: bool = False

    @property
    def folder(self) -> Path:
        """Where it lies."""
        digest = hashlib.sha256(self._wanted.encode()).hexdigest()
        return cache_root() / "environments" / f"{self.name}-{digest[:8]}"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def made(self) -> bool:
        """Whether it is there, whole."""
        return self._mark.is_file() and self.python.exists()

    def ready(self) -> Path:
        """Its interpreter, installing it first where it is absent (minutes); ``EnvironmentUnavailableError``."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with self._alone():
                if not self.made:
                    self._make()
        except OSError as error:
            raise EnvironmentUnavailableError(f"{self.name}: {error}") from error
        return self.python

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """In the ``with`` block no other process makes it."""
        lock = FileLock(self.folder.with_name(f"{self.folder.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.warning("waiting for another process, which is making the environment %s", self.name)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @property
    def _mark(self) -> Path:
        return self.folder / "requirements.installed"

    @property
    def _wanted(self) -> str:
        return self.requirements.read_text(encoding="utf-8") + (f"# beside {Path(sys.prefix).resolve()}\n" if self.beside else "")

    def _make(self) -> None:
        """From nothing; what is half made when that fails is taken away, for the disk may be full of it."""
        logger.warning("installing %s into an environment of its own: up to a few minutes, once", self.name)
        try:
            self._install()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _install(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._call([sys.executable, "-m", "venv", str(self.folder)])
        if self.beside:
            own = next(iter(self.folder.glob("lib/python*/site-packages")))
            (own / "beside.pth").write_text("\n".join(site.getsitepackages()) + "\n", encoding="utf-8")
        pip = [str(self.python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        self._call([*pip, "install", "--requirement", str(self.requirements)])
        if self.unwanted:
            self._call([*pip, "uninstall", "--yes", *self.unwanted])
        self._mark.write_text(self._wanted, encoding="utf-8")

    def _call(self, command: Sequence[str]) -> None:
        try:
            run_command(command, SECONDS)
        except CommandError as error:
            raise EnvironmentUnavailableError(f"{self.name}: {error}{self._hint(str(error))}") from error

    def _hint(self, said: str) -> str:
        """What stands behind words that do not say it."""
        if "No matching distribution" in said:
            return "; is the package index reachable?"
        free = shutil.disk_usage(self.folder.parent).free
        return f"; {free / 1e6:.0f} MB are free in {self.folder.parent}" if free < SPACE else ""
