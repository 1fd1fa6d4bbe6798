"""Every family in every dtype, and quantized: recorded and eager steps, another order and a row alone give the same tokens."""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from collections.abc import Callable
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
from benchmarks.gpu.machine import Machine, Work, answered, steerings
from tests.tiny import CONFIGS

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
INTERVENTIONS = ("addition", "ablation", "replacement")
SLOTS = 32


def families(machine: Machine, found: Findings) -> None:
    """All tiny families; with ``quick`` the first two."""
    for name in list(CONFIGS)[: 2 if machine.quick else None]:
        for dtype in DTYPES:
            found.section(f"{name} {dtype}", partial(_family, name, dtype, machine, found))
            machine.clear()


def quantized(machine: Machine, found: Findings) -> None:
    """nf4 and int8, where bitsandbytes is installed."""
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # one line per product otherwise
    if importlib.util.find_spec("bitsandbytes") is None:
        found.tell("quantized", "bitsandbytes is not installed here")
        return
    kinds = {
        "nf4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16),
        "int8": BitsAndBytesConfig(load_in_8bit=True),
    }
    with tempfile.TemporaryDirectory() as folder:
        AutoModelForCausalLM.from_config(CONFIGS["llama"]).save_pretrained(folder)
        for kind, config in kinds.items():
            found.section(kind, partial(_quantized_family, kind, config, Path(folder), machine=machine, found=found))
            machine.clear()


def same_tokens(label: str, machine: Machine, loaded: EngineModel, found: Findings) -> None:
    """Run rows under all interventions once, and then eagerly, in another order and alone.

    A model whose experts or outlier columns see the whole batch may answer otherwise in another order: that is told, not failed.
    """
    alone_only = loaded.decoder.runs_alone
    steered = steerings(5, loaded, INTERVENTIONS)
    rows = Work(6 if alone_only else 80, 12).rows(steered, int(loaded.model.config.get_text_config().vocab_size) - 1)
    engine = Engine(loaded, SLOTS)
    engine.by_rows = False  # one shape: what other slots change is told of the model of real size
    first = answered(machine, loaded, rows, steered, engine)
    engine.graphs = False
    eager = first.differing(answered(machine, loaded, rows, steered, engine))
    engine.graphs = True
    order = np.random.default_rng(1).permutation(len(rows))
    shuffled = first.differing(answered(machine, loaded, [rows[place] for place in order], steered, engine))
    alone = sum(first.differing(answered(machine, loaded, [row], steered, engine)) for row in rows[:3])
    mixes = bool(loaded.batch_dependence) and any(word in str(loaded.batch_dependence) for word in ("experts", "INT8"))
    held = not first.broken and not eager and (mixes or not (shuffled or alone))
    numbers = {"eager": eager, "shuffled": shuffled, "alone": alone, "not_finite": len(first.broken)}
    found.check(label, held, f"differing rows; decoding: {first.decoding}", **numbers)
    if machine.cuda and first.decoding != GRAPH and not alone_only:
        found.tell(f"{label} is not recorded", first.decoding)


def _family(name: str, dtype: torch.dtype, machine: Machine, found: Findings) -> None:
    same_tokens(f"{name} {str(dtype).removeprefix('torch.')}", machine, machine.model(CONFIGS[name], dtype), found)


def _quantized_family(kind: str, config: BitsAndBytesConfig, folder: Path, machine: Machine, found: Findings) -> None:
    same_tokens(kind, machine, _quantized(folder, config, machine), found)


def _quantized(folder: Path, config: BitsAndBytesConfig, machine: Machine) -> EngineModel:
    place: dict[str, Any] = {"device_map": {"": machine.device}} if machine.cuda else {}
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, quantization_config=config, **place).eval()
    return machine.held(model, torch.bfloat16)


CHECKS: dict[str, Callable[[Machine, Findings], None]] = {"families": families, "quantized": quantized}
"""Every check of this module by its name on the command line."""
