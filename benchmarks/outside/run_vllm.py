"""(d) vLLM, unsteered: the same rows in one call, as fast as its CPU build goes.

Runs in its own environment; imports nothing of this repository. Argument: the folder that ``process.write_job`` wrote.
Prefix caching is on with blocks of 32 tokens, the smallest there are (the default of 128 would never hit on prompts this short).
It is emptied before each run, as every contender starts each run with nothing computed.
"""

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")

import torch
from vllm import LLM, SamplingParams  # type: ignore[import-not-found]


def load(job: dict[str, Any]) -> Any:
    """The model in float32; eager, as the compiled mode does not start on this CPU build."""
    longest = max(len(prompt["token_ids"]) for prompt in job["prompts"]) + job["new_tokens"]
    return LLM(
        model=job["model"],
        dtype="float32",
        enforce_eager=True,
        max_model_len=-(-longest // 64) * 64,
        max_num_seqs=256,
        skip_tokenizer_init=True,
        enable_prefix_caching=True,
        block_size=32,
    )


def run(engine: Any, job: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """All prompts once per cell, in one call."""
    rows = [(name, prompt) for name in names for prompt in job["prompts"]]
    sampling = SamplingParams(temperature=0.0, max_tokens=job["new_tokens"], ignore_eos=True, detokenize=False)
    engine.reset_prefix_cache()
    started = time.perf_counter()
    outputs = engine.generate([{"prompt_token_ids": prompt["token_ids"]} for _, prompt in rows], sampling, use_tqdm=False)
    seconds = time.perf_counter() - started
    made = [list(output.outputs[0].token_ids) for output in outputs]
    return {"seconds": seconds, "tokens": [[name, prompt["id"], ids] for (name, prompt), ids in zip(rows, made, strict=True)]}


def main() -> None:
    """Load, say what is loaded, then one run per line."""
    job = json.loads((Path(sys.argv[1]) / "job.json").read_text(encoding="utf-8"))
    engine = load(job)
    about = {"vllm-cpu": version("vllm-cpu"), "torch": torch.__version__, "threads": torch.get_num_threads()}
    print("@@" + json.dumps(about), flush=True)
    for line in sys.stdin:
        print("@@" + json.dumps(run(engine, job, json.loads(line)["cells"])), flush=True)


if __name__ == "__main__":
    main()
