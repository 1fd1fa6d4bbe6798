"""The environments of the contenders that do not install beside ours."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from actors.commands import CommandError, run_command
from actors.environments import SECONDS, Environment, EnvironmentUnavailableError
from actors.parity.tools import TOOLS


@dataclass(frozen=True)
class Overlaid(Environment):
    """``package``, once installed, gets the Python files of a fork on top: those of ``url`` at ``commit``."""

    url: str = ""
    commit: str = ""
    package: str = ""

    @property
    def _wanted(self) -> str:
        return f"{super()._wanted}# {self.package} of {self.url} at {self.commit}\n"

    def _install(self) -> None:
        super()._install()
        installed = next(iter(self.folder.glob("lib/python*/site-packages"))) / self.package
        with tempfile.TemporaryDirectory(prefix="overlay-") as folder:
            git = ["git", "-C", folder]
            steps = (["init"], ["fetch", "--depth", "1", self.url, self.commit], ["checkout", "FETCH_HEAD", "--", self.package])
            try:
                for command, *words in steps:
                    run_command([*git, command, "--quiet", *words], SECONDS)
            except CommandError as error:
                raise EnvironmentUnavailableError(
                    f"{self.name}: no files of {self.url} at {self.commit[:12]}: {error}"
                ) from error
            shutil.copytree(Path(folder) / self.package, installed, dirs_exist_ok=True)


def _requirements(name: str) -> Path:
    return Path(__file__).with_name(f"requirements-{name}.txt")


STEERING_VECTORS = TOOLS["steering-vectors"].environment
VLLM = Environment("vllm", _requirements("vllm"), unwanted=("torchvision", "torchaudio", "torchcodec"))
HOTWIRE = Environment("hotwire", _requirements("hotwire"))
EASYSTEER = Overlaid(
    "easysteer",
    _requirements("easysteer"),
    url="https://github.com/ZJU-REAL/EasySteer-vllm-v1.git",
    commit="6267ca0cfc9c6e93b1427d36b1d655821d6d6f9b",
    package="vllm",
)
"""As its installation guide says for those who do not compile. The package of this name on PyPI is another project's."""
