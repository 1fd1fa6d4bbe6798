"""A tool in another process: a command that is given a model folder, a job as JSON, and the ``.npz`` that it is to write.

    COMMAND MODEL_FOLDER JOB.json OUT.npz

``JOB.json`` is an object: ``task`` ("read"), ``dtype``, ``device``, ``batch`` (prompts per forward), ``threads``, ``n_layers``,
``d_model``, ``pad_token``, and ``prompts``, each with ``id``, ``class`` ("positive" or "negative"), ``text``, ``rendered`` and
``token_ids``.
``OUT.npz`` holds ``activations`` ``[n, L, d]`` at the last prompt token, in the order of the prompts, or ``directions``
``[L, d]``.

Where ``task`` is "steer", ``vector`` ``[d]`` is to be added behind the block ``layer`` at every token while the prompts are
answered greedily, all in one batch, for ``tokens`` tokens whatever ends an answer. ``OUT.npz`` then holds ``tokens``
``[n, tokens]``, and, where the tool has them, ``logits`` ``[n, tokens, P]`` of the vocabulary's tokens ``probes``.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch

from actors.commands import CommandError, CommandTimeoutError, run_command
from actors.errors import HungError, JobError
from actors.loading import LoadedModel
from actors.parity.jobs import ReadJob, SteeringPlace
from actors.parity.reference import pad_token
from actors.parity.steered import probes_of, vector_of
from actors.prompts import Rendered

LEAST_SECONDS, READ, COMPUTED = 600.0, 20e6, 1e9
"""How long a command may take: so many seconds, and those for its weights at so many bytes/s and its tokens at so many FLOP/s."""


def read_by_command(
    loaded: LoadedModel, job: ReadJob, command: Sequence[str], rendered: Sequence[Rendered]
) -> dict[str, npt.NDArray[np.float32]]:
    """``activations`` or ``directions`` as the command gives them; ``JobError`` with its last words when it fails."""
    shapes = {
        "activations": (len(rendered), loaded.decoder.n_layers, loaded.d_model),
        "directions": (loaded.decoder.n_layers, loaded.d_model),
    }
    found = ask_command(loaded, command, reading_told(job, rendered), shapes)
    name = next(iter(found))
    return {name: found[name]}


def reading_told(job: ReadJob, rendered: Sequence[Rendered]) -> dict[str, Any]:
    """What a command is asked to read."""
    classes = ["positive"] * len(job.classes.positive) + ["negative"] * len(job.classes.negative)
    prompts = [{**_told(one), "class": side} for one, side in zip(rendered, classes, strict=True)]
    return {"task": "read", "batch": job.setting.batch, "prompts": prompts}


def steer_by_command(
    loaded: LoadedModel, place: SteeringPlace, command: Sequence[str], rendered: Sequence[Rendered]
) -> dict[str, npt.NDArray[np.generic]]:
    """``tokens``, and ``logits`` where the command gives them; ``JobError`` as above."""
    probes = probes_of(loaded, place.probes)
    told = {
        "task": "steer",
        "batch": len(rendered),
        "layer": place.layer,
        "vector": vector_of(loaded, place).tolist(),
        "tokens": place.tokens,
        "probes": probes,
        "prompts": [_told(one) for one in rendered],
    }
    shape = (len(rendered), place.tokens)
    found = ask_command(loaded, command, told, {"tokens": shape, "logits": (*shape, len(probes))})
    if "tokens" not in found:
        raise JobError("its .npz holds no tokens")
    return {**found, "tokens": found["tokens"].astype(np.int64)}


def _told(one: Rendered) -> dict[str, object]:
    return {"id": one.prompt.id, "text": one.prompt.text, "rendered": one.text, "token_ids": list(one.token_ids)}


def ask_command(
    loaded: LoadedModel, command: Sequence[str], told: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, npt.NDArray[np.float32]]:
    """Run it on ``told`` and what is known of the model; the arrays of ``shapes`` that it wrote, at least one, as float32."""
    with tempfile.TemporaryDirectory(prefix="parity-") as made:
        asked, out = Path(made) / "job.json", Path(made) / "out.npz"
        asked.write_text(json.dumps(whole_job(loaded, told)), encoding="utf-8")
        try:
            run_command([*command, str(loaded.folder), str(asked), str(out)], _patience(loaded, told))
        except CommandTimeoutError as error:
            raise HungError(str(error)) from error
        except CommandError as error:
            raise JobError(str(error)) from error
        return _arrays_of(out, shapes)


def whole_job(loaded: LoadedModel, told: Mapping[str, Any]) -> dict[str, Any]:
    """``told`` with what is known of the model: what ``JOB.json`` holds. ``JobError`` where no other program can load it."""
    if loaded.folder is None or loaded.spec.quantization != "none":
        raise JobError("a tool in another process loads full-precision weights from a folder: this model has none")
    return {
        **told,
        "dtype": loaded.spec.dtype,
        "device": str(loaded.device),
        "threads": torch.get_num_threads(),
        "n_layers": loaded.decoder.n_layers,
        "d_model": loaded.d_model,
        "pad_token": pad_token(loaded.tokenizer),
    }


def _patience(loaded: LoadedModel, told: Mapping[str, Any]) -> float:
    """Seconds that a command may take."""
    sizes = [(one.numel(), one.element_size()) for one in loaded.model.parameters()]
    tokens = sum(len(one["token_ids"]) + told.get("tokens", 0) for one in told["prompts"])
    arithmetic = 2 * tokens * sum(count for count, _ in sizes)
    return LEAST_SECONDS + sum(count * size for count, size in sizes) / READ + arithmetic / COMPUTED


def _arrays_of(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, npt.NDArray[np.float32]]:
    """Those of ``shapes`` that a file holds. What they say of themselves is looked at before anything is read into memory."""
    try:
        with zipfile.ZipFile(file) as stored:
            names = [name for name in shapes if f"{name}.npy" in stored.namelist()]
            for name in names:
                with stored.open(f"{name}.npy") as member:
                    _looked_at(name, member, shapes[name])
        with np.load(file, allow_pickle=False) as loaded:
            found = {name: np.asarray(loaded[name], dtype=np.float32) for name in names}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise JobError(f"it wrote no .npz: {error}") from error
    if not found:
        raise JobError(f"its .npz holds none of {', '.join(shapes)}")
    for name, array in found.items():
        if not np.isfinite(array).all():
            raise JobError(f"its {name} hold numbers that are not finite")
    return found


def _looked_at(name: str, member: IO[bytes], wanted: tuple[int, ...]) -> None:
    """``JobError`` where an array of a file is no such one; ValueError where it is none at all."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(member)
    if shape != wanted:
        raise JobError(f"its {name} have shape {shape}, not {wanted}")
    if dtype.kind not in "fiu":
        raise JobError(f"its {name} are of type {dtype}, and no numbers")
