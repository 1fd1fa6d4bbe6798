"""The walkthrough runs as it stands, on the embedded model, and shows what its text says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.embedded
ROOT = Path(__file__).parents[2]


def test_the_walkthrough_runs_and_shows_the_phenomenon(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "walkthrough.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.M | re.S)
    assert len(blocks) >= 5
    session: dict[str, object] = {"__name__": "walkthrough"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"docs/walkthrough.md, block {number}", "exec"), session)
    told = capsys.readouterr().out
    assert "30 blocks of width 576" in told
    counts, by_method, cosines, nf4 = (session[name] for name in ("counts", "by_method", "cosines", "nf4"))
    assert isinstance(counts, dict)
    assert isinstance(by_method, dict)
    assert isinstance(cosines, dict)
    assert isinstance(nf4, dict)
    assert counts["unsteered"] == 0
    assert counts["x8"] >= 7
    assert by_method["dim"] == counts["x8"], "the same cell in another batch gave another answer"
    assert by_method["random"] <= 2 < by_method["dim"], "the control steers as well as the direction"
    assert abs(cosines["random"]) < 0.2 < cosines["pca"]
    assert nf4["nf4"] >= 1
    assert isinstance(session["cosine"], float)
    assert 0.4 < session["cosine"] < 1
