"""Why a process cannot use the GPUs that a model asks for, in words. Imports no torch, so that the driver may ask before anything
is loaded."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import sys
from pathlib import Path

DRIVER_LIBRARY = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}
"""CUDA's own part of the NVIDIA driver."""
DRIVER_FILE = Path("/proc/driver/nvidia/version")
ADVICE = "install the torch build of the driver's CUDA (pytorch.org/get-started), or a newer driver; or ask for no GPU (gpus: 0)"


def why_no_gpu() -> str:
    """What keeps torch from using a GPU here, as far as files and the driver's own version tell; empty where nothing does."""
    values = torch_build()
    if values.get("hip"):
        return ""  # for AMD: nothing is known of its driver here
    built = values.get("cuda", "")
    torch = f"torch {values.get('__version__', '(none)')} is built {f'for CUDA {built}' if built else 'without CUDA'}"
    known = driver_cuda()
    driver = f"the NVIDIA driver here knows CUDA {known}" if known else "no NVIDIA driver was found here"
    told = f"{torch}, {driver}"
    if not built or not known or int(known.partition(".")[0]) < int(built.partition(".")[0]):
        return f"{told}; {ADVICE}"
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return f"{told}, and CUDA_VISIBLE_DEVICES hides every GPU; unset it"
    return ""


def is_of(total_bytes: int, gpu_memory: float) -> bool:
    """Whether a GPU with so much memory is sold as one of ``gpu_memory`` GB: up to a twentieth is the card's own."""
    return total_bytes >= 0.95 * gpu_memory * 1e9


def torch_build() -> dict[str, str]:
    """What torch's own file says of its build: ``__version__``, and ``cuda`` or ``hip`` (ROCm) with its version."""
    found = importlib.util.find_spec("torch")
    text = "" if found is None or found.origin is None else Path(found.origin).with_name("version.py").read_text()
    return dict(re.findall(r"^(\w+)[^=\n]*= '([^']*)'", text, re.MULTILINE))


def driver_version() -> str:
    """The NVIDIA driver's own version, where the system tells it (Linux); else empty."""
    text = DRIVER_FILE.read_text() if DRIVER_FILE.exists() else ""
    found = re.search(r"Kernel Module (?:for \S+)? *([\d.]+)", text)
    return found[1] if found else ""


def driver_cuda() -> str:
    """The newest version of CUDA that the NVIDIA driver of this machine knows; empty where there is no driver."""
    version = ctypes.c_int(0)
    try:
        library = ctypes.CDLL(DRIVER_LIBRARY.get(sys.platform, ""))
        failed = library.cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return ""
    return "" if failed or not version.value else f"{version.value // 1000}.{version.value % 1000 // 10}"
