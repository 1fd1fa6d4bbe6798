"""What a sweep found, read as it is asked for: what all tables and figures are made of."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property

from orchestrator.compare.answer import reader
from orchestrator.compare.beside import Beside, beside, model_of
from orchestrator.compare.comparison import Question
from orchestrator.errors import InputError
from orchestrator.paper.tables import paper_tables
from orchestrator.parity.findings import Arrays, ParityFindings, parity_arrays
from orchestrator.parity.study import ParityItem
from orchestrator.report.equal_damage import EqualDamage, equal_damages
from orchestrator.report.methods import Cosine
from orchestrator.report.series import Series, series_of
from orchestrator.report.values import most_successful
from orchestrator.results.comparison_rows import DirectionRow, TransferRow
from orchestrator.results.rows import CellRow
from orchestrator.results.store import Store

_LOG = logging.getLogger(__name__)
SERIES_SHOWN = 24
"""Series that the page shows with figures and samples; of more, those that succeed most. A figure takes a tenth of a second."""


class SweepFindings:
    """What a sweep found: the finished cells of ``store``, or ``rows`` of them, and their series; other tables are read when they
    are asked for."""

    def __init__(self, store: Store, rows: Sequence[CellRow] | None = None) -> None:
        self.store, self.rows = store, store.cell_rows() if rows is None else list(rows)
        self.series = series_of(self.rows)

    @cached_property
    def shown(self) -> list[Series]:
        """Those that have a part of the page, in their order."""
        return most_successful(self.series, SERIES_SHOWN)

    @property
    def deciding(self) -> set[str]:
        """The ids of the cells that settings were chosen among."""
        return {one["cell_id"] for choice in self.store.choices() for one in choice["considered"]}

    @cached_property
    def directions(self) -> Sequence[DirectionRow]:
        """The stored directions, a row per layer."""
        return self.store.direction_rows()

    @cached_property
    def transfers(self) -> Sequence[TransferRow]:
        """The transfer cells among the rows."""
        keys = {row.key for row in self.rows}
        return [row for row in self.store.transfer_rows() if (row.cell_id, row.behavior) in keys]

    @cached_property
    def beside_paper(self) -> list[Beside]:
        """The paper's rates with the cells that ran their conditions."""
        if not any(map(model_of, self.rows)):
            return []
        try:
            return beside(paper_tables(), self.rows, reader(self.store, Question()))[0]
        except InputError as error:  # labels that are gone: the page is of the tables, which hold all but these
            _LOG.warning("not beside the paper: %s", error)
            return []

    @cached_property
    def equal_damage(self) -> list[EqualDamage]:
        """The arms whose strengths were chosen for equal damage."""
        return equal_damages(self.store.matches(), self.rows, reader(self.store, Question()))

    @cached_property
    def parity(self) -> list[ParityFindings]:
        """The studies of tools that have begun, in the plan's order."""
        studies = self.store.planned().parity
        why = {one.item_id: one.message for one in self.store.failures()} if studies else {}
        found = (ParityFindings(study, self._compared, why) for study in studies)
        return [one for one in found if one.there]

    def _compared(self, item_id: str) -> Arrays | None:
        try:
            return parity_arrays(self.store.read_analysis(ParityItem.kind, item_id))
        except (FileNotFoundError, ValueError):
            return None

    @cached_property
    def cosine(self) -> Cosine:
        """Between the directions that steered two cells; None when one is not stored."""
        read = self.store.directions().cosine
        return lambda one, other: read((one.direction_id, one.direction_layer), (other.direction_id, other.direction_layer))
