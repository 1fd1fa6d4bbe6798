"""The constants of the cost model, by name: given here, overridden by a YAML file, refitted from a finished run (``refit``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from actors.types import Quantization, Resources
from orchestrator.devices import ACCELERATORS, CPU, CPU_NAME, DeviceClass, kind_of
from orchestrator.errors import InputError
from orchestrator.strict import Entry
from orchestrator.sweep_file.problems import problem_at, problems_of
from orchestrator.sweep_file.yaml_text import read_yaml

SLOWDOWN: Mapping[str, float] = {"none": 1.0, "int8": 3.0, "nf4": 2.0, "nf4-double": 2.0, "fp4": 2.0, "fp4-double": 2.0}
"""Arithmetic of a quantized model against the same model unquantized (measured: 2 to 4 on a CPU)."""


@dataclass(frozen=True)
class Costs:
    """What an estimate is made from.

    ``characters_per_token`` and ``template_tokens`` stand in for a tokenizer: what a chat template adds to a prompt (role
    marks and, in many families, a default system prompt). ``cpu_slots`` and ``gpu_slots``: rows in flight where the sweep
    leaves them to the worker. ``slowdown``: arithmetic of a quantized model against none. ``template_positions``: template
    tokens after the user's text, each a candidate of COSMIC. ``trial_share``: the part of a forward pass that one trial of a
    candidate costs (trials share what lies before the candidate; measured with the embedded model). ``download_bandwidth``: of
    the hub, bytes/s. ``answer_share``: the part of the tokens that answers may have which they have in the mean, for the seconds
    (1: none stops early). ``tool_seconds``: until a tool of another environment is imported, for `parity` (measured: 6 to 8 s of
    processor time). ``devices``: what was overridden, by name.
    """

    characters_per_token: float = 4.0
    template_tokens: int = 30
    cpu_slots: int = 32
    gpu_slots: int = 256
    template_positions: int = 5
    download_bandwidth: float = 0.5e9
    trial_share: float = 0.25
    answer_share: float = 1.0
    tool_seconds: float = 7.0
    slowdown: Mapping[str, float] = field(default_factory=lambda: dict(SLOWDOWN))
    devices: Mapping[str, DeviceClass] = field(default_factory=dict)

    def device(self, resources: Resources) -> DeviceClass:
        """The class that ``resources`` ask for (``devices.kind_of``), with what was overridden."""
        return self.named(kind_of(resources))

    def named(self, name: str) -> DeviceClass:
        """A device class by name: ``cpu``, or one of Ray's accelerator types."""
        return self.devices.get(name) or _default(name)


DEFAULT_COSTS = Costs()


class DeviceEntry(Entry):
    """One device class in a costs file; what is left out stays as it is."""

    flops: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    decode_flops: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    bandwidth: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    load_bandwidth: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    load_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    block_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class CostsEntry(Entry):
    """A costs file, key by key; every key may be left out."""

    characters_per_token: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    template_tokens: Annotated[int, Field(ge=0)] | None = None
    cpu_slots: Annotated[int, Field(ge=1)] | None = None
    gpu_slots: Annotated[int, Field(ge=1)] | None = None
    template_positions: Annotated[int, Field(ge=1)] | None = None
    download_bandwidth: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    trial_share: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    answer_share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    tool_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    slowdown: dict[Quantization, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    devices: dict[str, DeviceEntry] = Field(default_factory=dict)


def load_costs(path: Path) -> Costs:
    """The default constants with those of a YAML file in their place; InputError with every problem and its line."""
    document = read_yaml(path)
    data = {} if document.data is None else document.data
    try:
        entry = CostsEntry.model_validate(data)
    except ValidationError as error:
        raise InputError(*problems_of(error, document, CostsEntry)) from error
    unknown = [name for name in entry.devices if name != CPU_NAME and name not in ACCELERATORS]
    if unknown:
        allowed = ", ".join((CPU_NAME, *ACCELERATORS))
        raise InputError(*(problem_at(document, ("devices", name), "unknown device", name, allowed=allowed) for name in unknown))
    plain = {name: value for name, value in entry if name not in ("slowdown", "devices") and value is not None}
    devices = {name: replace(_default(name), **_given(one)) for name, one in entry.devices.items()}
    return replace(
        DEFAULT_COSTS,
        **plain,
        slowdown={**SLOWDOWN, **{str(name): value for name, value in entry.slowdown.items()}},
        devices=devices,
    )


def check_replaceable(path: Path) -> None:
    """InputError where a file is there that is no costs file: somebody's sweep is not written over."""
    if not path.is_file():
        return
    try:
        load_costs(path)
    except InputError as error:
        message = "it is there already, and no costs file"
        raise InputError.because(message, "--out", str(path), "a new file, or one of costs, which is replaced") from error


def encode_costs(found: Mapping[str, object], comment: str) -> str:
    """A costs file of the keys in ``found``, under a comment."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + yaml.safe_dump(dict(found), sort_keys=False)


def _given(entry: DeviceEntry) -> dict[str, Any]:
    return {name: value for name, value in entry if value is not None}


def _default(name: str) -> DeviceClass:
    return CPU if name == CPU_NAME else ACCELERATORS[name]
