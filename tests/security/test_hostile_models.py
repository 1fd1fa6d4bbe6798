"""A model whose config was made to drive the terminal of whoever loads it, through the libraries that load it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.tiny_sweep import TinySweep

ROOT = Path(__file__).parents[2]
PWNED = "\x1b]0;pwned\x07\x1b[31m\u202e\x9b2Jllama"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"model_type": PWNED}),
        ("config.json", {"architectures": [PWNED]}),
        ("config.json", {"hidden_act": PWNED}),
        ("generation_config.json", {"cache_implementation": PWNED}),
        ("tokenizer_config.json", {"tokenizer_class": PWNED}),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else None,
)
def test_nothing_of_a_models_files_drives_the_terminal(file: str, changes: dict[str, object], tmp_path: Path) -> None:
    sweep = TinySweep(tmp_path).write(layers=[1])
    path = sweep.model() / file
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **changes}))
    told = subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", str(tmp_path / "sweep.yaml")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    said = (told.stdout + told.stderr).decode()
    assert told.returncode in (0, 1, 2), said
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(said)
