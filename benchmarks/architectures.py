"""Which architectures run, and how: a tiny random model of each, loaded and compared with plain transformers.

``python -m benchmarks.architectures [name ...]`` tries them (all, or the named ones) and prints a line each; ``--write`` stores
the outcomes in ``benchmarks/architectures.json`` and writes ``docs/models.md`` from them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from actors.errors import ModelLoadError
from actors.types import CellResult, Decoding, EngineOptions, ExtractionJob, GenerationJob, ModelSpec, Prompt, Steering, Underway
from actors.worker import ModelWorker
from tests.architectures import names, tiny_architecture
from tests.oracle import TIE, first_difference, generate_alone
from tests.tiny import tiny_tokenizer

STORED = Path(__file__).with_name("architectures.json")
PAGE = Path(__file__).parents[1] / "docs" / "models.md"
BATCH, ALONE, REFUSED, UNBUILT = "in one batch", "row by row", "refused", "not built"
WAYS = (BATCH, ALONE, REFUSED, UNBUILT)
TEXTS = ("Why is the sky blue?", "What is a haiku?", "Who was Ada Lovelace, and what did she write of engines?", "Hi")
NEW_TOKENS = 8
EXACT = 1e-3


@dataclass(frozen=True)
class Outcome:
    """What became of one architecture: one of ``WAYS``, with the worker's own words where it is not the first."""

    name: str
    way: str
    reason: str = ""


class DiffersError(Exception):
    """A model that the worker accepted answers otherwise than plain transformers: must never happen."""


def tried(name: str) -> Outcome:
    """Build, load and compare one architecture; raises ``DiffersError``."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            tiny_architecture(name).save_pretrained(folder)
            tiny_tokenizer().save_pretrained(folder)
            plain = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
            # Argmax against argmax: some families would have generate end with a token of their own (Blenderbot).
            plain.generation_config = transformers.GenerationConfig(eos_token_id=2, pad_token_id=0)
            plain(input_ids=torch.tensor([[1, 3, 40, 41, 42]]))
        except Exception as error:  # noqa: BLE001 - whatever hinders transformers from building it
            return Outcome(name, UNBUILT, _line(f"{type(error).__name__}: {error}"))
        worker = ModelWorker()
        try:
            worker.load(ModelSpec("folder", folder), EngineOptions())
        except ModelLoadError as error:
            return Outcome(name, REFUSED, _line(str(error).replace(folder, "the model")))
        compare(worker, plain)
        loaded = worker._loaded
        assert loaded is not None
        return Outcome(name, ALONE if loaded.decoder.runs_alone else BATCH, _line(loaded.decoder.why_alone))


def compare(worker: ModelWorker, plain: Any) -> None:
    """Directions by both extractors, and the answers of three cells in one batch, against ``plain``."""
    loaded = worker._loaded
    assert loaded is not None
    blocks = [plain.get_submodule(f"{loaded.decoder.blocks_path}.{layer}") for layer in range(loaded.decoder.n_layers)]
    prompts = tuple(Prompt(f"P{number}", text) for number, text in enumerate(TEXTS))
    tokens = {prompt.id: loaded.renderer.render(prompt).token_ids for prompt in prompts}
    states = {prompt.id: _states(plain, blocks, tokens[prompt.id]) for prompt in prompts}
    expected = (states["P0"] + states["P2"] - states["P1"] - states["P3"]) / 2
    for extractor in ("hooks", "nnsight"):
        found = worker.extract(ExtractionJob("x", prompts[0::2], prompts[1::2], "dim", {}, extractor))
        for direction, vector in zip(found.directions, expected, strict=True):
            off = np.linalg.norm(direction.vector * direction.raw_norm - vector) / np.linalg.norm(vector)
            if not off <= EXACT:
                raise DiffersError(f"the direction of layer {direction.layer} by {extractor} is off by {off:.1g}")
    steerings = [None, *_steerings(loaded.decoder.n_layers, loaded.d_model, float(np.linalg.norm(states["P0"][0])))]
    jobs = [GenerationJob(str(number), prompts, Decoding(NEW_TOKENS), one) for number, one in enumerate(steerings)]
    for result in list(worker.generate(jobs)):
        assert not isinstance(result, Underway), "nobody asked for it"
        if not isinstance(result, CellResult):
            raise DiffersError(f"cell {result.item_id} failed: {result.message}")
        steering = steerings[int(result.cell_id)]
        for answer in result.responses:
            ids = tokens[answer.prompt_id]
            wanted = generate_alone(plain, blocks, ids, steering, NEW_TOKENS)
            difference = first_difference(plain, blocks, ids, steering, answer.token_ids, wanted)
            if difference is not None and difference.gap >= TIE:
                raise DiffersError(f"cell {result.cell_id}, {answer.prompt_id}: {answer.token_ids}, plainly {wanted}")


def _steerings(n_layers: int, d_model: int, norm: float) -> list[Steering]:
    rng = np.random.default_rng(0)
    unit = rng.standard_normal(d_model).astype(np.float32)
    unit /= np.linalg.norm(unit)
    spans = [range(1, n_layers), range(n_layers - 1, n_layers)]
    return [Steering(tuple(span), np.repeat(unit[None], len(span), axis=0), 2.0 * max(norm, 1e-3)) for span in spans]


@torch.no_grad()
def _states(plain: Any, blocks: list[Any], token_ids: tuple[int, ...]) -> np.ndarray:
    """Outputs ``[L, d]`` of the blocks at the last token of a prompt alone."""
    read: dict[int, np.ndarray] = {}

    def hook_of(layer: int) -> Any:
        def hook(_module: object, _args: object, output: Any) -> None:
            read[layer] = (output[0] if isinstance(output, tuple) else output)[0, -1].float().numpy()

        return hook

    handles = [block.register_forward_hook(hook_of(layer)) for layer, block in enumerate(blocks)]
    try:
        plain(input_ids=torch.tensor([token_ids]))
    finally:
        for handle in handles:
            handle.remove()
    return np.stack([read[layer] for layer in range(len(blocks))])


def page(outcomes: list[Outcome], version: str) -> str:
    """``docs/models.md``."""
    groups = {way: [one for one in outcomes if one.way == way] for way in WAYS}
    parts = [
        "# Models",
        "Written by `python -m benchmarks.architectures --write`; do not edit. A tiny random float32 model of every decoder that "
        f"transformers {version} lists, loaded on a CPU and compared with plain transformers: directions by both extractors, and "
        "the greedy answers of an unsteered and two steered cells to prompts of different lengths.",
        "No list of families decides how a model runs. Every model, whatever its size, is tried when it is loaded: a few short "
        "rows, steered and not, go through the engine and are compared with the plain model, each row alone and without a cache. "
        "Where a batch is right, rows of many cells share it; where only the model's own `generate` is, rows run one by one "
        "(slower, as true); where neither is, the model is refused at load with what was measured. The result stands in every "
        "cell's provenance (`checked`, `attention`). What a few short rows cannot show: a window or a length-dependent rule far "
        "beyond their length.",
        f"## Equal, rows of all cells in one batch ({len(groups[BATCH])})",
        ", ".join(f"`{one.name}`" for one in groups[BATCH]),
        _table(f"Equal, row by row ({len(groups[ALONE])})", groups[ALONE]),
        _table(f"Refused at load ({len(groups[REFUSED])})", groups[REFUSED]),
        _table(f"Not tried: no tiny model of it could be built here ({len(groups[UNBUILT])})", groups[UNBUILT]),
    ]
    return "\n\n".join(parts) + "\n"


def _table(title: str, outcomes: list[Outcome]) -> str:
    rows = [f"| `{one.name}` | {one.reason.replace('|', '/')} |" for one in outcomes]
    return "\n".join([f"## {title}", "", "| Architecture | Why |", "|---|---|", *rows])


def _line(text: str, longest: int = 240) -> str:
    """``text`` on one line, cut."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def stored() -> list[Outcome]:
    """The outcomes that the page is made of."""
    return [Outcome(**one) for one in json.loads(STORED.read_text())["outcomes"]]


def main() -> None:
    """Try, print, and with ``--write`` store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    known = {one.name: one for one in stored()} if STORED.exists() else {}
    for name in chosen.names or names():
        known[name] = tried(name)
        print(f"{name}: {known[name].way} {known[name].reason}", flush=True)
    if chosen.write:
        outcomes = [known[name] for name in sorted(known)]
        text = {"transformers": transformers.__version__, "outcomes": [asdict(one) for one in outcomes]}
        STORED.write_text(json.dumps(text, indent=1) + "\n")
        PAGE.write_text(page(outcomes, transformers.__version__))


if __name__ == "__main__":
    main()
