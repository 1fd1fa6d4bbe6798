"""What a results folder gives to other tools, one file each, listed here: to add one, a file with a function and a line below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.exports.arrays import write_npz, write_pt_file, write_steering_vector
from orchestrator.exports.control_vector import write_control_vector
from orchestrator.exports.final_results import write_final_results
from orchestrator.exports.inspect_log import write_inspect_logs
from orchestrator.exports.vectors import each_vectors
from orchestrator.loaded import Results
from orchestrator.results.rows import CellRow

__all__ = ["EXPORTS", "Export"]


@dataclass(frozen=True)
class Export:
    """``write(results, chosen cells (None: no selection), folder)``: the files that it wrote; ``docs``: what these are."""

    write: Callable[[Results, Sequence[CellRow] | None, Path], list[Path]]
    docs: str


EXPORTS: dict[str, Export] = {
    "gguf": Export(each_vectors(write_control_vector, ".gguf", outputs_only=True), "control vectors of llama.cpp and repeng"),
    "steering-vectors": Export(
        each_vectors(write_steering_vector, ".steering-vector.pt", outputs_only=True),
        "the fields of a SteeringVector of steering-vectors",
    ),
    "npz": Export(each_vectors(write_npz, ".npz"), "NumPy arrays, with where they come from"),
    "pt": Export(each_vectors(write_pt_file, ".pt"), "a PyTorch file: layer -> tensor"),
    "inspect": Export(write_inspect_logs, "logs of inspect_ai, one per cell, for its viewer"),
    "final-results": Export(write_final_results, "FINAL_RESULTS.json, in the shape of the inverse-scaling paper's companion"),
}
