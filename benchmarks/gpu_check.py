"""One GPU, one command, under ten minutes: is the engine right on CUDA, are its claims true there, and how fast is it.

Needs torch, transformers, numpy and psutil alone, so that it runs on a bare machine from a checkout:
``python -m benchmarks.gpu_check --json found.json``; ``--device cpu --quick`` tries the checks themselves, without a GPU.
A part that fails, hangs or kills its process ends none of the others. Exit code 1 when a check failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers.utils import logging as transformers_logging

from actors.device_record import full_precision
from actors.gpus import why_no_gpu
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.machine import Machine
from benchmarks.gpu.parts import chosen, parts, run_apart, run_here

SECONDS = 570
"""In all: a machine that is lent for ten minutes gives its table before it goes."""


def main(words: list[str] | None = None) -> int:
    """Run the checks; 0 when all held, 1 when one failed, 2 when there is no such device."""
    checks = list(dict.fromkeys(name.partition(":")[0] for name in parts(quick=False)))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--quick", action="store_true", help="tiny models only: a minute on a CPU")
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="CHECK", help=f"{', '.join(checks)}; or a part, as the table names it"
    )
    parser.add_argument("--json", type=Path, help="write the findings there")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for all of it; what has not run by then has failed")
    parser.add_argument("--here", action="store_true", help="all in this process, which a dead CUDA context ends")
    parser.add_argument("--journal", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if unknown := [name for name in asked.only if not chosen(asked.quick, [name])]:
        parser.error(f"no check {unknown[0]!r}; allowed: {', '.join(checks)}")
    if asked.device == "cuda" and not torch.cuda.is_available():
        why = why_no_gpu() or "torch finds no GPU; see what nvidia-smi says"
        print(f"no CUDA device: {why}; --device cpu --quick needs none")
        return 2
    full_precision()
    transformers_logging.disable_progress_bar()
    machine = Machine(torch.device("cuda", 0) if asked.device == "cuda" else torch.device("cpu"), asked.quick)
    names, found = chosen(asked.quick, asked.only), Findings()
    if asked.journal is not None:
        return 0 if run_here(machine, names, found, asked.journal) else 1
    if asked.here:
        run_here(machine, names, found)
    else:
        program = [sys.executable, "-m", "benchmarks.gpu_check", "--device", asked.device, *(["--quick"] if asked.quick else [])]
        run_apart(program, names, found, asked.seconds)
    print(found.summary())
    if asked.json is not None:
        found.write(asked.json)
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
