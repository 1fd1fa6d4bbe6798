"""Virtual environments for the contenders that do not install beside ours, made on first use in the user's cache folder."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.embedded import cache_root

logger = logging.getLogger(__name__)
HERE = Path(__file__).resolve().parent


class EnvironmentUnavailableError(Exception):
    """An environment could not be made here; the text says why."""


@dataclass(frozen=True)
class Environment:
    """``requirements``: a file beside this one; ``unwanted``: packages taken out again after the installation."""

    name: str
    requirements: str
    unwanted: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return cache_root() / "benchmarks" / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def ready(self) -> Path:
        """Its interpreter, installing it first where it is absent or its requirements have changed (minutes)."""
        wanted = (HERE / self.requirements).read_text(encoding="utf-8")
        mark = self.folder / "requirements.installed"
        if mark.is_file() and mark.read_text(encoding="utf-8") == wanted:
            return self.python
        logger.warning("installing %s into an environment of its own: a few minutes, once", self.name)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._call([sys.executable, "-m", "venv", str(self.folder)])
        self._call([str(self.python), "-m", "pip", "install", "--quiet", "--requirement", str(HERE / self.requirements)])
        if self.unwanted:
            self._call([str(self.python), "-m", "pip", "uninstall", "--quiet", "--yes", *self.unwanted])
        mark.write_text(wanted, encoding="utf-8")
        return self.python

    def _call(self, command: Sequence[str]) -> None:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise EnvironmentUnavailableError(f"{self.name}: {error}") from error
        if done.returncode:
            last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
            raise EnvironmentUnavailableError(f"{self.name}: {last}")


STEERING_VECTORS = Environment("steering-vectors", "requirements-steering-vectors.txt")
VLLM = Environment("vllm", "requirements-vllm.txt", unwanted=("torchvision", "torchaudio", "torchcodec"))
