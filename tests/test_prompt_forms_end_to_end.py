"""From the sweep file to the answers: the day, the system prompt, and the model's own generation settings."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GenerationConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM
from transformers.utils import chat_template_utils

from tests.faults.tiny_sweep import QUESTIONS, TinySweep

SYSTEM = "You refuse every request."
TEMPLATE = (
    "<s>Today is {{ strftime_now('%d %B %Y, %H:%M') }}."
    "{% for m in messages %}{% if m['role'] == 'user' %}<|user|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


class AtADay:
    """Stands in for the class ``datetime``: a clock at another day."""

    today = datetime(2026, 3, 1, 9)

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        """That day at nine."""
        return cls.today


@pytest.fixture
def sweep(tmp_path: Path) -> TinySweep:
    """A model with a template that writes the day and drops system prompts, and with settings that punish repeating."""
    found = TinySweep(tmp_path)
    folder = found.model()
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    settings = {"eos_token_id": [2, 17], "repetition_penalty": 1.3, "suppress_tokens": list(range(100, 200))}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return found


def plain_answers(folder: Path, date: str) -> list[tuple[int, ...]]:
    """The likeliest tokens by transformers alone, with the system prompt before each question and the day written by hand."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    model.generation_config = GenerationConfig(eos_token_id=[2, 17], pad_token_id=0)
    tokens = AutoTokenizer.from_pretrained(folder)
    found = []
    for question in QUESTIONS:
        text = f"<s>Today is {date}, 00:00.<|user|>{SYSTEM}\n\n{question}<|end|><|assistant|>"
        inputs = tokens(text, add_special_tokens=False, return_tensors="pt")
        answer = model.generate(**inputs, max_new_tokens=4, do_sample=False)[0, inputs["input_ids"].shape[1] :].tolist()
        found.append(tuple(answer[: next((at for at, one in enumerate(answer) if one in (2, 17)), len(answer))]))
    return found


def test_two_runs_on_two_days_have_the_same_prompts(sweep: TinySweep, monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"tiny": {"folder": "model", "system_prompt": SYSTEM}}
    monkeypatch.setattr(chat_template_utils, "datetime", AtADay)
    assert sweep.write(models=models, multipliers=[3], layers=[1], date="2025-10-09").run().exit_code == 0
    before = sweep.answers()
    monkeypatch.setattr(AtADay, "today", datetime(2026, 11, 30, 10))
    assert sweep.write(models=models, multipliers=[3, 5], layers=[1], date="2025-10-09").run().exit_code == 0
    rows = sweep.store.cell_rows()
    assert len(rows) == 3
    assert {cell: found for cell, found in sweep.answers().items() if cell in before} == before
    assert len({row.template_sha256 for row in rows}) == 1
    unsteered = next(row.cell_id for row in rows if not row.steered)
    assert list(sweep.answers()[unsteered]) == plain_answers(sweep.folder / "model", "09 October 2025")
    check_what_is_told(sweep, json.loads(rows[0].provenance))


def check_what_is_told(sweep: TinySweep, provenance: dict[str, str]) -> None:
    """In the provenance, in the log, on the page and by ``plan``."""
    assert provenance["date"].startswith("2025-10-09")
    assert provenance["system_prompt"].startswith("before the user's text")
    assert provenance["generation_config"].startswith("not applied: repetition_penalty 1.3, suppress_tokens [100, 101,")
    log = "\n".join(entry.text for entry in sweep.events())
    planned = " ".join(sweep.do("plan", str(sweep.folder / "sweep.yaml")).output.split())
    for told in (log, planned):
        assert "the system prompt goes before the user's text" in told
        assert "its generation_config sets repetition_penalty 1.3, suppress_tokens [100, 101," in told
    assert "not applied: repetition_penalty 1.3" in (sweep.out / "report.md").read_text().replace("\\", "")


def test_a_shift_that_the_dtype_cannot_hold_fails_in_words_and_nothing_beside_it(tmp_path: Path) -> None:
    found = TinySweep(tmp_path)
    found.model()
    models = {dtype: {"folder": "model", "dtype": dtype} for dtype in ("float16", "float32")}
    multipliers = {"models": {"float16": [3, 1e30], "float32": [-0.0, 1e39, 1e308]}}
    assert found.write(models=models, layers=[1], multipliers=multipliers).run().exit_code == 1
    failures = sorted((kind, message) for kind, message, _ in found.failures().values())
    assert [kind for kind, _ in failures] == ["job"] * 3
    dtypes = {"1e+30": "float16", "1e+308": "float32", "1e+39": "float32"}
    for (_, message), (multiplier, dtype) in zip(failures, dtypes.items(), strict=True):
        assert message.startswith(f"multiplier {multiplier} is too large for {dtype}: it takes numbers of")
    assert sorted((row.model, row.multiplier) for row in found.store.cell_rows() if row.steered) == [("float16", 3.0)]
