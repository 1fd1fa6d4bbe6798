"""EasySteer, a fork of vLLM: all rows in one call, each with the spec of its cell.

A cell's directions are a file of EasySteer's own format, loaded ahead of use (in memory they would travel with every request);
its spec names file and scale (``direct``: scale times direction is added), for every token of prompt and answer. Declared is that
algorithm alone, which EasySteer's CUDA graphs hold, and as many specs at a time as there are. Its prefix cache tells specs apart
by itself. Runs in its own environment; imports nothing of this repository but what lies beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gguf
from conversation import Answers, Job, Row, Tool, converse  # type: ignore[import-not-found]
from vllm.steer_vectors import (  # type: ignore[import-not-found]
    ApplySpec,
    SteeringSpec,
    VectorSpec,
)
from vllm_engine import (  # type: ignore[import-not-found]
    TRIED,
    about,
    engine,
    greedy,
    prompts,
    require_steering,
    tokens,
)


def write_vectors(job: Job) -> dict[str, str]:
    """A file per steered cell, by its name: a ``direction.<layer>`` for each layer where it acts."""
    paths = {cell: str(job.folder / f"v{number}.gguf") for number, cell in enumerate(job.steered)}
    for cell, path in paths.items():
        writer = gguf.GGUFWriter(path, "controlvector")
        writer.add_string("controlvector.model_hint", "unknown")
        writer.add_uint32("controlvector.layer_count", len(job.layers(cell)))
        for layer, direction in zip(job.layers(cell), job.vectors[cell], strict=True):
            writer.add_tensor(f"direction.{layer}", direction)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return paths


def spec(path: str, scale: float) -> Any:
    """What a row asks for."""
    vector = VectorSpec(source=path, algorithm="direct", scale=scale, apply=ApplySpec(prompt="all", generation="all"))
    return SteeringSpec(vectors=[vector])


def load(job: Job) -> Tool:
    """The model, with room for every cell's steering at once."""
    paths = write_vectors(job)
    steered = {"enable_steer_vector": True, "steer_algorithms": ["direct"], "max_steer_vectors": len(paths)} if paths else {}
    llm = engine(job, **steered)
    if paths:
        llm.preload_steer_vectors(list(paths.values()))
    specs = {cell: spec(path, job.multiplier(cell)) for cell, path in paths.items()}

    def tried(row: Row, factor: float) -> list[int]:
        steering = [spec(paths[row[0]], job.multiplier(row[0]) * factor)] if factor else None
        one: list[int] = tokens(llm.generate(prompts(job, [row]), greedy(job, TRIED), steering=steering, use_tqdm=False))[0]
        return one

    def answer(rows: Sequence[Row]) -> Answers:
        steering = [specs.get(cell) for cell, _ in rows]
        made: Answers = tokens(llm.generate(prompts(job, rows), greedy(job), steering=steering, use_tqdm=False))
        return made

    require_steering(job, tried)
    return Tool(about("vllm"), answer, llm.reset_prefix_cache)


if __name__ == "__main__":
    converse(load)
