"""Tasks of lm-evaluation-harness on the model that a worker holds, steered or not. Needs the extra ``capability``.

Prompts, shots, tokens, stop strings and metrics are the harness's own, as of its model ``hf``; only what the model computes comes
from the engine, many requests in one batch; texts whose every token counts run one by one.
"""

from __future__ import annotations

import copy
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml
from lm_eval.evaluator import DEFAULT_OTHER_SEED, evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from torch import Tensor

from actors.boundary import Answered, as_failure
from actors.engine.engine import Engine
from actors.engine.forced import ForcedRow
from actors.engine.rows import Acting, Row
from actors.engine.site_places import width_at
from actors.errors import JobError, NonFiniteActivationError, WorkerError
from actors.loading import LoadedModel
from actors.prompts import Rendered
from actors.steering import check_steering
from actors.types import CapabilityJob, Failure, Prompt, Steering

AT_ONCE = 4096
"""Requests that the engine is given together; it chooses by memory how many of them share a batch."""


def measure(loaded: LoadedModel, engine: Engine, jobs: Sequence[CapabilityJob]) -> Iterator[Answered | Failure]:
    """For each job, as JSON, what the harness says of its task, or of each task of its group: ``{task: {"version": "1.0",
    "n": 50, "metrics": {"acc,none": 0.5}}}``. What else goes wrong (an unknown task, data out of reach) is raised."""
    for job in jobs:
        try:
            if job.steering is not None:
                widths = width_at(loaded.model, loaded.decoder, loaded.d_model)
                check_steering(job.steering, loaded.decoder.n_layers, loaded.d_model, widths)
            tasks = _tasks(job)
            lm = EngineLM(loaded, engine, job.steering)
            found = evaluate(lm=lm, task_dict=tasks, limit=job.limit, bootstrap_iters=0, log_samples=False)
            yield Answered(job.item_id, json.dumps(_told(found), allow_nan=False).encode())
        except WorkerError as error:
            yield as_failure(job.item_id, error)


@cache
def _manager() -> TaskManager:
    """It reads thousands of files."""
    return TaskManager()


def _tasks(job: CapabilityJob) -> Any:
    """The tasks that a name stands for, with so many shots, drawn as the harness's own program draws them. (That also looks at
    the whole machine each time, which takes half a minute.)"""
    found = _manager().load([task_of(job.task)])
    for task in found["tasks"].values():
        own = task.get_config("num_fewshot")
        if own is None or (own != 0 and job.shots is not None):  # 0 says that there never are any
            task.set_config(key="num_fewshot", value=job.shots or 0)
        task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
    return found


def task_of(task: str) -> str | dict[str, Any]:
    """What the harness calls a task; of a YAML file its content, the data files in it beside the file."""
    file = Path(task)
    if file.suffix != ".yaml":
        return task
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    data = content.get("dataset_kwargs", {}).get("data_files", {})
    data.update({split: str(file.parent / name) for split, name in data.items()})
    return content


def _told(found: Any) -> dict[str, Any]:
    return {
        task: {
            "version": str(found["versions"].get(task, "")),
            "n": int(found["n-samples"].get(task, {}).get("effective", 0)),
            "metrics": {
                name: float(value)
                for name, value in said.items()
                if "," in name and not isinstance(value, str) and math.isfinite(value)
            },
        }
        for task, said in found["results"].items()
    }


class EngineLM(HFLM):
    """The harness's ``hf`` model whose likelihoods and answers an engine computes, under a ``steering`` (None: unsteered)."""

    def __init__(self, loaded: LoadedModel, engine: Engine, steering: Steering | None) -> None:
        super().__init__(pretrained=loaded.model, tokenizer=copy.deepcopy(loaded.tokenizer), backend="causal", batch_size=AT_ONCE)
        self._engine, self._stops = engine, loaded.stop_tokens
        self._steerings = [] if steering is None else [steering]
        self._number = len(self._steerings)
        self._first = None if steering is None else steering.first_layer
        self._acts = (Acting(),) if steering is None else Acting.of(steering)

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """The sum of the log-probabilities of each continuation's tokens, and whether each is the likeliest.

        A window of a text (of ``loglikelihood_rolling``, which names no strings) runs alone, as with ``hf`` at batch size 1:
        unsteered, perplexities and bits per byte are the harness's own to the last digit."""
        shared = Counter(tuple(context) for _, context, _ in requests)
        rows = []
        for strings, context, continuation in requests:
            kept = tuple((*context, *continuation)[-(self.max_length + 1) : -len(continuation)])
            alone = shared[tuple(context)] == 1
            prefix = 0 if alone else len(kept) - 1
            rows.append(ForcedRow(kept, prefix, tuple(continuation), self._number, alone=strings is None))
        found = self._engine.likelihoods(rows, self._steerings)
        if not all(torch.isfinite(torch.from_numpy(one.log_probs)).all() for one in found):
            raise NonFiniteActivationError("logits are not finite")
        return [(one.total, bool(one.greedy.all())) for one in found]

    def _model_generate(
        self, context: Tensor, max_length: int, stop: list[str], attention_mask: Tensor, **settings: Any
    ) -> Tensor:
        """The likeliest tokens after each row of ``context`` ``[R, tokens]``, up to ``max_length`` with it; padded behind."""
        if settings.get("do_sample") or settings.get("temperature"):
            raise JobError(f"a task that samples is not run: {settings}")
        new = max_length - context.shape[1]
        rows = []
        for number, (tokens, mask) in enumerate(zip(context.tolist(), attention_mask.tolist(), strict=True)):
            read = tuple(token for token, there in zip(tokens, mask, strict=True) if there)
            rendered = Rendered(Prompt("", ""), "", read, 0)
            rows.append(Row(number, rendered, self._number, self._first, new, acts=self._acts))
        for row in self._engine.run(rows, self._steerings):
            if not row.finite:
                raise NonFiniteActivationError("logits are not finite")
        padded = [[*row.tokens, *[self.tokenizer.pad_token_id] * (new - len(row.tokens))] for row in rows]
        return torch.cat([context, torch.tensor(padded, device=context.device)], dim=1)
