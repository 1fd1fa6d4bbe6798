"""The table of tools and architectures: alike ones share a row, and reasons that differ in names alone a number."""

from __future__ import annotations

from benchmarks.parity_families import BEGIN, END, EQUAL, PAGE, ROUNDED, Outcome, stored, table


def test_alike_architectures_share_a_row_and_alike_reasons_a_number() -> None:
    outcomes = [
        Outcome("llama", "a", EQUAL, EQUAL),
        Outcome("llama", "b", ROUNDED, "differs: layer 3: input of its block"),
        Outcome("qwen", "a", EQUAL, EQUAL),
        Outcome("qwen", "b", ROUNDED, "differs: layer 3: input of its block"),
        Outcome("mamba", "a", "cannot: KeyError: <class 'models.mamba.Mamba'>"),
        Outcome("mamba", "b", EQUAL),
        Outcome("rwkv", "a", "cannot: KeyError: <class 'models.rwkv.Rwkv'>"),
        Outcome("rwkv", "b", EQUAL),
        Outcome("bloom", "a", "cannot: TypeError: 'BloomBlock' object has 12 heads"),
        Outcome("bloom", "b", EQUAL),
        Outcome("mpt", "a", "cannot: TypeError: 'MptBlock' object has 4 heads"),
        Outcome("mpt", "b", EQUAL),
    ]
    lines = table(outcomes).splitlines()
    assert lines[0] == "| architectures | a | b |"
    assert "| `llama`, `qwen` (2) | = | ≈, batched (1) |" in lines
    assert "| `mamba`, `rwkv` (2) | – | = |" in lines
    assert "| `bloom`, `mpt` (2) | (2) | = |" in lines
    assert [line for line in lines if line.startswith(("1. ", "2. "))] == [
        "1. differs: layer 3: input of its block",
        "2. cannot: TypeError: '...' object has # heads",
    ]


def test_the_page_has_the_table_of_what_was_measured() -> None:
    shown = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert shown.strip() == table(stored()).strip()
