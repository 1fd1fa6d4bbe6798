"""One GPU, one command, under ten minutes: is the engine right on CUDA, are its claims true there, and how fast is it.

Needs torch, transformers, numpy and psutil alone, so that it runs on a bare machine from a checkout:
``python -m benchmarks.gpu_check --json found.json``; ``--device cpu --quick`` tries the checks themselves, without a GPU.
Exit code 1 when a check failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from benchmarks.gpu import families, numerics, speed
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.machine import Machine

CHECKS = {**numerics.CHECKS, **families.CHECKS, **speed.CHECKS, **numerics.LAST}


def environment(machine: Machine, found: Findings) -> None:
    """Versions, the card, and the settings that change a product's bits."""
    where = "CPU"
    if machine.cuda:
        free = torch.cuda.mem_get_info(machine.device)[0] / 2**30
        where = f"{torch.cuda.get_device_name(machine.device)}, {free:.1f} GiB free, CUDA {torch.version.cuda}"
    found.tell("machine", f"{where}, torch {torch.__version__}")
    matmul = torch.backends.cuda.matmul
    found.tell(
        "settings",
        tf32=str(matmul.allow_tf32),
        bf16_reduced=str(matmul.allow_bf16_reduced_precision_reduction),
        fp16_reduced=str(matmul.allow_fp16_reduced_precision_reduction),
        cublas_workspace=os.environ.get("CUBLAS_WORKSPACE_CONFIG", "unset"),
    )


def main(words: list[str] | None = None) -> int:
    """Run the checks; 0 when all held, 1 when one failed, 2 when there is no such device."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--quick", action="store_true", help="tiny models only: a minute on a CPU")
    parser.add_argument("--only", nargs="*", default=list(CHECKS), choices=list(CHECKS), metavar="CHECK", help=", ".join(CHECKS))
    parser.add_argument("--json", type=Path, help="write the findings there")
    asked = parser.parse_args(words)
    if asked.device == "cuda" and not torch.cuda.is_available():
        print(f"no CUDA device (torch {torch.__version__}, made for CUDA {torch.version.cuda}); --device cpu --quick needs none")
        return 2
    machine, found = Machine(torch.device("cuda", 0) if asked.device == "cuda" else torch.device("cpu"), asked.quick), Findings()
    environment(machine, found)
    for name in asked.only:
        found.section(name, partial(CHECKS[name], machine, found))
        found.section(f"{name}: giving memory back", machine.clear)
    print(found.summary())
    if asked.json is not None:
        found.write(asked.json)
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
