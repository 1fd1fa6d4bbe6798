"""A model that is not what its name says: known to ``plan`` in one line, or refused at load; a library's doubts are heard."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import BitsAndBytesConfig, LlamaConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.loading import load_model
from tests.faults.tiny_sweep import TinySweep
from tests.tiny import COMMON, tiny_tokenizer


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinySweep:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return TinySweep(tmp_path)


def adapted(sweep: TinySweep, targets: list[str], tied: bool = False) -> None:
    """A model with an adapter beside it."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LlamaConfig(**{**COMMON, "tie_word_embeddings": tied}))
    model.save_pretrained(sweep.folder / "model")
    tiny_tokenizer().save_pretrained(sweep.folder / "model")
    config = LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(sweep.folder / "adapter")
    sweep.write(models={"m": {"folder": "model", "adapter": "adapter"}}, layers=[1])


@pytest.mark.parametrize("quiet", [True, False])
def test_what_peft_warns_of_reaches_the_user_and_the_log(quiet: bool, sweep: TinySweep) -> None:
    adapted(sweep, ["lm_head"], tied=True)
    told = sweep.run(*(["--quiet"] if quiet else []))
    assert told.exit_code == 0, told.output
    words = "tie_word_embeddings=True"
    assert told.output.count(words) >= 1
    assert ("warning: local: " in told.output) == quiet
    logged = [entry for entry in sweep.events() if entry.event == "log" and words in entry.text]
    assert logged
    assert all(entry.text.isprintable() for entry in logged)
    assert len({entry.text for entry in logged}) == len(logged), "the same words once"
    assert str(sweep.folder) not in "".join(entry.text for entry in logged)


def test_a_base_retrained_between_planning_and_loading_is_refused(sweep: TinySweep, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep.model()
    sweep.write(layers=[1])

    def load(*parts: object) -> object:
        file = sweep.folder / "model" / "model.safetensors"
        before = file.stat()
        sweep.model(seed=1)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        return load_model(*parts)  # type: ignore[arg-type]

    monkeypatch.setattr("actors.worker.load_model", load)
    assert sweep.run().exit_code == 1
    (message,) = {message for _, message, _ in sweep.failures().values()}
    assert "not those that the sweep was planned with" in message
    assert sweep.store.done_cells() == frozenset()


def only_pickle(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def only_gguf(model: Path) -> None:
    (model / "model.safetensors").rename(model / "model.gguf")


def no_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").unlink()


def truncated(model: Path) -> None:
    os.truncate(model / "model.safetensors", 1000)


def of_two_stacks(model: Path) -> None:
    (model / "config.json").write_text(json.dumps({"model_type": "t5", "is_encoder_decoder": True, "num_layers": 4}))


def an_adapter(model: Path) -> None:
    (model / "config.json").rename(model / "adapter_config.json")


KNOWN: dict[Callable[[Path], None], str] = {
    only_pickle: "only as pickle (pytorch_model.bin)",
    only_gguf: "only as GGUF",
    no_tokenizer: "no tokenizer",
    truncated: "not a readable safetensors file",
    of_two_stacks: "encoder-decoder",
    an_adapter: "an adapter, not a model",
}


@pytest.mark.parametrize("damage", KNOWN, ids=lambda damage: damage.__name__)
def test_plan_knows_folders_that_cannot_run_and_says_so_in_a_line(damage: Callable[[Path], None], sweep: TinySweep) -> None:
    damage(sweep.model())
    sweep.write(layers=[1])
    told = sweep.do("plan", str(sweep.folder / "sweep.yaml"))
    assert told.exit_code == 2
    (line,) = [line for line in told.output.splitlines() if line.strip()]
    assert KNOWN[damage] in line
    assert "models.tiny.folder" in line


@pytest.mark.parametrize("place", ["model", "grid"])
def test_plan_knows_what_a_checkpoint_is_stored_in(place: str, sweep: TinySweep) -> None:
    full = sweep.model("full")
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
    AutoModelForCausalLM.from_pretrained(full, dtype=torch.float32, quantization_config=config).save_pretrained(
        sweep.folder / "m"
    )
    tiny_tokenizer().save_pretrained(sweep.folder / "m")
    for asked, code in ((["none", "int8"], 2), (["nf4"], 0)):
        model = {"folder": "m", **({"quantizations": asked} if place == "model" else {})}
        grid = {"layers": [1], "multipliers": [3], "quantizations": asked}
        more = {"layers": [1]} if place == "model" else {"grids": [grid], "layers": None, "multipliers": None}
        sweep.write(models={"tiny": model}, **more)
        told = sweep.do("plan", str(sweep.folder / "sweep.yaml"))
        assert told.exit_code == code, told.output
        lines = [line for line in told.output.splitlines() if "stored in nf4" in line]
        assert len(lines) == (2 if code else 0), "one for each that cannot be"
    told = sweep.run()
    assert told.exit_code == 0, told.output
    (stored,) = {json.loads(row.provenance)["stored_quantization"] for row in sweep.store.cell_rows()}
    assert "stored in nf4: run so, computing in float32" in stored
