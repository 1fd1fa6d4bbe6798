"""``ModelSpec`` -> model and tokenizer: hub, folder or the embedded GGUF package, an adapter, a quantization.

Weights come only as safetensors (or the embedded GGUF), never pickle. An adapter is merged into the unquantized base once and the
merged folder cached by content: what is quantized, steered and measured is then one plain model, whatever the quantization.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from actors.embedded import build_once, cache_root, embedded_folder
from actors.errors import ModelLoadError, NotHereError
from actors.families import Decoder, decoder_of
from actors.hub_cache import commit_of, origin_of
from actors.prompts import PromptRenderer
from actors.types import ModelSpec

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
MERGE_VERSION = 1


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode with its tokenizer, its decoder parts and its prompt renderer."""

    spec: ModelSpec
    model: Any
    tokenizer: Any
    decoder: Decoder
    renderer: PromptRenderer
    device: torch.device
    dtype: torch.dtype
    d_model: int
    commit: str

    @property
    def stop_tokens(self) -> frozenset[int]:
        """Tokens that end an answer: those of the generation config, and the tokenizer's own end token."""
        configured = self.model.generation_config.eos_token_id
        ids = configured if isinstance(configured, list) else [configured]
        return frozenset(int(token) for token in [*ids, self.tokenizer.eos_token_id] if token is not None)


def load_model(spec: ModelSpec, devices: int = 1) -> LoadedModel:
    """Load a model variant onto the best device there is, or spread over the first ``devices`` GPUs; raises ``ModelLoadError``
    (or a subclass) saying what is wrong."""
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # one line per matrix product otherwise
    transformers_logging.disable_progress_bar()  # bars of reading and writing weights would run through the sweep's own lines
    origin = _origin(spec)
    try:
        tokenizer = AutoTokenizer.from_pretrained(origin, revision=spec.revision, trust_remote_code=spec.trust_remote_code)
        source, revision = (str(_merged(spec, origin)), None) if spec.adapter else (origin, spec.revision)
        model = _from_pretrained(source, revision, spec, devices)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ModelLoadError(f"cannot load {spec.location!r}: {error}") from error
    model.eval()
    decoder = replace(decoder_of(model), spread=len(devices_of(model)) > 1)
    return LoadedModel(
        spec=spec,
        model=model,
        tokenizer=tokenizer,
        decoder=decoder,
        renderer=PromptRenderer(tokenizer, spec.system_prompt, spec.template_options, spec.date),
        device=next(model.parameters()).device,
        dtype=DTYPES[spec.dtype],
        d_model=int(model.config.get_text_config().hidden_size),
        commit=commit_of(origin) or str(getattr(model.config, "_commit_hash", None) or ""),
    )


def best_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _origin(spec: ModelSpec) -> str:
    if spec.source == "embedded":
        return str(embedded_folder(spec.location))
    if spec.source == "folder" and not Path(spec.location).is_dir():
        raise NotHereError(f"model folder {spec.location!r} does not exist on this machine")
    return origin_of(spec) if spec.source == "hub" else spec.location


def devices_of(model: Any) -> tuple[str, ...]:
    """The places over which accelerate has spread the model's parts, as it names them; one, or none, when it is in one place."""
    return tuple(dict.fromkeys(str(place) for place in getattr(model, "hf_device_map", {}).values()))


def device_map(devices: int) -> dict[str, Any]:
    """Where ``from_pretrained`` puts the parts of a model: balanced over the first ``devices`` GPUs, as accelerate does it.

    Raises ``ModelLoadError`` where fewer GPUs are seen.
    """
    if best_device().type != "cuda":
        return {"device_map": None}
    if devices == 1:
        return {"device_map": {"": best_device()}}
    if torch.cuda.device_count() < devices:
        raise ModelLoadError(f"the model asks for {devices} GPUs, this worker sees {torch.cuda.device_count()}")
    free = {number: torch.cuda.mem_get_info(number)[0] for number in range(devices)}
    return {"device_map": "balanced", "max_memory": free}


def _from_pretrained(source: str, revision: str | None, spec: ModelSpec, devices: int) -> Any:
    """dtype is always explicit: transformers 5 otherwise takes whatever the checkpoint was stored in."""
    placed = device_map(devices)
    loaded = AutoModelForCausalLM.from_pretrained(
        source,
        revision=revision,
        dtype=DTYPES[spec.dtype],
        quantization_config=_quantization_config(spec),
        use_safetensors=True,
        trust_remote_code=spec.trust_remote_code,
        output_loading_info=True,
        **placed,
    )
    model = _whole(loaded, spec)
    if placed["device_map"] == "balanced" and not {"cpu", "disk"}.isdisjoint(devices_of(model)):
        raise ModelLoadError(f"the model does not fit into {devices} GPUs: accelerate put a part of it elsewhere")
    return model


def _whole(loaded: Any, spec: ModelSpec) -> Any:
    """The model of a ``from_pretrained`` that tells what it found. ``ModelLoadError`` when the files lack some of the weights:
    transformers would draw them at random."""
    model, found = loaded
    missing = sorted(found["missing_keys"])
    if missing:
        some = f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}"
        raise ModelLoadError(f"the files of {spec.location!r} lack {len(missing)} of the model's weights: {some}")
    return model


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


def _merged(spec: ModelSpec, origin: str) -> Path:
    """The folder of base + adapter in float32, made once per content; safe when two processes ask at once."""
    adapter = Path(str(spec.adapter))
    if not (adapter / "adapter_model.safetensors").is_file():
        raise ModelLoadError(f"adapter folder {spec.adapter!r} holds no adapter_model.safetensors")
    key = hashlib.sha256(f"{MERGE_VERSION} {spec.source} {spec.location} {spec.revision}".encode())
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        key.update((adapter / name).read_bytes())
    return build_once(cache_root() / f"merged-{key.hexdigest()[:16]}", lambda target: _merge(origin, spec, adapter, target))


def _merge(origin: str, spec: ModelSpec, adapter: Path, target: Path) -> None:
    """Write base + adapter, merged in float32, into the empty folder ``target``."""
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(
        origin,
        revision=spec.revision,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=spec.trust_remote_code,
        output_loading_info=True,
    )
    PeftModel.from_pretrained(_whole(base, spec), str(adapter)).merge_and_unload().save_pretrained(target)
