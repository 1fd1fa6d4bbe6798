"""Which variables of the driver's environment the processes of its workers may have: a list of what they need, and nothing else.

A worker runs models, and with ``trust_remote_code`` their code. What only the driver needs (keys of object storage and of
tracking, and whatever else a shell holds) stays with the driver.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""The secrets that a worker needs: for models that the hub gives to some only. Handed to the worker alone, as a value."""

NAMES = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "TMPDIR", "TMP", "TEMP", "PWD"),
        *("LANG", "LANGUAGE", "XDG_CACHE_HOME", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "LD_PRELOAD"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    )
)
"""Variables by name."""

PREFIXES = (
    *("LC_", "CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "HIP_", "ROCR_", "TRITON_", "BNB_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "MALLOC_", "GLIBC_"),
    *("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "TOKENIZERS_", "SAFETENSORS_", "ACCELERATE_", "TORCH", "PYTORCH_"),
    *("PYTHON", "RAY_", "GRPC_"),
)
"""Variables by how their names begin."""

_SECRET = re.compile(r"(^|_)(TOKENS?|KEYS?|APIKEY|SECRETS?|PASSWORDS?|PASSWD|PASS|CREDENTIALS?|AUTH)$", re.IGNORECASE)


def allowed(environment: Mapping[str, str], more: Iterable[str] = ()) -> dict[str, str]:
    """What of ``environment`` the processes of workers start with: what is listed above, save names that end like a secret's
    (``RAY_AUTH_TOKEN``), and the variables that the user names in ``more``."""
    named = frozenset(more)
    return {name: value for name, value in environment.items() if name in named or _is_allowed(name)}


def handed_over(environment: Mapping[str, str], more: Iterable[str] = ()) -> dict[str, str]:
    """What of ``environment`` a worker on any machine gets from the driver, where it has none of its own."""
    names = (*TOKENS, "HF_ENDPOINT", "HF_HUB_OFFLINE", "HTTPS_PROXY", "NO_PROXY", *more)
    return {name: environment[name] for name in names if name in environment}


def _is_allowed(name: str) -> bool:
    return (name in NAMES or name.startswith(PREFIXES)) and not _SECRET.search(name)
