"""The page of 10,000 cells with 300,000 answers: seconds to make it, to open it and to filter it in a headless Chromium.

``python -m benchmarks.page --folder FOLDER`` (a made-up sweep of ``benchmarks.tables``; one that is there is used again).
Every figure stands twice: by the clock, and of a processor (of the page's own thread), which does not depend on what else the
machine does. Exit code 1 where the clock misses a target.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tables import STEPS, cost, make_folder
from orchestrator.results.store import Store
from tests.chromium import Browser, chromium

CELLS, PROMPTS = 10_000, 30
TARGETS = {"made": 60.0, "opened": 3.0, "filtered": 0.2}
"""Seconds by the clock."""
TOLD = "document.querySelector('[data-is=told]').textContent"
CHANGES = {
    "label": ("mode", "label:garbled"),
    "changed": ("mode", "changed"),
    "all": ("mode", "all"),
    "expression": ("re", "you can it"),
    "no expression": ("re", ""),
}
"""What is chosen, one after the other; each changes what is shown."""
FILTERED = ("label", "changed", "all", "axis")
"""Those that need no text of an answer."""


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of a processor."""

    clock: float
    processor: float


def browsed(browser: Browser, page: Path) -> dict[str, Took]:
    """Open the page and choose what is shown, one thing after the other; AssertionError where the page does not do it."""
    browser("Performance.enable", timeDomain="threadTicks")
    began = time.perf_counter()
    browser("Page.navigate", url=page.absolute().as_uri())
    browser.until("document.getElementById('browser')?.dataset.ready === 'yes'", 120)
    found = {"opened": Took(time.perf_counter() - began, _worked(browser))}
    for name, (control, value) in CHANGES.items():
        told = f"one.value = {json.dumps(value)}; one.dispatchEvent(new Event('change', {{bubbles: true}}));"
        found[name] = _changed(browser, f"const one = document.querySelector('[data-is={control}]'); {told}")
    found["axis"] = _changed(browser, "document.querySelector('[data-axis=multiplier]').click();")
    return found


def _changed(browser: Browser, change: str) -> Took:
    """From a change of a control to the page's next frame with another count."""
    script = f"""(async () => {{
        const before = {TOLD}, began = performance.now();
        {change}
        while ({TOLD} === before) await new Promise((done) => setTimeout(done, 5));
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        return performance.now() - began;
    }})()"""
    worked = _worked(browser)
    return Took(float(browser.value(script)) / 1000, _worked(browser) - worked)


def _worked(browser: Browser) -> float:
    metrics = {one["name"]: one["value"] for one in browser("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def made(folder: Path) -> dict[str, Took]:
    """Make the tables and the page of ``folder`` anew, each in a process of its own with its helpers."""
    found = {name: cost(name, folder) for name in STEPS if name in ("tables", "page")}
    return {name: Took(one.seconds, one.processor) for name, one in found.items()}


def main() -> None:
    """Make, open, filter, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not Store(options.folder).there():
        make_folder(options.folder, CELLS, PROMPTS)
    found = made(options.folder)
    page = options.folder / "report.html"
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as browser:
        found |= browsed(browser, page)
        console = list(browser.console)
    for name, one in found.items():
        print(f"{name}: {one.clock:.2f} s ({one.processor:.2f} s of a processor)")
    print(f"{page.stat().st_size / 1e6:.0f} MB; {len(console)} messages on the console; load {os.getloadavg()[0]:.1f}")
    missed = misses(found)
    print(f"missed: {', '.join(missed)}" if missed else "all targets met by the clock")
    if options.json:
        options.json.write_text(json.dumps({name: vars(one) for name, one in found.items()}, indent=1))
    raise SystemExit(1 if missed or console else 0)


def misses(found: Mapping[str, Took]) -> list[str]:
    """The targets that the clock misses: tables and page together, the opening, the slowest filter."""
    clock = {
        "made": found["tables"].clock + found["page"].clock,
        "opened": found["opened"].clock,
        "filtered": max(found[name].clock for name in FILTERED),
    }
    return [f"{name} in {took:.2f} s of {TARGETS[name]:g}" for name, took in clock.items() if took > TARGETS[name]]


if __name__ == "__main__":
    main()
