"""Sweep files for the tests of the planning path, written to a folder with everything they refer to."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import yaml

from orchestrator.plan import Plan, make_plan
from orchestrator.sweep import load_sweep

REPO = Path(__file__).resolve().parents[2]
REFUSAL = REPO / "sweeps" / "behaviors" / "refusal.jsonl"
BROKEN = Path(__file__).parent / "broken"
EMBEDDED = {"embedded": "smollm2-135m-instruct"}
QWEN_7B = {"n_layers": 28, "d_model": 3584, "n_heads": 28, "n_kv_heads": 4, "d_ff": 18944, "vocab_size": 152064}
PINNED = "a" * 40


def hub(name: str, n_layers: int = 28, d_model: int = 3584, **more: object) -> dict[str, object]:
    """A hub model that is not in any cache, planned by its ``shape:``."""
    shape = {**QWEN_7B, "n_layers": n_layers, "d_model": d_model, "model_type": "qwen2", "tied_embeddings": False}
    return {"hub": f"example/{name}", "revision": PINNED, "shape": shape, **more}


def sweep_data(**changes: object) -> dict[str, object]:
    """The data of a small valid sweep file; ``changes`` replace or (None) drop keys."""
    data: dict[str, object] = {
        "models": {"small": EMBEDDED},
        "behaviors": {"refusal": {"file": "refusal.jsonl"}},
        "layers": [9, 12],
        "multipliers": [4, 8],
    }
    data.update(changes)
    return {key: value for key, value in data.items() if value is not None}


def write_sweep(folder: Path, data: Mapping[str, object], name: str = "sweep.yaml") -> Path:
    """Write ``data`` as a sweep file beside a copy of the refusal behavior."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "refusal.jsonl").write_text(paper_prompts(), encoding="utf-8")
    unshared = json.loads(json.dumps(data))  # what is said twice is written twice: sweep files take no aliases
    (folder / name).write_text(yaml.safe_dump(unshared, sort_keys=False), encoding="utf-8")
    return folder / name


def paper_prompts() -> str:
    """The lines of the refusal behavior that the paper lists: 5 + 5 contrast prompts and T1 to T30."""
    lines = REFUSAL.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if int(json.loads(line)["id"][1:]) <= 30) + "\n"


def plan_of(folder: Path, **changes: object) -> Plan:
    """The plan of ``sweep_data(**changes)``."""
    return make_plan(load_sweep(write_sweep(folder, sweep_data(**changes))))


def write_safetensors(path: Path, shapes: Mapping[str, tuple[int, ...]], fill: bytes = b"\0\0") -> None:
    """A safetensors file of float16 tensors, written by the format's definition and not by its library."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2
        for length in shape:
            size *= length
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + fill * (offset // 2))


def write_adapter(folder: Path, width: int = 576, layer: int = 0) -> Path:
    """A LoRA adapter of rank 2 for one query projection of a model of ``width``."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"peft_type": "LORA", "r": 2, "base_model_name_or_path": str(folder)}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    name = f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_"
    write_safetensors(folder / "adapter_model.safetensors", {f"{name}A.weight": (2, width), f"{name}B.weight": (width, 2)})
    return folder


def write_model(folder: Path, fill: bytes = b"\0\0", **config: object) -> Path:
    """A model folder of a two-layer Llama, with weights that nobody could load."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 32}
    content = {"model_type": "llama", "_name_or_path": str(folder), **sizes, **config}
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "tokenizer.json").write_text("{}")
    write_safetensors(folder / "model.safetensors", {"weight": (64, 64)}, fill)
    return folder
