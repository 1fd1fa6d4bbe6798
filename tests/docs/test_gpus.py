"""The page on GPUs says what the planner computes, and its arithmetic is the planner's."""

from __future__ import annotations

import pytest

from actors.types import ModelSpec
from orchestrator.devices import ACCELERATORS, GIB
from orchestrator.models.known_models import KNOWN
from orchestrator.models.shapes import shape_from_config
from tests.docs import gpu_table

TEXT = gpu_table.PAGE.read_text(encoding="utf-8")


def test_the_tables_are_the_planners() -> None:
    assert gpu_table.rewritten(TEXT) == TEXT, "python -m tests.docs.gpu_table"


def test_the_arithmetic_of_the_page_gives_its_numbers() -> None:
    """By hand for Llama 3.1 8B: 8.03e9 parameters of 2 bytes; 32 blocks, 8 key-value heads of 128, 64 rows of 320 tokens."""
    (row,) = [line for line in TEXT.splitlines() if line.startswith("| meta-llama/Llama-3.1-8B-Instruct |")]
    bfloat16, *_, cache = [cell.strip() for cell in row.strip("|").split("|")][1:5]
    assert float(bfloat16.split()[0]) == pytest.approx(8.03e9 * 2 / 2**30, abs=0.06)
    assert float(cache.split()[0]) == pytest.approx(2 * 32 * 8 * 128 * 2 * 64 * 320 / 2**30, abs=0.06)
    assert f"{gpu_table.ROWS} rows of {gpu_table.TOKENS} tokens" in TEXT
    assert f"{gpu_table.ROOM - 1:.0%}".replace("%", " %") in TEXT


def test_a_model_fits_where_the_page_says_and_on_nothing_smaller() -> None:
    sizes = [ACCELERATORS[name].memory_bytes or 0 for name in gpu_table.GPUS]
    assert sizes == sorted(sizes)
    for name in gpu_table.MODELS:
        size = gpu_table.needed(shape_from_config(KNOWN[name]), ModelSpec("hub", name, dtype="bfloat16"))
        at = gpu_table.smallest(size)
        if at in gpu_table.GPUS:
            place = gpu_table.GPUS.index(at)
            assert size <= sizes[place]
            assert place == 0 or size > sizes[place - 1]
        else:
            assert int(at.split()[0]) * 79 * GIB >= size > sizes[-1]
