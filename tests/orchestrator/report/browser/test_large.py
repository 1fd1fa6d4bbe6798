"""The page of 10,000 cells with 300,000 answers in a browser: it opens, filters and says nothing on its console. What it takes is
printed, with the machine's load: seconds are no test's business. ``make browser`` runs it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from benchmarks.tables import make_folder
from orchestrator.report import write_report
from orchestrator.results.store import Store
from tests.chromium import Browser, chromium
from tests.orchestrator.report.browser.test_page import cut

CELLS, PROMPTS = 10_000, 30
FOLDER = "LARGE_RESULTS"
"""A variable with the folder to use again, so that it need not be made (a minute, 1.5 GB) each time."""

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TOLD = "document.querySelector('[data-is=told]').textContent"


def seconds(browser: Browser, change: str) -> float:
    """From a change of a control to the page's next frame with another count."""
    script = f"""(async () => {{
        const before = {TOLD}, began = performance.now();
        {change}
        while ({TOLD} === before) await new Promise((done) => setTimeout(done, 5));
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        return performance.now() - began;
    }})()"""
    return float(browser.value(script)) / 1000


def worked(browser: Browser) -> float:
    """Seconds of a processor that the page's own thread has taken, whatever else the machine does."""
    metrics = {one["name"]: one["value"] for one in browser("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def test_it_opens_and_filters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(os.environ.get(FOLDER) or tmp_path / "large")
    if not Store(folder).there():
        make_folder(folder, CELLS, PROMPTS)
    if not (folder / "report.html").is_file():
        store, began = Store(folder), time.perf_counter()
        store.compact()
        tables = time.perf_counter() - began
        write_report(store)
        made = f"tables {tables:.1f} s, page {time.perf_counter() - began - tables:.1f} s"
    else:
        made = "made before"
    page, found = folder / "report.html", {}
    with chromium(tmp_path / "profile") as browser:
        browser("Performance.enable", timeDomain="threadTicks")
        began = time.perf_counter()
        browser("Page.navigate", url=f"file://{page}")
        browser.until("document.getElementById('browser')?.dataset.ready === 'yes'", 120)
        found["opened"] = time.perf_counter() - began
        found["of a processor"] = worked(browser)
        whole = str(browser.value(TOLD))
        assert int(whole.split()[0]) > CELLS, "the answers of one model, of several"
        control = "document.querySelector('[data-is={}]')"
        changed = "one.dispatchEvent(new Event('change', {bubbles: true}));"
        for name, value in (("mode", "label:garbled"), ("mode", "changed"), ("mode", "all"), ("re", "you can it"), ("re", "")):
            change, before = f"const one = {control.format(name)}; one.value = '{value}'; {changed}", worked(browser)
            found[f"{name} {value}"] = seconds(browser, change)
            found[f"{name} {value}, of a processor"] = worked(browser) - before
        assert browser.value(TOLD) == whole
        found["axis"] = seconds(browser, "document.querySelector('[data-axis=multiplier]').click();")
        browser.value("document.querySelectorAll('[data-is=matrix] tbody tr')[0].querySelectorAll('[data-cell]')[1].click()")
        browser.until("!!document.querySelector('[data-is=answer] article')")
        browser("Emulation.setDeviceMetricsOverride", width=700, height=900, deviceScaleFactor=1, mobile=False)
        browser("Emulation.setEmulatedMedia", media="print")
        assert cut(browser) == []
        assert browser.console == []
    took = ", ".join(f"{name} {one:.2f} s" for name, one in found.items())
    with capsys.disabled():
        print(f"\n{whole}; {made}; {page.stat().st_size / 1e6:.0f} MB; {took}; load {os.getloadavg()[0]:.1f}")
