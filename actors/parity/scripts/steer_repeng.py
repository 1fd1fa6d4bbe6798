"""repeng: a ``ControlModel`` around the model, and its ``generate``."""

from __future__ import annotations

from job_files import answer_steered, by_generate, job, model_of, vector_of  # type: ignore[import-not-found]
from repeng import ControlModel, ControlVector  # type: ignore[import-not-found]

told = job()
inner = model_of(told)
model = ControlModel(inner, [told["layer"]])
directions = {told["layer"]: vector_of(told).float().cpu().numpy()}
model.set_control(ControlVector(model_type=inner.config.model_type, directions=directions))
answer_steered(told, lambda batch, steps: by_generate(inner, batch, steps))
