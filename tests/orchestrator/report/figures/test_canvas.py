"""Panels repeat byte for byte, hold what they are told to show, and whatever a name says is text in them."""

from __future__ import annotations

import csv
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from io import StringIO
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes

from orchestrator.report.figures import damage, depths, doses, heat_maps
from orchestrator.report.figures.canvas import for_page
from orchestrator.report.figures.chart import Chart, csv_of
from orchestrator.report.figures.dots import DotLook
from orchestrator.report.figures.flips import LOOK
from orchestrator.report.figures.heat import ROOM
from orchestrator.report.figures.lines import MANY
from tests.orchestrator.report.figures.found import found_of, swept
from tests.orchestrator.report.made_up import rows_of
from tests.orchestrator.samples import Counts, grid

EVIL = '</title></svg><script>alert(1)</script><img src=x onerror=x> $\\frac{x$ \x00 \x1b[31m \u202e & "q" --> ' + "long " * 30


def all_charts(name: str = "smollm2") -> list[Chart]:
    rows = [replace(row, kl=0.3 * number) for number, row in enumerate(swept(name))]
    found = found_of(rows)
    charts = [*heat_maps.charts(found), *doses.charts(found), *depths.charts(found), *damage.charts(found)]
    dots = [{"name": name, "group": group, "value": 0.5, "low": 0.4, "high": 0.7} for group in ("a", name)]
    return [*charts, Chart(name, dots, DotLook("name", "group", "rate"))]


def svg_texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("}text")]


def titles(svg: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("}title")]


def test_the_same_rows_give_the_same_bytes_in_every_format() -> None:
    for one, again in list(zip(all_charts(), all_charts(), strict=True))[2:]:
        assert one.svg("a") == again.svg("a"), one.title
    (one, *_), (again, *_) = all_charts(), all_charts()
    printed = one.files("a")
    assert printed == again.files("a")
    assert (printed["svg"].decode(), printed["pdf"][:5], printed["png"][:4]) == (one.svg("a"), b"%PDF-", b"\x89PNG")
    assert b"CreationDate" not in printed["pdf"]
    other = replace(one, rows=[{**row, "value": 0.35} for row in one.rows])
    assert other.svg("a") != one.svg("a")


def test_numbers_are_written_and_told_to_whoever_points_there() -> None:
    rows = swept()
    success, *_ = heat_maps.charts(found_of([replace(row, in_sample=row.layer == 15 or None) for row in rows]))
    svg = success.svg("a")
    texts = svg_texts(svg)
    assert {"10", "40†", "90†", "30", "L15+ (50 %)", "multiplier"} <= set(texts)
    assert "L15+ (50 %) · multiplier 8\n90 % [59.6, 98.2] 9/10 in-sample" in titles(svg)
    assert len(titles(svg)) == 9
    profile = next(iter(depths.charts(found_of(rows)))).svg("a")
    assert "x 8\nsteered depth (%) 50\n90 % [59.6, 98.2] 9/10" in titles(profile)


def test_a_hostile_name_is_text_and_no_formula() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for chart in all_charts(EVIL):
            svg = chart.svg("a")
            for text in (svg, for_page(svg)):
                tags = {node.tag.rpartition("}")[2] for node in ElementTree.fromstring(text).iter()}
                assert not tags & {"script", "img", "foreignObject", "a"}, chart.title
                assert not any(character in text for character in "\x00\x1b\u202e")
            assert any("<script>alert(1)" in text for text in svg_texts(svg)), chart.title


def test_ids_of_panels_in_one_page_differ_and_colours_follow_the_page() -> None:
    chart = all_charts()[2]
    ids = [{node.get("id") for node in ElementTree.fromstring(chart.svg(name)).iter()} - {None} for name in ("a", "b")]
    assert ids[0]
    assert not ids[0] & ids[1]
    shown = for_page(chart.svg("a"))
    assert "var(--ink)" in shown
    assert "#1a1c20" not in shown


@pytest.mark.parametrize("count", [9, 1000])
def test_of_columns_that_are_narrower_than_their_names_only_some_are_named(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[list[str]] = []
    set_xticks = Axes.set_xticks

    def noted(self: Axes, ticks: Any, labels: Sequence[str] = (), **more: Any) -> Any:
        named.append(list(labels))
        return set_xticks(self, ticks, labels, **more)

    monkeypatch.setattr(Axes, "set_xticks", noted)
    rows = rows_of(cells=grid(layers=(12,), multipliers=[float(n) for n in range(1, count + 1)]))
    success, *_ = heat_maps.charts(found_of(rows))
    svg = success.svg("a")
    (names,) = named
    (step,) = {int(later) - int(one) for one, later in itertools.pairwise(names)}
    assert (step == 1) == (count == 9)
    assert len(names) <= 60
    assert ("<image" in svg) == (count > ROOM)
    assert ("%" in svg_texts(svg)) == (count > ROOM), "where no number is written, a scale says what colours mean"
    assert len(titles(svg)) == (count if count <= ROOM else 0)


def test_the_legend_of_a_narrow_map_is_not_cut_off() -> None:
    rows = [
        {"prompt_id": "T1", "cell": cell, "label": "normal", "outcome": "other", "value": 3.0}
        for cell in ("unsteered", "L18+ x 8")
    ]
    canvas = LOOK.draw("outcomes", rows)
    canvas.figure.canvas.draw()
    legend = canvas.axes.get_legend().get_window_extent()
    assert [text.get_text() for text in canvas.axes.get_legend().get_texts()] == ["success", "garbled", "no answer", "other"]
    assert 0 <= legend.x0 < legend.x1 <= canvas.figure.get_figwidth() * canvas.figure.dpi


def test_of_many_lines_the_highest_are_drawn_and_all_are_in_the_data() -> None:
    layers = tuple(range(5, 5 + MANY + 3))
    counts: Counts = {(layer, 8.0): (layer % 10, 0) for layer in layers}
    first, *_ = doses.charts(found_of(rows_of(counts, grid(layers, (2.0, 8.0, 20.0)))))
    assert len({row["where"] for row in first.rows}) == MANY + 3
    shown = {text.partition("\n")[0] for text in titles(first.svg("a"))}
    assert len(shown) == MANY
    assert {f"L{layer}+" for layer in (9, 8, 7)} <= {name.partition(" ")[0] for name in shown}


def test_csv_gives_the_rows_back() -> None:
    rows = all_charts(EVIL)[0].rows
    read = list(csv.DictReader(StringIO(csv_of(rows))))
    assert [float(row["value"]) for row in read] == [row["value"] for row in rows]
    assert [row["model"] for row in read] == [row["model"] for row in rows]
    assert unescape("&lt;script") in read[0]["model"]
