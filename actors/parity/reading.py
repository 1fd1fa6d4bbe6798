"""One reading of the residual stream by one tool in one setting, several times over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from actors.environments import EnvironmentUnavailableError
from actors.errors import JobError
from actors.extraction.batches import PromptBatch, left_padded
from actors.loading import LoadedModel
from actors.parity.jobs import ReadJob, SteerJob
from actors.parity.outside import read_by_command, steer_by_command
from actors.parity.steered import by_tool
from actors.parity.tools import TOOLS
from actors.prompts import Rendered

Arrays = dict[str, npt.NDArray[np.generic]]


def read(loaded: LoadedModel, job: ReadJob) -> Arrays:
    """What :class:`ReadJob` says is in its file; ``JobError`` where the tool cannot run the model so."""
    rendered = [loaded.renderer.render(prompt) for prompt in job.classes.prompts]
    if job.command or (job.tool in TOOLS and TOOLS[job.tool].script):
        command = job.command or _command_of(TOOLS[job.tool].script, job.tool)
        runs = [read_by_command(loaded, job, command, rendered) for _ in range(job.repeats)]
    elif job.tool in TOOLS:
        with attention_of(loaded, job.setting.attention):
            runs = [{"activations": _in_process(loaded, job, rendered)} for _ in range(job.repeats)]
    else:
        raise JobError(f"tool {job.tool!r} is unknown; allowed: {', '.join(TOOLS)}")
    values = [next(iter(one.values())) for one in runs]
    if not all(np.isfinite(one).all() for one in values):
        raise JobError(f"{job.tool} gives numbers that are not finite")
    if len({one.shape for one in values}) > 1:
        raise JobError(f"{job.tool} gives activations once, and a direction another time")
    spread = np.max([np.abs(one.astype(np.float64) - values[0]) for one in values], axis=0)
    layers = values[0].shape[-2]
    return {**runs[0], "spread": np.asarray(spread.reshape(-1, layers, values[0].shape[-1]).max(axis=(0, 2)))}


def steer(loaded: LoadedModel, job: SteerJob) -> Arrays:
    """What :class:`SteerJob` says is in its file; ``JobError`` where the tool cannot steer the model."""
    rendered = [loaded.renderer.render(prompt) for prompt in job.place.prompts]
    tool = TOOLS.get(job.tool)
    if tool is not None and tool.steers:
        tokens, logits = by_tool(loaded, job.place, tool.load(tool.steers), rendered)
        return {"tokens": tokens.numpy(), "logits": logits.numpy()}
    if not job.command and (tool is None or not tool.steering_script):
        raise JobError("it is asked to read alone: it has no interface of its own that adds a vector")
    command = job.command or _command_of(TOOLS[job.tool].steering_script, job.tool)
    return steer_by_command(loaded, job.place, command, rendered)


def _command_of(script: str, tool: str) -> tuple[str, ...]:
    try:
        return TOOLS[tool].command(script)
    except EnvironmentUnavailableError as error:
        raise JobError(f"its environment cannot be made: {error}") from error


def _in_process(loaded: LoadedModel, job: ReadJob, rendered: Sequence[Rendered]) -> npt.NDArray[np.float32]:
    if job.setting.batch > 1 and loaded.decoder.runs_alone:
        raise JobError(f"this model takes one prompt at a time: {loaded.decoder.why_alone}")
    step = job.setting.batch
    lots = [rendered[start : start + step] for start in range(0, len(rendered), step)]
    return torch.cat([_lot(loaded, job, lot) for lot in lots]).numpy()


def _lot(loaded: LoadedModel, job: ReadJob, lot: Sequence[Rendered]) -> Tensor:
    """``[B, L, d]``."""
    extract, batch = TOOLS[job.tool].load(TOOLS[job.tool].extractor), left_padded(loaded, lot)
    if job.setting.padding == "left":
        return extract(loaded, batch, 1)[:, 0]
    read = extract(loaded, right_padded(batch), batch.token_ids.shape[1])
    ends = torch.tensor([len(one.token_ids) - 1 for one in lot])
    return read[torch.arange(len(lot)), ends]


def right_padded(batch: PromptBatch) -> PromptBatch:
    """The same prompts with their padding on the other side, and positions that count from the first token."""
    shifts = (batch.mask == 0).sum(-1)
    order = (torch.arange(batch.mask.shape[1], device=batch.mask.device)[None] + shifts[:, None]) % batch.mask.shape[1]
    mask = batch.mask.gather(1, order)
    return PromptBatch(batch.token_ids.gather(1, order), mask, (mask.cumsum(-1) - 1).clamp(min=0))


@contextmanager
def attention_of(loaded: LoadedModel, implementation: str) -> Iterator[None]:
    """In the ``with`` block the model computes its attention so (empty: as it is loaded); ``JobError`` where it cannot."""
    before = loaded.model.config._attn_implementation
    if not implementation or implementation == before:
        yield
        return
    try:
        loaded.model.set_attn_implementation(implementation)
    except (ValueError, ImportError, AttributeError) as error:
        raise JobError(f"the model has no attention {implementation!r}: {error}") from error
    try:
        yield
    finally:
        loaded.model.set_attn_implementation(before)
