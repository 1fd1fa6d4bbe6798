"""steering-vectors: a ``SteeringVector`` applied around ``generate``."""

from __future__ import annotations

from job_files import answer_steered, by_generate, job, model_of, vector_of  # type: ignore[import-not-found]
from steering_vectors import SteeringVector

told = job()
model = model_of(told)
vector = SteeringVector(layer_activations={told["layer"]: vector_of(told)}, layer_type="decoder_block")
with vector.apply(model):
    answer_steered(told, lambda batch, steps: by_generate(model, batch, steps))
