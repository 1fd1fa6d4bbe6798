"""Virtual environments for what does not install beside this program, made on first use in the user's cache folder."""

from __future__ import annotations

import logging
import shutil
import site
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from actors.embedded import cache_root

logger = logging.getLogger(__name__)


class EnvironmentUnavailableError(Exception):
    """An environment could not be made here; the text says why."""


@dataclass(frozen=True)
class Environment:
    """``requirements``: a pip file; ``unwanted``: packages taken out again after the installation. ``beside``: what this program
    has installed is there too, where the environment has nothing else of that name."""

    name: str
    requirements: Path
    unwanted: tuple[str, ...] = ()
    beside: bool = False

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return cache_root() / "environments" / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def ready(self) -> Path:
        """Its interpreter, installing it first where it is absent or its requirements have changed (minutes)."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder.with_name(f"{self.name}.lock")):
            self._make()
        return self.python

    def _make(self) -> None:
        wanted = self.requirements.read_text(encoding="utf-8") + (f"# beside {sys.prefix}\n" if self.beside else "")
        mark = self.folder / "requirements.installed"
        if mark.is_file() and mark.read_text(encoding="utf-8") == wanted:
            return
        logger.warning("installing %s into an environment of its own: up to a few minutes, once", self.name)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._call([sys.executable, "-m", "venv", str(self.folder)])
        if self.beside:
            own = next(iter(self.folder.glob("lib/python*/site-packages")))
            (own / "beside.pth").write_text("\n".join(site.getsitepackages()) + "\n", encoding="utf-8")
        self._call([str(self.python), "-m", "pip", "install", "--quiet", "--requirement", str(self.requirements)])
        if self.unwanted:
            self._call([str(self.python), "-m", "pip", "uninstall", "--quiet", "--yes", *self.unwanted])
        mark.write_text(wanted, encoding="utf-8")

    def _call(self, command: Sequence[str]) -> None:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise EnvironmentUnavailableError(f"{self.name}: {error}") from error
        if done.returncode:
            last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
            raise EnvironmentUnavailableError(f"{self.name}: {last}")
