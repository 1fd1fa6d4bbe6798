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
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from actors.errors import JobError
from actors.loading import LoadedModel
from actors.parity.jobs import ReadJob, SteeringPlace
from actors.parity.steered import probes_of, vector_of
from actors.prompts import Rendered

SECONDS = 1800
"""A command that takes longer is ended."""
WORDS = 400
"""Characters of its last words that a failure tells."""


def read_by_command(
    loaded: LoadedModel, job: ReadJob, command: Sequence[str], rendered: Sequence[Rendered]
) -> dict[str, npt.NDArray[np.float32]]:
    """``activations`` or ``directions`` as the command gives them; ``JobError`` with its last words when it fails."""
    told = {
        "task": "read",
        "batch": job.setting.batch,
        "prompts": [
            {**_told(one), "class": "positive" if number < len(job.classes.positive) else "negative"}
            for number, one in enumerate(rendered)
        ],
    }
    shapes = {
        "activations": (len(rendered), loaded.decoder.n_layers, loaded.d_model),
        "directions": (loaded.decoder.n_layers, loaded.d_model),
    }
    found = run_command(loaded, command, told, shapes)
    name = next(iter(found))
    return {name: found[name]}


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
    found = run_command(loaded, command, told, {"tokens": shape, "logits": (*shape, len(probes))})
    if "tokens" not in found:
        raise JobError("its .npz holds no tokens")
    return {**found, "tokens": found["tokens"].astype(np.int64)}


def _told(one: Rendered) -> dict[str, object]:
    return {"id": one.prompt.id, "text": one.prompt.text, "rendered": one.text, "token_ids": list(one.token_ids)}


def run_command(
    loaded: LoadedModel, command: Sequence[str], told: Mapping[str, object], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, npt.NDArray[np.float32]]:
    """Run it on ``told`` and what is known of the model; the arrays of ``shapes`` that it wrote, at least one, as float32."""
    if loaded.folder is None or loaded.spec.quantization != "none":
        raise JobError("a tool in another process loads full-precision weights from a folder: this model has none")
    whole = {
        **told,
        "dtype": loaded.spec.dtype,
        "device": str(loaded.device),
        "threads": torch.get_num_threads(),
        "n_layers": loaded.decoder.n_layers,
        "d_model": loaded.d_model,
        "pad_token": loaded.tokenizer.pad_token_id or loaded.tokenizer.eos_token_id or 0,
    }
    with tempfile.TemporaryDirectory(prefix="parity-") as made:
        asked, out = Path(made) / "job.json", Path(made) / "out.npz"
        asked.write_text(json.dumps(whole), encoding="utf-8")
        _run([*command, str(loaded.folder), str(asked), str(out)])
        return _array_of(out, shapes)


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
    except OSError as error:
        raise JobError(f"{command[0]}: {error.strerror or error}") from error
    except subprocess.TimeoutExpired as error:
        raise JobError(f"{command[0]} took more than {SECONDS} s") from error
    if done.returncode:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
        raise JobError(f"it ended with code {done.returncode}: {last.strip()[:WORDS]}")


def _array_of(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, npt.NDArray[np.float32]]:
    try:
        with np.load(file, allow_pickle=False) as stored:
            found = {name: np.asarray(stored[name], dtype=np.float32) for name in shapes if name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise JobError(f"it wrote no .npz: {error}") from error
    if not found:
        raise JobError(f"its .npz holds none of {', '.join(shapes)}")
    for name, array in found.items():
        if array.shape != shapes[name]:
            raise JobError(f"its {name} have shape {array.shape}, not {shapes[name]}")
    return found
