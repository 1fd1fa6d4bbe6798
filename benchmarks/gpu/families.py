"""Every family in every dtype, and quantized: recorded and eager steps, another order and a row alone give the same tokens."""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BitsAndBytesConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.engine.engine import Engine
from actors.engine.engine_model import EngineModel
from actors.engine.graphs import GRAPH
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.machine import Body, Machine, Work, answered, steerings
from tests.tiny import CONFIGS

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
INTERVENTIONS = ("addition", "ablation", "replacement")
SLOTS = 32


def parts(quick: bool) -> dict[str, Body]:
    """All tiny families (with ``quick`` the first two) in each dtype, and two quantizations."""
    return {
        **{
            f"families: {name} {_word(dtype)}": partial(_family, name, dtype)
            for name in list(CONFIGS)[: 2 if quick else None]
            for dtype in DTYPES
        },
        **{f"quantized: {kind}": partial(_quantized_family, kind) for kind in ("nf4", "int8")},
    }


def same_tokens(label: str, machine: Machine, loaded: EngineModel, found: Findings) -> None:
    """Run rows under all interventions once, and then eagerly, in another order and alone.

    A model whose experts or outlier columns see the whole batch may answer otherwise in another order: that is told, not failed.
    """
    alone_only = loaded.decoder.runs_alone
    steered = steerings(5, loaded, INTERVENTIONS)
    work = Work(6, 12) if alone_only else Work(24, 6) if machine.quick else Work(80, 12)
    rows = work.rows(steered, int(loaded.model.config.get_text_config().vocab_size) - 1)
    engine = Engine(loaded, SLOTS // 2 if machine.quick else SLOTS)
    engine.by_rows = False  # one shape: what other slots change is told of the model of real size
    first = answered(machine, loaded, rows, steered, engine)
    engine.graphs = False
    eager = first.differing(answered(machine, loaded, rows, steered, engine))
    engine.graphs = True
    order = np.random.default_rng(1).permutation(len(rows))
    shuffled = first.differing(answered(machine, loaded, [rows[place] for place in order], steered, engine))
    alone = sum(first.differing(answered(machine, loaded, [row], steered, engine)) for row in rows[: 1 if machine.quick else 3])
    mixes = bool(loaded.batch_dependence) and any(word in str(loaded.batch_dependence) for word in ("experts", "INT8"))
    held = not first.broken and not eager and (mixes or not (shuffled or alone))
    numbers = {"eager": eager, "shuffled": shuffled, "alone": alone, "not_finite": len(first.broken)}
    allowed = " (experts and INT8 look at the whole batch: shuffled and alone may)" if mixes else ""
    found.check(label, held, f"steps: {first.decoding}; of {len(rows)} rows answer otherwise{allowed}", **numbers)
    if machine.cuda and first.decoding != GRAPH and not alone_only:
        found.tell(f"{label} is not recorded", first.decoding)


def _family(name: str, dtype: torch.dtype, machine: Machine, found: Findings) -> None:
    same_tokens(f"{name} {_word(dtype)}", machine, machine.model(CONFIGS[name], dtype), found)


def _quantized_family(kind: str, machine: Machine, found: Findings) -> None:
    """Where bitsandbytes is installed."""
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # one line per product otherwise
    missing = [name for name in ("bitsandbytes", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        found.tell(kind, f"{' and '.join(missing)} not installed here")
        return
    config = (
        BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
        if kind == "nf4"
        else BitsAndBytesConfig(load_in_8bit=True)
    )
    with tempfile.TemporaryDirectory() as folder:
        AutoModelForCausalLM.from_config(CONFIGS["llama"]).save_pretrained(folder)
        same_tokens(kind, machine, _quantized(Path(folder), config, machine), found)


def _quantized(folder: Path, config: BitsAndBytesConfig, machine: Machine) -> EngineModel:
    place: dict[str, Any] = {"device_map": {"": machine.device}} if machine.cuda else {}
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, quantization_config=config, **place).eval()
    return machine.held(model, torch.bfloat16)


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
