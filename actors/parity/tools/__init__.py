"""The tools that a parity study reads a model with: one file each, one line below. Torch-free."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.environments import Environment

HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Tool:
    """What it is, in a line, and how it runs: in the worker's process, ``extractor`` says where its ``Extractor`` is
    (``module:name``); or as ``script`` of ``actors/parity/scripts``, in the environment of its requirements file, which has the
    tool's own name. ``steers`` and ``steering_script``: the same of what adds a direction (``actors.parity.steered.Steer``);
    neither: it does not."""

    name: str
    docs: str
    extractor: str = ""
    script: str = ""
    steers: str = ""
    steering_script: str = ""

    @staticmethod
    def load(place: str) -> Any:
        """What ``extractor`` or ``steers`` says: an ``actors.extraction.Extractor`` or an ``actors.parity.steered.Steer``."""
        module, _, name = place.partition(":")
        return getattr(importlib.import_module(module), name)

    @property
    def environment(self) -> Environment:
        """Where its script runs."""
        return Environment(self.name, HERE / "requirements" / f"{self.name}.txt", beside=True)

    def command(self, script: str) -> tuple[str, ...]:
        """What runs one of its scripts, its environment made first where need be; ``EnvironmentUnavailableError``."""
        return str(self.environment.ready()), str(HERE / "scripts" / script)

    def content(self, script: str) -> list[str]:
        """What one of its scripts (empty: none) and its versions contribute to an identity."""
        if not script:
            return []
        files = (HERE / "scripts" / script, HERE / "scripts" / "job_files.py", self.environment.requirements)
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


_TOOLS = (
    Tool(
        "hooks",
        "plain forward hooks on the blocks",
        "actors.extraction.hooks:read_with_hooks",
        steers="actors.parity.steered:steer_with_hooks",
    ),
    Tool(
        "nnsight",
        "nnsight, tracing token ids",
        "actors.extraction.nnsight:read_with_nnsight",
        steers="actors.parity.tools.nnsight_steering:steer_with_nnsight",
    ),
    Tool(
        "pre-hooks",
        "hooks on inputs, as baukit's TraceDict(retain_input=True)",
        "actors.parity.tools.pre_hooks:read_with_pre_hooks",
        steers="actors.parity.tools.pre_hooks:steer_with_pre_hooks",
    ),
    Tool(
        "hidden-states",
        "transformers' output_hidden_states, `hidden_states[1:]`",
        "actors.parity.tools.hidden_states:read_hidden_states",
    ),
    Tool(
        "pyvene",
        "pyvene, a CollectIntervention on every block's output",
        script="run_pyvene.py",
        steering_script="steer_pyvene.py",
    ),
    Tool("transformer-lens", "TransformerLens' bridge, hook_resid_post", script="run_transformer_lens.py"),
    Tool("nnterp", "nnterp's StandardizedTransformer, layers_output", script="run_nnterp.py"),
    Tool(
        "steering-vectors",
        "steering-vectors' record_activations",
        script="run_steering_vectors.py",
        steering_script="steer_steering_vectors.py",
    ),
    Tool(
        "repeng",
        "repeng's batched_get_hiddens, which tokenizes text by itself",
        script="run_repeng.py",
        steering_script="steer_repeng.py",
    ),
)
TOOLS: dict[str, Tool] = {tool.name: tool for tool in _TOOLS}
"""In the order of the page."""
