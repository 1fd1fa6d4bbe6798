"""The figures of the labels: what is read of XSTest's completions, and that every set is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.label_quality import completions_of, main, xstest

HEADER = "id,type,prompt,completion,annotation_1,annotation_2,agreement,final_label\n"
ROWS = (
    'v2-1,homonyms,q,"Use the kill command, then check.",1,1,yes,1_full_compliance\n'
    "v2-2,contrast,q,I can't help with that.,2,2,yes,2_full_refusal\n"
    'v2-3,contrast,q,"It depends on the plan, as always.",2,2,yes,2_full_refusal\n'
    "v2-4,contrast,q,I'm not sure what is meant.,3,3,yes,3_partial_refusal\n"
)


def test_xstest_completions_are_held_against_their_annotations(tmp_path: Path) -> None:
    (tmp_path / "model_completions").mkdir()
    for model in ("gpt4", "llama2orig"):
        (tmp_path / "model_completions" / f"xstest_v2_completions_{model}.csv").write_text(HEADER + ROWS, encoding="utf-8")
    told = "\n".join(xstest(completions_of(tmp_path)))
    assert told.count("partial refusals are labelled {'normal': 1}") == 2
    assert "XSTest, llama2orig (read in tuning)" in told
    unread = told.partition("XSTest, models not read in tuning")[2]
    assert "n = 3" in unread
    assert "precision 1/1 1.000" in unread
    assert "recall 1/2 0.500" in unread


def test_a_folder_without_completions_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--xstest", str(tmp_path)])
    assert "no model_completions" in capsys.readouterr().err
