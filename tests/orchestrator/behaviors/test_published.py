"""Published sets by name: the pinned bytes or none, from the cache, the network or a copy. The texts here are our own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.behaviors import BehaviorFile, SetUse, read_behavior
from orchestrator.behaviors.sets import SETS
from orchestrator.errors import InputError
from tests.orchestrator.sweep_files import plan_of

WHAT = ("tea", "rain", "bread", "moss", "iron", "glass", "wool", "salt")
XSTEST = "id,prompt,type,label,focus,note\n" + "".join(
    f"{number},How do I {verb} the {what}?,{verb}s,{label},{what},\n"
    for number, (what, verb, label) in enumerate(
        [(what, *kind) for what in WHAT for kind in (("fold", "safe"), ("steal", "unsafe"))], start=1
    )
)
JBB = {
    "harmful": "Index,Goal,Target,Behavior,Category,Source\n"
    + "".join(f"{n},Break the {w},Sure,x,Harm,y\n" for n, w in enumerate(WHAT)),
    "benign": "Index,Goal,Target,Behavior,Category,Source\n"
    + "".join(f"{n},Mend the {w},Sure,x,Harm,y\n" for n, w in enumerate(WHAT)),
}


def pin(monkeypatch: pytest.MonkeyPatch, name: str, *contents: str) -> None:
    """The set ``name`` with the hashes of stand-ins."""
    pinned = zip(SETS[name].files, contents, strict=True)
    files = tuple(replace(one, sha256=hashlib.sha256(text.encode()).hexdigest()) for one, text in pinned)
    monkeypatch.setitem(SETS, name, replace(SETS[name], files=files))


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[bytes | str], list[str]]:
    """Makes the network give that; returns the addresses that were asked."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    asked: list[str] = []

    def give(content: bytes | str) -> list[str]:
        def fetch(url: str, hub: bool = True) -> bytes | str:
            asked.append(url)
            return content

        monkeypatch.setattr("orchestrator.behaviors.published.fetch", fetch)
        return asked

    return give


def test_a_set_is_fetched_once_and_asks_half_of_each_half(
    monkeypatch: pytest.MonkeyPatch, fetched: Callable[[bytes | str], list[str]]
) -> None:
    pin(monkeypatch, "xstest", XSTEST)
    asked = fetched(XSTEST.encode())
    found = read_behavior("b", SetUse("xstest"))
    assert read_behavior("b", SetUse("xstest")) == found
    assert asked == [
        f"https://raw.githubusercontent.com/paul-rottger/exaggerated-safety/{SETS['xstest'].files[0].revision}/xstest_prompts.csv"
    ]
    behavior = found.behavior
    assert sorted(one.split or "" for one in behavior.test) == ["benign"] * 4 + ["harmful"] * 4
    assert {one.category for one in behavior.test} == {"folds", "steals"}
    assert ["steal" in one.text for one in behavior.positive] == [True] * 4
    assert ["fold" in one.text for one in behavior.negative] == [True] * 4
    assert "CC-BY-4.0, by Röttger" in found.files[0].form


def test_other_bytes_are_refused_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, fetched: Callable[[bytes | str], list[str]], tmp_path: Path
) -> None:
    pin(monkeypatch, "xstest", XSTEST)
    fetched(XSTEST.encode() + b"\n")
    with pytest.raises(InputError, match="another file: its SHA-256 is"):
        read_behavior("b", SetUse("xstest"))
    assert not list(tmp_path.rglob("*.csv"))
    fetched(XSTEST.encode())
    read_behavior("b", SetUse("xstest"))
    (kept,) = tmp_path.rglob("*.csv")
    kept.write_text(XSTEST.replace("tea", "milk"), encoding="utf-8")
    with pytest.raises(InputError, match="another file: its SHA-256 is"):
        read_behavior("b", SetUse("xstest"))


def test_without_a_network_copies_do(
    monkeypatch: pytest.MonkeyPatch, fetched: Callable[[bytes | str], list[str]], tmp_path: Path
) -> None:
    pin(monkeypatch, "jbb", JBB["harmful"], JBB["benign"])
    fetched("the hub cannot be reached (no route)")
    with pytest.raises(
        InputError, match=r"cannot be had: the hub cannot be reached.*files: \[\.\.\.\], copies of harmful-behaviors\.csv"
    ):
        read_behavior("b", SetUse("jbb"))
    copies = tuple(tmp_path / f"{half}.csv" for half in JBB)
    for path, text in zip(copies, JBB.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    behavior = read_behavior("b", SetUse("jbb", copies), holdout=3).behavior
    assert len(behavior.test) == 6
    twins = [
        (one.id.partition("-")[2], two.id.partition("-")[2])
        for one, two in zip(behavior.positive, behavior.negative, strict=True)
    ]
    assert all(one == two for one, two in twins)  # contrast prompts of both halves are those of one number
    with pytest.raises(InputError, match="another file"):
        read_behavior("b", SetUse("jbb", copies[::-1]))
    with pytest.raises(InputError, match=r"1 files are named .*; allowed: a copy of each"):
        read_behavior("b", SetUse("jbb", copies[:1]))


def test_beside_a_file_a_set_is_what_is_asked(tmp_path: Path) -> None:
    pairs, copy = tmp_path / "contrast.jsonl", tmp_path / "beavers.csv"
    pairs.write_text(
        "".join(f'{{"id": "{role}", "role": "{role}", "text": "say {role}"}}\n' for role in ("positive", "negative", "test"))
    )
    copy.write_text("prompt,category\nHow is a dam broken?,dams\n")
    behavior = read_behavior("b", BehaviorFile(pairs), SetUse("beavertails", (copy,))).behavior
    assert [(one.id, one.split, one.category) for one in behavior.test] == [("harmful-1", "harmful", "dams")]
    with pytest.raises(InputError, match="no file of this set is pinned"):
        read_behavior("b", BehaviorFile(pairs), SetUse("beavertails"))
    with pytest.raises(InputError, match="another file"):
        read_behavior("b", BehaviorFile(pairs), SetUse("beavertails", (copy,), sha256="0" * 64))
    copy.write_text("question,category\nHow is a dam broken?,dams\n")
    with pytest.raises(InputError, match="line 2: there is no text in the column 'prompt'"):
        read_behavior("b", BehaviorFile(pairs), SetUse("beavertails", (copy,)))


def test_a_half_that_no_value_names_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = XSTEST.replace("unsafe", "odd")
    pin(monkeypatch, "xstest", text)
    copy = tmp_path / "x.csv"
    copy.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"neither half in 'label' .*; allowed: unsafe, safe"):
        read_behavior("b", SetUse("xstest", (copy,)))


def test_a_sweep_names_a_set(tmp_path: Path) -> None:
    (tmp_path / "beavers.csv").write_text("prompt,category\nHow is a dam broken?,dams\n", encoding="utf-8")
    copy = {"name": "beavertails", "files": ["beavers.csv"]}
    plan = plan_of(
        tmp_path, behaviors={"refusal": {"file": "refusal.jsonl", "limit": 1}, "beavers": {"file": "refusal.jsonl", "set": copy}}
    )
    assert {one.text for cell in plan.cells for one in cell.prompts if cell.labels.behavior == "beavers"} == {
        "How is a dam broken?"
    }
    assert len({cell.steering.direction.id for cell in plan.cells if cell.steering}) == 1  # one file's contrast prompts


def test_the_prompts_of_a_set_of_one_half_are_dealt(tmp_path: Path) -> None:
    rows = "".join(f"How is dam {number} broken?,dams\n" for number in range(10))
    (tmp_path / "beavers.csv").write_text(f"prompt,category\n{rows}", encoding="utf-8")
    entry = {"file": "refusal.jsonl", "set": {"name": "beavertails", "files": ["beavers.csv"]}, "splits": {"a": 0.4, "b": 0.6}}
    dealt = [{**entry, "split": split} for split in ("a", "b")]
    plan = plan_of(tmp_path, behaviors=dict(zip("ab", dealt, strict=True)))
    asked = {cell.labels.behavior: {one.text for one in cell.prompts} for cell in plan.cells}
    assert [len(found) for found in asked.values()] == [4, 6]
    assert len(set().union(*asked.values())) == 10


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"set": "xtest"}, r"sweep.yaml:\d+: behaviors.b.set: .*xtest.*did you mean 'xstest'"),
        ({"set": "beavertails"}, r"sweep.yaml:\d+: behaviors.b.set: no file of this set is pinned"),
        ({"set": {"name": "xstest", "files": ["none.csv"]}}, r"behaviors.b.set: .*none.csv cannot be read"),
        ({}, "no prompts are named; allowed: file"),
        ({"file": "refusal.jsonl", "set": "xstest", "holdout": 0.5}, "test prompts come from one place"),
    ],
)
def test_what_a_sweep_cannot_use_is_told(tmp_path: Path, entry: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        plan_of(tmp_path, behaviors={"b": entry})
