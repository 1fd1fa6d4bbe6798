"""The files of a model folder and of an adapter folder: which of them are weights, and whether they may be opened at all.

Decided by names and safetensors headers alone, before anything is loaded; weights are never a pickle. No torch: the driver asks
the same questions when it plans.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from actors.errors import ModelLoadError

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
VOCABULARIES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tekken.json",
    "sentencepiece.bpe.model",
)
"""Files of which a tokenizer has at least one."""
TOKENIZER_FILES = (
    *VOCABULARIES,
    "chat_template.jinja",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
)
"""What a trainer saves of a tokenizer and its chat template."""

BESIDE_THE_WEIGHTS = frozenset(
    {
        "PROMPT_TUNING",
        "MULTITASK_PROMPT_TUNING",
        "P_TUNING",
        "PREFIX_TUNING",
        "CPT",
        "CARTRIDGE",
        "ADAPTION_PROMPT",
        "XLORA",
        "POLY",
    }
)
"""PEFT's kinds of adapters that are not a change of weights, or a different one for every input."""

MAX_HEADER_BYTES = 100_000_000
_SHOWN = 80
_QUOTED = re.compile(r'"([^"\n]+)"')


class MissingWeightsError(ModelLoadError):
    """A folder holds no safetensors weights, or not all of them."""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a safetensors header."""

    dtype: str
    shape: tuple[int, ...]


def weight_files(folder: Path, there: bool = True) -> tuple[Path, ...]:
    """The safetensors files that hold a model folder's weights: the one file, or the shards of its index.

    ``ModelLoadError`` where there are none, where the index names anything but ``*.safetensors`` files of this folder, and where
    one of them is a link to elsewhere (the blobs of the hub's own cache apart). No weights file is opened.
    Unless ``there``, the shards may yet be missing.
    """
    if (folder / WEIGHTS).is_file():
        return (_inside(folder, WEIGHTS),)
    if not (folder / INDEX).is_file():
        raise MissingWeightsError(_without_safetensors(folder))
    index = read_object(folder / INDEX)
    shards = index.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelLoadError(f"{INDEX} has no weight_map")
    names = dict.fromkeys(_shard(name) for name in shards.values())
    return tuple(_inside(folder, name) if there else folder / name for name in names)


def check_model_folder(folder: Path) -> None:
    """``ModelLoadError`` unless ``folder`` holds a decoder's config, whole safetensors weights and a tokenizer.

    Reads the config and the headers of the weights only.
    """
    check_config(config_in(folder))
    if (folder / ADAPTER_CONFIG).is_file():
        raise ModelLoadError(f"the folder holds a model and an {ADAPTER_CONFIG}, which would be applied to it: keep them apart")
    for path in weight_files(folder):
        safetensors_header(path)
    if not has_tokenizer(folder):
        raise ModelLoadError(f"the folder holds no tokenizer ({', '.join(VOCABULARIES[:4])}, ...)")


def config_in(folder: Path) -> Mapping[str, Any]:
    """The config.json of a model folder; ``ModelLoadError`` for a folder that has none, as an adapter's has not."""
    if not (folder / "config.json").is_file():
        adapter = (folder / ADAPTER_CONFIG).is_file()
        kind = "an adapter, not a model: name its base model, and this folder as its adapter" if adapter else "no config.json"
        raise ModelLoadError(f"the folder holds {kind}")
    return read_object(folder / "config.json")


def check_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """``config`` itself; ``ModelLoadError`` for that of an encoder-decoder, and for one that names its weights' file itself."""
    if config.get("is_encoder_decoder"):
        raise ModelLoadError(
            f"model_type {_shown(config.get('model_type'))} is an encoder-decoder; only decoders are steered here"
        )
    if config.get("transformers_weights") is not None:
        raise ModelLoadError(f"config.json names its own file of weights: {_shown(config['transformers_weights'])}")
    return config


def check_code(config: Mapping[str, Any]) -> None:
    """``ModelLoadError`` where ``config`` is read by code beside it (``auto_map``), and the transformers installed here know no
    such ``model_type`` of their own. Where theirs cannot be read, nothing is said: the load decides."""
    named, kind = config.get("auto_map"), config.get("model_type")
    if not isinstance(named, Mapping) or "AutoConfig" not in named:
        return
    known = _model_types()
    if known and kind not in known:
        raise ModelLoadError(
            f"model_type {_shown(kind)} is read by code of its own ({_shown(named['AutoConfig'])}), which runs only with "
            "trust_remote_code: true"
        )


def check_adapter_folder(folder: Path) -> None:
    """``ModelLoadError`` unless ``folder`` holds a PEFT adapter's config and whole safetensors weights, by their header."""
    if not folder.is_dir():
        raise ModelLoadError(f"adapter folder {str(folder)!r} does not exist on this machine")
    if not (folder / ADAPTER_CONFIG).is_file():
        raise ModelLoadError(f"adapter folder {str(folder)!r} holds no {ADAPTER_CONFIG}")
    if not (folder / ADAPTER_WEIGHTS).is_file():
        pickled = _pickles(folder)
        found = f" but a pickle ({pickled[0]}), which is never opened: save it as safetensors" if pickled else ""
        raise ModelLoadError(f"adapter folder {str(folder)!r} holds no {ADAPTER_WEIGHTS}{found}")
    check_adapter_config(read_object(folder / ADAPTER_CONFIG))
    if not safetensors_header(_inside(folder, ADAPTER_WEIGHTS)):
        raise ModelLoadError(f"{ADAPTER_WEIGHTS} holds no tensors")


def check_adapter_config(config: Mapping[str, object]) -> None:
    """``ModelLoadError`` for an adapter that cannot become a part of the model's own weights."""
    kind = config.get("peft_type")
    if not isinstance(kind, str):
        raise ModelLoadError(f"{ADAPTER_CONFIG} has no peft_type")
    if kind in BESIDE_THE_WEIGHTS:
        raise ModelLoadError(f"the adapter is of the kind {kind}, which works beside the weights and cannot be merged into them")
    for name in ("layer_replication", "megatron_config"):
        if config.get(name):
            raise ModelLoadError(f"the adapter has {name}: an adapter on a model of another structure cannot be merged")


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds the vocabulary of a tokenizer."""
    return any((folder / name).is_file() for name in VOCABULARIES) or any(folder.glob("*.tiktoken"))


def own_tokenizer_files(folder: Path) -> Iterator[Path]:
    """The files of an adapter folder's own tokenizer and chat template, by name; none where it brings neither."""
    named = {path for name in TOKENIZER_FILES if (path := folder / name).is_file()}
    if has_tokenizer(folder) or named & {folder / "chat_template.jinja", folder / "tokenizer_config.json"}:
        yield from sorted(named | set(folder.glob("*.tiktoken")))


def safetensors_header(path: Path) -> Mapping[str, TensorEntry]:
    """Names, dtypes and shapes of a safetensors file's tensors, read without loading any. ``ModelLoadError`` for a file that is
    none, or not whole."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > MAX_HEADER_BYTES:
                raise ValueError("its header is too large")
            header = json.loads(file.read(size))
        if not isinstance(header, dict):
            raise ValueError("its header is not a JSON object")
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        found = {name: _entry(entry) for name, entry in tensors.items()}
        _require_whole(path.stat().st_size - 8 - size, tensors)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelLoadError(f"{path.name} is not a readable safetensors file: {_reason(error)}") from error
    return found


def read_object(path: Path) -> Mapping[str, Any]:
    """The JSON object in ``path``; ``ModelLoadError`` when it is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelLoadError(f"cannot read {path.name}: {_reason(error)}") from error
    if not isinstance(content, dict):
        raise ModelLoadError(f"{path.name} is not a JSON object")
    return content


def _model_types() -> frozenset[str]:
    """Every ``model_type`` that transformers has code for, from the text of its tables, which loads none of it; with names that
    are none among them."""
    found = find_spec("transformers")
    if found is None or found.origin is None:
        return frozenset()
    tables = (Path(found.origin).parent / "models" / "auto").glob("*.py")
    return frozenset(name for table in tables for name in _QUOTED.findall(table.read_text(encoding="utf-8")))


def _entry(entry: Mapping[str, Any]) -> TensorEntry:
    shape = tuple(entry["shape"])
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"a tensor has the shape {_shown(shape)}")
    return TensorEntry(str(entry["dtype"]), shape)


def _require_whole(bytes_there: int, tensors: Mapping[str, Any]) -> None:
    ends = [entry["data_offsets"][1] for entry in tensors.values()]
    if not all(type(end) is int for end in ends):
        raise ValueError("a tensor's data_offsets are no numbers")
    if max(ends, default=0) != bytes_there:
        raise ValueError(f"its header speaks of {max(ends, default=0)} bytes of tensors, it holds {max(0, bytes_there)}")


def _shard(name: object) -> str:
    """A file name of an index, if it may be opened."""
    if not isinstance(name, str) or not name.endswith(".safetensors") or name != Path(name).name or not name.isprintable():
        raise ModelLoadError(
            f"{INDEX} names {_shown(name)}: weights are *.safetensors files of the same folder, and nothing else"
        )
    return name


def _inside(folder: Path, name: str) -> Path:
    """``folder / name``; ``ModelLoadError`` when it is no file, or a link to a file elsewhere."""
    path = folder / name
    if not path.is_file():
        raise MissingWeightsError(f"the folder lacks {name}")
    home, real = folder.resolve(), path.resolve()
    blobs = home.parent.parent / "blobs" if home.parent.name == "snapshots" else home
    if real.parent not in (home, blobs):
        raise ModelLoadError(f"{name} is a link to a file outside its folder: weights are files of the folder itself")
    return path


def _without_safetensors(folder: Path) -> str:
    pickled = _pickles(folder)
    if pickled:
        return f"the folder holds weights only as pickle ({pickled[0]}), which is never opened: save them as safetensors"
    if any(folder.glob("*.gguf")):
        return "the folder holds weights only as GGUF, which is not read from a folder: convert them to safetensors"
    other = sorted(path.name for path in folder.glob("*.safetensors"))
    found = f" ({_shown(other[0])} is not a name that is looked for)" if other else ""
    return f"the folder holds no weights: neither {WEIGHTS} nor {INDEX}{found}"


def _pickles(folder: Path) -> list[str]:
    """Names of pickled weights; a trainer's own state beside them is none."""
    return sorted(
        path.name for path in folder.iterdir() if path.suffix in PICKLES and path.stem not in ("training_args", "optimizer")
    )


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error) or type(error).__name__


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
