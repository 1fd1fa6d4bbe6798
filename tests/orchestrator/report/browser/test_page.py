"""The response browser in a real one: modes, hostile answers, keys, the address, labels out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.types import Prompt
from orchestrator.labelling.given import take_ratings
from orchestrator.report import write_report
from orchestrator.report.as_html import html_page
from orchestrator.report.blocks import Heading, Paragraph
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.results.folder import Folder
from orchestrator.results.ratings import read_ratings
from tests.chromium import Browser, chromium
from tests.orchestrator.samples import filled, grid, result_of

pytestmark = pytest.mark.browser

COUNTS = {None: (0, 0), (12, 2.0): (0, 0), (12, 8.0): (1, 9), (15, 2.0): (4, 0), (15, 8.0): (9, 1)}
HOSTILE = (
    "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'><svg onload='window.hacked = 1'>"
    "<style>* { display: none }</style> &lt;b&gt; ${window.hacked = 1} {{7*7}} '; window.hacked = 1; //\n"
    "\u202eesrever\u200b\x1b[31m\x00 \ud800 <!-- ]]> "
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests here."""
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def hostile(prompt: Prompt) -> str:
    """To the first prompt, and to no other, a megabyte of it."""
    return f"{prompt.id} {HOSTILE}{'long' * 250_000 if prompt.id == 'p0' else ''}"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five cells; the unsteered answers are hostile."""
    root, cells = tmp_path_factory.mktemp("out"), grid()
    store = filled(root, cells, COUNTS)
    (root / "responses" / f"{cells[0].id}.parquet").unlink()
    store.write_responses(cells[0], result_of(cells[0], hostile), attempt=1)
    store.compact()
    write_report(store)
    return root


def opened(browser: Browser, results: Path, fragment: str = "") -> None:
    """The page, once its answers are unpacked."""
    browser.console.clear()
    browser("Page.navigate", url="about:blank")
    browser("Page.navigate", url=f"file://{results}/report.html{fragment}")
    browser.until("document.getElementById('browser')?.dataset.ready === 'yes'")


def told(browser: Browser, name: str = "told") -> str:
    return str(browser.value(f"document.querySelector('[data-is={name}]').textContent"))


def choose(browser: Browser, name: str, value: str) -> None:
    """A value of a control."""
    place = f"document.querySelector('[data-is={name}]')"
    browser.value(f"({place}.value = {json.dumps(value)}, {place}.dispatchEvent(new Event('change', {{bubbles: true}})))")


def click(browser: Browser, row: int, column: int) -> None:
    """An answer of the matrix, counted from 0."""
    cells = f"document.querySelectorAll('[data-is=matrix] tbody tr')[{row}].querySelectorAll('[data-cell]')"
    browser.value(f"{cells}[{column}].click()")
    browser.until("!!document.querySelector('[data-is=answer] article')")


def shown(browser: Browser) -> list[Any]:
    """The texts on show, the unsteered first."""
    found = browser.value(
        "JSON.stringify([...document.querySelectorAll('[data-is=answer] article pre')].map((one) => one.textContent))"
    )
    texts: list[Any] = json.loads(found)
    return texts


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("all", "40 answers of 4 cells: 16 normal, 14 coherent refusal, 10 garbled"),
        ("changed", "24 answers of 3 cells: 14 coherent refusal, 10 garbled"),
        ("label:garbled", "10 answers of 2 cells: 10 garbled"),
        ("cut", "0 answers of 0 cells: none fits"),
        (
            "disagree",
            "24 answers of 3 cells: 14 coherent refusal, 10 garbled",
        ),  # by their own words: a refusal is no coherent refusal
    ],
)
def test_modes(browser: Browser, results: Path, mode: str, words: str) -> None:
    opened(browser, results)
    choose(browser, "mode", mode)
    assert told(browser) == words
    assert browser.console == []


def test_two_cells_two_scorers_and_an_axis(browser: Browser, results: Path) -> None:
    opened(browser, results)
    choose(browser, "mode", "differs")
    choose(browser, "a", "2")
    choose(browser, "b", "4")
    assert told(browser).startswith("16 answers of 2 cells")
    choose(browser, "mode", "disagree")
    choose(browser, "one", "1")
    choose(browser, "two", "2")
    assert told(browser).startswith("40 answers of 4 cells")  # no label of the one is one of the other
    choose(browser, "mode", "all")
    browser.value("document.querySelector('[data-axis=layer][value=\"12\"]').click()")
    assert told(browser) == "20 answers of 2 cells: 10 normal, 9 garbled, 1 coherent refusal"


def test_an_expression_over_the_answers(browser: Browser, results: Path) -> None:
    opened(browser, results)
    choose(browser, "re", "to p[12]\\.")
    browser.until("document.querySelector('[data-is=told]').textContent.startsWith('8 answers')")
    choose(browser, "re", "(")
    assert "nvalid regular expression" in told(browser, "problem")


def test_whatever_a_model_wrote_is_text(browser: Browser, results: Path) -> None:
    opened(browser, results)
    click(browser, 0, 1)
    unsteered, steered = shown(browser)
    assert unsteered.startswith("p0 </script><script>window.hacked = 1</script>")
    assert "\\u202eesrever\\u200b\\u001b[31m\\u0000" in unsteered
    assert not {"\u202e", "\u200b", "\x1b"} & set(unsteered)
    assert steered == "Answer to p0."
    why = "[...document.querySelectorAll('[data-is=answer] article .note')].map((one) => one.textContent).join('|')"
    assert "why: rule: made up|" in browser.value(why)
    assert len(unsteered) < 30_000
    browser.value("document.querySelector('[data-is=answer] article button').click()")
    assert len(shown(browser)[0]) > 1_000_000
    assert browser.value("window.hacked") is None
    assert browser.console == []


def test_the_keys_and_the_address(browser: Browser, results: Path) -> None:
    opened(browser, results)
    click(browser, 0, 1)
    for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
        browser("Input.dispatchKeyEvent", type="keyDown", key=key)
    browser.until("document.querySelector('[data-is=answer] h3').textContent === 'p2'")
    choose(browser, "sort", "flips")
    fragment = browser.value("location.hash")
    assert "sort=flips" in fragment
    opened(browser, results, fragment)
    browser.until("document.querySelector('[data-is=answer] h3')?.textContent === 'p2'")
    assert browser.value("document.querySelector('[data-is=sort]').value") == "flips"


@pytest.mark.parametrize(
    "fragment",
    ["mode=constructor", "mode=__proto__", "mode=disagree&one=99&two=999", "only.layer=99&page=7", "group=9&cell=x&re=("],
)
def test_an_address_that_makes_no_sense_shows_the_page(browser: Browser, results: Path, fragment: str) -> None:
    opened(browser, results, f"#answers?{fragment}")
    assert "answers of" in told(browser)
    choose(browser, "mode", "all")
    choose(browser, "re", "")
    browser.until("document.querySelector('[data-is=told]').textContent.startsWith('40 answers of 4 cells')")
    assert browser.console == []


def test_the_dose_reel(browser: Browser, results: Path) -> None:
    opened(browser, results)
    click(browser, 3, 4)
    browser.value("document.querySelector('[data-is=answer] details').open = true")
    browser.until("document.querySelectorAll('.reel pre').length === 2")
    heads = browser.value("[...document.querySelectorAll('.reel h4')].map((one) => one.textContent).join('|')")
    assert heads == "coherent refusal L15+ x 2 · parts from the unsteered answer at token 4|coherent refusal L15+ x 8 · " + (
        "parts from the unsteered answer at token 4"
    )


def test_labels_are_kept_and_go_out_as_ratings(browser: Browser, results: Path, tmp_path: Path) -> None:
    opened(browser, results)
    for row, label in enumerate(("garbled", "normal")):
        click(browser, row, 2)
        browser.value(f"document.querySelector('.rating [data-label={label}]').click()")
    browser.value("document.querySelector('.rating [aria-label=star]').click()")
    opened(browser, results)
    assert told(browser, "export") == "Export 2 labels"
    browser("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.value("document.querySelector('[data-is=export]').click()")
    for _ in range(200):
        if (tmp_path / "ratings.jsonl").exists():
            break
        browser.value("new Promise((done) => setTimeout(done, 20))")
    assert take_ratings(results, tmp_path / "ratings.jsonl", "anna") == (2, 0)
    said = list(read_ratings(Folder(results), "anna").values())
    assert [(one.label, one.comment) for one in said] == [("garbled", ""), ("normal", "★ ")]
    assert browser.console == []


@pytest.mark.parametrize(("media", "width"), [("screen", 1100), ("print", 700)])
def test_no_table_is_cut(browser: Browser, results: Path, media: str, width: int) -> None:
    """700 pixels are what A4 and Letter hold between Chromium's margins."""
    browser("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser("Emulation.setEmulatedMedia", media=media)
    try:
        opened(browser, results)
        assert cut(browser) == []
        browser.value("document.querySelector('.wide').append('x'.repeat(400))")
        assert len(cut(browser)) == 1
    finally:
        browser("Emulation.clearDeviceMetricsOverride")
        browser("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize(("media", "width"), [("screen", 1100), ("print", 700)])
def test_a_table_of_many_numbers_fits_and_breaks_none(browser: Browser, tmp_path: Path, media: str, width: int) -> None:
    """As wide as *Equal damage* becomes: fourteen columns, with long names, and intervals in five."""
    left = {
        "model": "smollm2-refusal",
        "behavior": "refuse/report",
        "arm": "refuse-curve-0.4: curve (surface true)",
        "method": "curve (surface true)",
        "where": "L22-29 (73 %) chosen",
    }
    right = {
        "KL wanted": "0.4",
        "mult.": "0.0416",
        "KL": "0.404 [0.311, 0.523]",
        "coherent refusal %": "48.6 [33.4, 64.1] 17/35",
        "garbled %": "2.9 [0.5, 14.5] 1/35",
        "no answer %": "5.7 [1.6, 18.6] 2/35",
        "points against the first": "+3.2 [-12.7, +19.1]",
        "p": "4.8e-7",
        "p (Holm)": "9.6e-07",
    }
    columns = tuple(ReportColumn(head, left=head in left) for head in {**left, **right})
    row = [*left.values(), *right.values()]
    table = ReportTable("", columns, (tuple(Value(text) for text in row),) * 3)
    (tmp_path / "report.html").write_text("".join(html_page([Heading(1, "s"), Paragraph("p 4.8e-7 " * 60), table])))
    browser("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser("Emulation.setEmulatedMedia", media=media)
    try:
        browser("Page.navigate", url=f"file://{tmp_path}/report.html")
        browser.until("document.querySelectorAll('.whole').length > 60")
        assert cut(browser) == []
        broken = "[...document.querySelectorAll('.whole')].filter((one) => one.getClientRects().length > 1).length"
        assert browser.value(broken) == 0
        browser.value("document.querySelectorAll('.whole').forEach((one) => one.style.whiteSpace = 'normal')")
        assert browser.value(broken) > 0, "the numbers of the text break where nothing keeps them"
    finally:
        browser("Emulation.clearDeviceMetricsOverride")
        browser("Emulation.setEmulatedMedia", media="")


def cut(browser: Browser) -> list[str]:
    """What stands above the tables that are wider than their place, of those that are not folded away."""
    found: list[str] = browser.value(
        "[...document.querySelectorAll('.wide')].filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1)"
        ".map((one) => one.previousElementSibling?.textContent ?? '')"
    )
    return found
