"""The label page in a browser: keys, undo, hostile texts, narrow and dark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.labelling.sample import Draw
from orchestrator.results.folder import Folder
from orchestrator.results.ratings import read_ratings
from tests.chromium import Browser, chromium
from tests.orchestrator.labelling.made_up import serving
from tests.orchestrator.samples import cell, filled, result_of

pytestmark = pytest.mark.browser

HOSTILE = (
    "</pre></main><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    "<svg onload='window.hacked = 1'><style>* { display: none }</style><a href='javascript:window.hacked = 1'>x</a>\n"
    "&lt;b&gt; ${window.hacked = 1} {{7*7}} \u202eesrever\x1b[31m " + "long" * 200
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests here."""
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A sweep of one cell, all of whose responses are hostile."""
    one = cell(None)
    store = filled(tmp_path / "out", [one])
    (tmp_path / "out" / "responses" / f"{one.id}.parquet").unlink()
    store.write_responses(one, result_of(one, lambda prompt: f"{prompt.id} {HOSTILE}"), attempt=1)
    store.compact()
    return tmp_path / "out"


def opened(browser: Browser, url: str) -> None:
    """The page, once it shows a response."""
    browser.console.clear()
    browser("Page.navigate", url=url)
    browser.until("document.getElementById('count')?.textContent.includes(' of ')")


def text(browser: Browser, name: str) -> str:
    """What an element shows."""
    return str(browser.value(f"document.getElementById({json.dumps(name)}).textContent"))


def test_keys_label_and_undo(browser: Browser, place: Path) -> None:
    with serving(place, "keys", Draw(4)) as client:
        opened(browser, client.url)
        assert text(browser, "count") == "0 of 4"
        for number, key in enumerate("1324", start=1):
            browser.press(key)
            browser.until(f"document.getElementById('count').textContent === '{number} of 4'")
        assert text(browser, "told").startswith("All are labelled and saved")
        assert not browser.value("document.getElementById('work').checkVisibility()")
        browser.press("u")
        browser.until("document.getElementById('count').textContent === '3 of 4'")
        browser.value("document.getElementById('comment').focus()")
        for key in "1u":  # into the comment, not to the keys
            browser.press(key)
        assert browser.value("document.getElementById('comment').value") == "1u"
        assert text(browser, "count") == "3 of 4"
        browser.value("document.querySelectorAll('#labels button')[1].click()")
        browser.until("document.getElementById('count').textContent === '4 of 4'")
    said = list(read_ratings(Folder(place), "keys").values())
    assert [one.label for one in said] == ["coherent_refusal", "garbled", "normal", "normal"]
    assert said[-1].comment == "1u"


def test_whatever_a_model_wrote_is_text(browser: Browser, place: Path) -> None:
    with serving(place, "hostile", Draw(4)) as client:
        opened(browser, client.url)
        shown = text(browser, "answer")
        assert shown[3:] == HOSTILE.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b")
        assert browser.value("typeof window.hacked") == "undefined"
        assert browser.value("document.querySelectorAll('img, svg, a, iframe').length") == 0
        assert browser.value("document.scripts.length") == 1
        assert browser.console == []
        browser.value("document.body.insertAdjacentHTML('beforeend', \"<img src='/x' onerror='window.hacked = 1'>\")")
        script = "Object.assign(document.createElement('script'), {textContent: 'window.hacked = 1'})"
        browser.value(f"document.body.append({script})")
        assert browser.value("new Promise((over) => setTimeout(() => over(typeof window.hacked), 200))") == "undefined"
        assert "Content Security Policy" in " ".join(browser.console)
        outside = f"fetch('http://localhost:{client.port}/').then(() => 'sent', () => 'refused')"
        assert browser.value(outside) == "refused"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [420, 1100])
def test_narrow_wide_light_and_dark(browser: Browser, place: Path, tmp_path: Path, scheme: str, width: int) -> None:
    browser("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
    browser("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    with serving(place, "looks", Draw(4)) as client:
        opened(browser, client.url)
        assert browser.value("document.documentElement.scrollWidth") <= width
        background = browser.value("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")
        assert browser.value("[...document.querySelectorAll('button')].every((one) => one.offsetHeight >= 44)")
        browser.picture(tmp_path / f"{scheme}-{width}.png")
        assert (tmp_path / f"{scheme}-{width}.png").stat().st_size > 5_000
