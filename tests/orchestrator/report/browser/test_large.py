"""The page of 10,000 cells with 300,000 answers in a browser: it opens, filters and says nothing on its console. What it takes is
printed, with the machine's load: seconds are no test's business. ``make browser`` runs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.page import CELLS, PROMPTS, TOLD, browsed, made
from benchmarks.tables import make_folder
from orchestrator.results.store import Store
from tests.chromium import chromium
from tests.orchestrator.report.browser.test_page import cut

FOLDER = "LARGE_RESULTS"
"""A variable with the folder to use again, so that it need not be made (a minute, 1.5 GB) each time."""

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_it_opens_and_filters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(os.environ.get(FOLDER) or tmp_path / "large")
    if not Store(folder).there():
        make_folder(folder, CELLS, PROMPTS)
    page = folder / "report.html"
    found = {} if page.is_file() else made(folder)
    with chromium(tmp_path / "profile") as browser:
        found |= browsed(browser, page)
        whole = str(browser.value(TOLD))
        assert int(whole.split()[0]) > 100, "the answers of one model, of several, at one multiplier"
        browser.value("document.querySelectorAll('[data-is=matrix] tbody tr')[0].querySelectorAll('[data-cell]')[1].click()")
        browser.until("!!document.querySelector('[data-is=answer] article')")
        browser("Emulation.setDeviceMetricsOverride", width=700, height=900, deviceScaleFactor=1, mobile=False)
        browser("Emulation.setEmulatedMedia", media="print")
        assert cut(browser) == []
        assert browser.console == []
    took = ", ".join(f"{name} {one.clock:.2f} s ({one.processor:.2f} s of a processor)" for name, one in found.items())
    with capsys.disabled():
        print(f"\n{whole}; {page.stat().st_size / 1e6:.0f} MB; {took}; load {os.getloadavg()[0]:.1f}")
