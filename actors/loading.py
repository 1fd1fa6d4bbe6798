"""``ModelSpec`` -> model and tokenizer: hub, folder or the embedded GGUF package, an adapter, a quantization.

Whatever the source, a model is loaded from a folder, whose files are looked at before any is opened: weights come only as
safetensors, never pickle. An adapter is merged into the unquantized base, so that what is quantized, steered and measured is one
plain model.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, BitsAndBytesConfig, Mxfp4Config
from transformers.utils import logging as transformers_logging

from actors.checkpoints import Checkpoint, open_checkpoint
from actors.embedded import embedded_folder, package_content
from actors.errors import ModelLoadError, NotHereError, UnfitDeviceError
from actors.families import Decoder, context_limit, decoder_of
from actors.faults import says_nothing_of_the_work
from actors.fingerprints import spec_fingerprint
from actors.gpus import is_of, why_no_gpu
from actors.hub_cache import commit_of, origin_of
from actors.merging import Base, Merged, base_in, merged
from actors.model_files import check_adapter_folder, check_model_folder, read_object
from actors.prompts import PromptRenderer
from actors.remarks import every_warning
from actors.stored_quantization import check_quantization, stored_quantization
from actors.tokenizing import tokenizer_of
from actors.types import ModelSpec, Prompt

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

_REFUSALS = (OSError, ValueError, TypeError, ImportError, KeyError, AttributeError, RuntimeError, SafetensorError)
"""What the libraries raise for files that they cannot make a model of."""

CHATTY = ("bitsandbytes.autograd._functions", "bitsandbytes.backends.cpu.ops")
"""Loggers that say something at every matrix product, or that a faster kernel could be installed."""
TOLD = frozenset({"tokenizer", "unread_weights", "stored_quantization", "idle_adapter"})
"""What of a model's record its user is told at once."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode with its tokenizer, its decoder parts and its prompt renderer.

    ``record``: what is special about how it was loaded, for the provenance of every number: plain strings. ``folder``: where its
    weights were read from, with an adapter merged into them (None: it was made in memory).
    """

    spec: ModelSpec
    model: Any
    tokenizer: Any
    decoder: Decoder
    renderer: PromptRenderer
    device: torch.device
    dtype: torch.dtype
    d_model: int
    commit: str
    record: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def stop_tokens(self) -> frozenset[int]:
        """Tokens that end an answer: those of the generation config, and the tokenizer's own end token."""
        configured = self.model.generation_config.eos_token_id
        ids = configured if isinstance(configured, list) else [configured]
        return frozenset(int(token) for token in [*ids, self.tokenizer.eos_token_id] if token is not None)


def load_model(spec: ModelSpec, devices: int = 0, gpu_memory: float = 0.0) -> LoadedModel:
    """Load a model variant onto the best device there is, or spread over the first ``devices`` GPUs where it asks for any, each
    of at least ``gpu_memory`` GB; raises ``ModelLoadError`` (or a subclass) saying what is wrong."""
    _require_gpus(devices, gpu_memory)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()  # bars of reading and writing weights would run through the sweep's own lines
    try:
        with every_warning():
            folder = _origin(spec)
            loaded = _loaded(spec, folder, devices)
            _check_unchanged(spec)  # once more: it may have been written to while it was read
    except (ModelLoadError, *_REFUSALS) as error:
        if says_nothing_of_the_work(error) or (isinstance(error, ModelLoadError) and type(error) is not ModelLoadError):
            raise  # of a kind of its own
        raise ModelLoadError(f"cannot load {spec.location!r}: {error or type(error).__name__}") from error
    for name in TOLD & loaded.record.keys():
        logger.warning("%s", loaded.record[name])
    return loaded


def _loaded(spec: ModelSpec, folder: Path, devices: int) -> LoadedModel:
    adapter = Path(spec.adapter) if spec.adapter else None
    check_model_folder(folder)
    check_quantization(read_object(folder / "config.json"), spec.quantization, adapter is not None)
    if adapter is not None:
        check_adapter_folder(adapter)
    _check_unchanged(spec)
    tokenizing = tokenizer_of(folder, adapter, spec.trust_remote_code)
    whole = None if adapter is None else merged(_base(spec, folder), adapter)
    source = folder if whole is None else whole.folder
    checkpoint = _checkpoint(source, spec, devices)
    model = checkpoint.model.eval()
    record = {
        "tokenizer": tokenizing.origin,
        "unread_weights": checkpoint.unread,
        "stored_quantization": _stored(source, spec),
        **({} if whole is None else _of_merge(whole)),
    }
    loaded = LoadedModel(
        spec=spec,
        model=model,
        tokenizer=tokenizing.tokenizer,
        decoder=replace(decoder_of(model), spread=len(devices_of(model)) > 1),
        renderer=PromptRenderer(tokenizing.tokenizer, spec.system_prompt, spec.template_options, spec.date),
        device=next(model.parameters()).device,
        dtype=DTYPES[spec.dtype],
        d_model=int(model.config.get_text_config().hidden_size),
        commit=commit_of(folder) or str(getattr(model.config, "_commit_hash", None) or ""),
        record={name: text for name, text in record.items() if text},
        folder=source,
    )
    _check_tokens(loaded)
    loaded.renderer.rows, loaded.renderer.limit = embedding_rows(model), context_limit(model.config)
    return loaded


def _of_merge(whole: Merged) -> dict[str, str]:
    idle = (
        "the adapter changes nothing that the model computes: it is untrained, or not this model's" if whole.effect == 0 else ""
    )
    within = f"as base and adapter side by side, within {whole.difference:.1e} standard deviations of the logits"
    return {"idle_adapter": idle, "adapter_merge": within}


def _check_unchanged(spec: ModelSpec) -> None:
    """``ModelLoadError`` when the files are not those that were planned, so that no answer gets another model's name."""
    if not spec.fingerprint:
        return
    package = package_content(spec.location) if spec.source == "embedded" else ""
    if spec_fingerprint(spec, package) != spec.fingerprint:
        what = "the model's or the adapter's files" if spec.adapter else "the model's files"
        raise ModelLoadError(
            f"{what} are not those that the sweep was planned with (they were written to since, or differ on this "
            "machine): start the sweep again, which plans anew"
        )


def _check_tokens(loaded: LoadedModel) -> None:
    """``ModelLoadError`` when the chat template writes tokens that the model has no embedding for."""
    rows = embedding_rows(loaded.model)
    highest = max(loaded.renderer.render(Prompt("probe", "Why?")).token_ids)
    if rows is not None and highest >= rows:
        raise ModelLoadError(
            f"the chat template writes token {highest}, the model has embeddings for {rows}: the tokenizer is not its own"
        )


def _base(spec: ModelSpec, folder: Path) -> Base:
    """An embedded model's folder is named by its content already."""
    return Base(folder, folder.name) if spec.source == "embedded" else base_in(folder, spec.trust_remote_code)


def embedding_rows(model: Any) -> int | None:
    """How many token ids the model can look up; None where it does not show its table."""
    try:
        return int(model.get_input_embeddings().weight.shape[0])
    except (NotImplementedError, AttributeError):
        return None


def best_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _origin(spec: ModelSpec) -> Path:
    """The folder that a model is loaded from."""
    if spec.source == "embedded":
        return embedded_folder(spec.location)
    if spec.source == "folder" and not Path(spec.location).is_dir():
        raise NotHereError(f"model folder {spec.location!r} does not exist on this machine")
    return origin_of(spec) if spec.source == "hub" else Path(spec.location)


def _require_gpus(devices: int, gpu_memory: float) -> None:
    """``UnfitDeviceError`` where a model that asks for GPUs would run on a CPU, on fewer of them, or on smaller ones."""
    if devices and not torch.cuda.is_available():
        why = why_no_gpu() or "torch finds no GPU, although its build and the driver's version agree: see what nvidia-smi says"
        raise UnfitDeviceError(f"the model asks for a GPU (gpus), and this worker can use none: {why}")
    if devices > 1 and (seen := torch.cuda.device_count()) < devices:
        raise UnfitDeviceError(f"the model asks for {devices} GPUs, this worker sees {seen}")
    for held in map(torch.cuda.get_device_properties, range(devices)) if gpu_memory else ():
        if not is_of(held.total_memory, gpu_memory):
            told = f"this worker's {held.name} has {held.total_memory / 1e9:.0f} GB"
            raise UnfitDeviceError(f"the model asks for GPUs of {gpu_memory:g} GB (gpu_memory), {told}")


def devices_of(model: Any) -> tuple[str, ...]:
    """The places over which accelerate has spread the model's parts, as it names them; one, or none, when it is in one place."""
    return tuple(dict.fromkeys(str(place) for place in getattr(model, "hf_device_map", {}).values()))


def device_map(devices: int) -> dict[str, Any]:
    """Where ``from_pretrained`` puts the parts of a model: balanced over the first ``devices`` GPUs, as accelerate does it."""
    if best_device().type != "cuda":
        return {"device_map": None}
    if devices <= 1:
        return {"device_map": {"": best_device()}}
    free = {number: torch.cuda.mem_get_info(number)[0] for number in range(devices)}
    return {"device_map": "balanced", "max_memory": free}


def _checkpoint(folder: Path, spec: ModelSpec, devices: int) -> Checkpoint:
    """dtype is always explicit: transformers 5 otherwise takes whatever the checkpoint was stored in."""
    placed = device_map(devices)
    how = {"dtype": DTYPES[spec.dtype], **_quantized(folder, spec), **placed}
    checkpoint = open_checkpoint(folder, spec.trust_remote_code, **how)
    if placed["device_map"] == "balanced" and not {"cpu", "disk"}.isdisjoint(devices_of(checkpoint.model)):
        raise ModelLoadError(f"the model does not fit into {devices} GPUs: accelerate put a part of it elsewhere")
    leave_uneven_layers(checkpoint.model)
    return checkpoint


def leave_uneven_layers(model: Any) -> None:
    """On a CPU with AVX512-BF16 bitsandbytes packs 4-bit weights anew at the first forward, by 32 outputs and whole blocks of
    inputs, and fails at a layer of another size, such as a linear attention's gates: have it run these as other CPUs do."""
    for module in model.modules():
        if getattr(module, "support_avx512bf16_for_cpu", False):
            module.support_avx512bf16_for_cpu = not (module.out_features % 32 or module.in_features % module.weight.blocksize)


def _quantized(folder: Path, spec: ModelSpec) -> dict[str, Any]:
    """How ``from_pretrained`` quantizes. A checkpoint that is stored so keeps its settings, but computes in the model's dtype."""
    stored = stored_quantization(read_object(folder / "config.json"))
    if stored is None:
        return {"quantization_config": _quantization_config(spec)}
    if stored == "mxfp4":
        return {"quantization_config": Mxfp4Config(dequantize=True)}
    config = AutoConfig.from_pretrained(str(folder), trust_remote_code=spec.trust_remote_code)
    config.quantization_config = {**config.quantization_config, "bnb_4bit_compute_dtype": spec.dtype}
    return {"config": config}


def _stored(folder: Path, spec: ModelSpec) -> str:
    """In words, where the checkpoint was quantized before it came here."""
    stored = stored_quantization(read_object(folder / "config.json"))
    if stored is None:
        return ""
    now = f"run so, computing in {spec.dtype}" if spec.quantization != "none" else f"unpacked into {spec.dtype}"
    return f"the checkpoint itself is stored in {stored}: {now}"


def _quantization_config(spec: ModelSpec) -> BitsAndBytesConfig | None:
    """bitsandbytes INT8 (LLM.int8) or 4-bit NF4/FP4, computing in the model's dtype."""
    if spec.quantization == "none":
        return None
    if spec.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    kind, _, double = spec.quantization.partition("-")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=bool(double),
        bnb_4bit_compute_dtype=DTYPES[spec.dtype],
    )
