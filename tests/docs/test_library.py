"""The page on the library and the notebook run as they stand, on the embedded model, and show what they say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
COMPANION = {"1. ": 12, "2. ": 18, "3. ": 12, "4. ": 7}
"""Lines of code of the walkthroughs in the paper's companion."""


def blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)


def ran(code: list[str], where: str) -> dict[str, Any]:
    session: dict[str, Any] = {"__name__": "library"}
    for number, block in enumerate(code, start=1):
        exec(compile(block, f"{where}, block {number}", "exec"), session)
    return session


@pytest.mark.embedded
def test_the_page_runs_and_shows_the_phenomenon(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    session = ran(blocks(PAGE), "docs/library.md")
    told = capsys.readouterr().out
    rates = dict(re.findall(r"^(unsteered|dim|random) Evaluation\((.*)\) fired", told, flags=re.M))
    assert "refusal" not in rates["unsteered"]
    assert re.search(r"coherent_refusal [56]/6", rates["dim"])
    assert not re.search(r"coherent_refusal [3-6]", rates["random"]), "the control steers as well as the direction"
    assert session["found"].rate() >= 0.7
    assert 0.4 < session["own"].cosine(session["direction"]) < 1
    assert session["cosmic"].selected_layer is not None
    assert "DIM-COSMIC cosine similarity: 0." in told


def test_a_walkthrough_is_shorter_than_the_companion_s() -> None:
    for section, most in COMPANION.items():
        first = blocks(PAGE.split(f"## {section}")[1].split("\n## ")[0])[0]
        assert len([line for line in first.splitlines() if line.strip()]) < most, section


@pytest.mark.slow
@pytest.mark.embedded
def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    notebook = json.loads((ROOT / "docs" / "notebooks" / "tour.ipynb").read_text(encoding="utf-8"))
    with mpl.rc_context({"backend": "agg"}):
        session = ran(["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"], "tour.ipynb")
        assert len(session["plt"].get_fignums()) == 2
        session["plt"].close("all")
    rates = {row["cell"]: row["refusal"] for row in session["rates"].to_dicts()}
    assert rates["unsteered"] == 0
    assert rates["layer 15 x8"] >= 2 / 3
    assert "unsteered [" in capsys.readouterr().out
    assert not any(cell.get("outputs") for cell in notebook["cells"]), "a notebook is kept without what it printed"
