"""What all figures are drawn on: one panel without a display, whose bytes repeat, and whose marks tell their numbers.

matplotlib draws; an SVG keeps its text as text. A page shows it with its own colours, light or dark (``for_page``).
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from io import BytesIO
from typing import Any

from orchestrator.untrusted import visible

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5a6472", "#8c6d1f")
"""Okabe and Ito's palette (its black and its yellow, too light for a line, replaced); told apart by every kind of colour
vision."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
PAPER, INK, QUIET, GRID, EMPTY, REST = "#ffffff", "#1a1c20", "#5b616b", "#d9dde3", "#ebedf0", "#c3c9d2"
ON_DARK, ON_LIGHT = "#fefefe", "#101010"
"""Numbers on a filled cell; the same in a dark page."""
WIDTH, HEIGHT = 4.4, 2.7
"""Of a plot without its margins, in inches: a page as narrow as a telephone shows it as large as it is."""
RIGHT_SCALE = 0.62
"""Inches for a scale of colours beside a panel."""
LETTER = 0.083
"""Inches of a letter on an axis, at most."""
NAME = 44
"""Letters of a name that is shown; the data have it whole."""

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "text.parse_math": False,
}
_SHOWN = {
    PAPER: "var(--paper)",
    INK: "var(--ink)",
    QUIET: "var(--quiet)",
    GRID: "var(--line)",
    EMPTY: "var(--tint)",
    REST: "var(--rest)",
} | {colour: f"var(--c{number})" for number, colour in enumerate(COLOURS)}
_COLOUR = re.compile("|".join(map(re.escape, _SHOWN)))
_NEEDLESS = re.compile(r"<\?xml.*?\?>|<!DOCTYPE[^>]*>|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
_NAMED = re.compile(r' id="([^"]*)"')


@contextmanager
def drawing(name: str) -> Iterator[None]:
    """The style in which all figures are drawn and written; ``name`` keeps the ids of one apart from another's in a page."""
    from matplotlib import rc_context

    with rc_context({**_STYLE, "svg.hashsalt": name}):
        yield


class Canvas:
    """A panel of ``width`` x ``height`` inches with room for names at its ``left``, ``below`` it for an axis and a legend, and at
    its ``right`` for a scale of colours."""

    def __init__(
        self,
        title: str,
        size: tuple[float, float] = (WIDTH, HEIGHT),
        left: float = 0.62,
        below: float = 0.5,
        right: float = 0.12,
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        width, height = size
        lines = textwrap.wrap(visible(title), max(20, int((left + width) / 0.088)), max_lines=4, placeholder=" ...") or [""]
        above = 0.14 + 0.17 * len(lines)
        across, up = left + width + right, below + height + above
        self.figure: Any = Figure(figsize=(across, up), dpi=72)
        FigureCanvasAgg(self.figure)
        self.axes: Any = self.figure.add_axes((left / across, below / up, width / across, height / up))
        self.figure.text(0.06 / across, 1 - 0.08 / up, "\n".join(lines), va="top", fontsize=9.5, fontweight="bold")
        self._points_high, self._marks = 72 * up, list[str]()

    def plain(self) -> None:
        """Axes with a faint grid and no frame at the top and the right."""
        self.axes.grid(color=GRID, linewidth=0.7)
        self.axes.set_axisbelow(True)
        for side in ("top", "right"):
            self.axes.spines[side].set_visible(False)

    def scale(self, kind: str, threshold: float = 0.0) -> None:
        """The scale of the axis below: ``log``, or ``symlog`` that is linear up to ``threshold``; its numbers are plain."""
        from matplotlib.ticker import LogLocator, NullFormatter

        self.axes.set_xscale(kind, **({"linthresh": threshold} if kind == "symlog" else {}))
        if kind == "log":
            self.axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        self.axes.xaxis.set_major_formatter("{x:g}")
        self.axes.xaxis.set_minor_formatter(NullFormatter())

    def percent(self, way: str = "y") -> None:
        """An axis from 0 to 100."""
        getattr(self.axes, f"set_{way}lim")(-3, 103)
        getattr(self.axes, f"set_{way}ticks")([0, 20, 40, 60, 80, 100])

    def legend(self, columns: int, below: float = 0.48) -> None:
        """The names of what was drawn, in the room under the axis."""
        height = self.figure.get_figheight() * self.axes.get_position().height
        where = {"loc": "upper left", "bbox_to_anchor": (0.0, -below / height), "borderaxespad": 0.0, "ncols": columns}
        self.axes.legend(**where, fontsize=8, frameon=False, handlelength=1.6, columnspacing=1.2)

    def colour_scale(self, colours: str, ends: tuple[float, float], unit: str, factor: float = 1.0) -> None:
        """At the right of the panel, ``RIGHT_SCALE`` inches: which colour stands for which number; ``factor``: of the numbers as
        they are written in ``unit``."""
        import numpy as np

        panel, across = self.axes.get_position(), self.figure.get_figwidth()
        bar = self.figure.add_axes((panel.x1 + 0.12 / across, panel.y0, 0.11 / across, panel.height))
        low, high = (factor * end for end in ends)
        shades = np.linspace(low, high, 64)[:, None]
        bar.imshow(shades, cmap=colours, aspect="auto", origin="lower", extent=(0, 1, low, high), interpolation="none")
        bar.yaxis.tick_right()
        bar.xaxis.set_ticks([])
        bar.set_xlabel(unit, fontsize=8, labelpad=3)
        bar.tick_params(length=0, labelsize=8)
        for side in bar.spines.values():
            side.set_visible(False)

    def point(self, x: float, y: float, text: str) -> None:
        """What a reader is told who points there, in the units of the axes."""
        across, up = self.axes.transData.transform((x, y))
        self._marks.append(f'<circle cx="{across:.1f}" cy="{self._points_high - up:.1f}" r="6">{_told(text)}</circle>')

    def box(self, corner: tuple[float, float], other: tuple[float, float], text: str) -> None:
        """The same anywhere in a rectangle."""
        (a, b), (c, d) = (self.axes.transData.transform(one) for one in (corner, other))
        place = f'x="{min(a, c):.1f}" y="{self._points_high - max(b, d):.1f}"'
        size = f'width="{abs(c - a):.1f}" height="{abs(d - b):.1f}"'
        self._marks.append(f"<rect {place} {size}>{_told(text)}</rect>")

    def svg(self) -> str:
        """The panel as a file that a browser opens."""
        content = BytesIO()
        self.figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
        text = _NEEDLESS.sub("", content.getvalue().decode()).strip()
        used = set(re.findall(r"#([A-Za-z][\w-]*)", text))
        text = _NAMED.sub(lambda named: named.group() if named.group(1) in used else "", text)
        text = re.sub(r"\s*\n\s*", "\n", text)
        marks = f'<g fill="none" pointer-events="all">{"".join(self._marks)}</g>\n</svg>\n'
        return text.removesuffix("</svg>") + marks

    def pdf(self) -> bytes:
        """The panel for print."""
        return self._saved("pdf", {"CreationDate": None, "Creator": None, "Producer": None})

    def png(self) -> bytes:
        """The panel in pixels, 200 to the inch."""
        return self._saved("png", {"Software": None}, dpi=200)

    def _saved(self, form: str, metadata: dict[str, None], **more: int) -> bytes:
        content = BytesIO()
        self.figure.savefig(content, format=form, metadata=metadata, **more)
        return content.getvalue()


def for_page(svg: str) -> str:
    """The panel with the page's colours in place of its own; numbers on filled cells keep theirs."""
    return _COLOUR.sub(lambda found: _SHOWN[found.group()], svg)


def short(name: str) -> str:
    """A name on one line, control characters written out, with what is beyond ``NAME`` letters left out of its middle."""
    shown = visible(name)
    return shown if len(shown) <= NAME else f"{shown[: NAME // 2]}...{shown[3 - NAME // 2 :]}"


def _told(text: str) -> str:
    return f"<title>{escape(visible(text, 400, keep_lines=True), quote=False)}</title>"
