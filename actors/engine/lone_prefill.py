"""Prefill of a row that shares nothing: its template prefix and the rest of its prompt in one forward.

Every forward reads all weights, which for a short prompt takes longer than its products; so where no other row uses the prefix,
it does not run first by itself. A row has the bits that it has among others: the pieces are padded and attend as in forwards of
their own (``attention.in_two_pieces``), and all else is computed token by token.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.engine.grain import Grain
from actors.engine.prefill import Prefilled, complete, of_text
from actors.engine.rows import Row
from actors.engine.segments import Segment, SegmentRunner
from actors.stacks import StackBank

SHORT = 256
"""Tokens of a prompt up to which it runs in one piece: of a longer one the products take much longer than reading the weights."""


def shares_nothing(rows: Sequence[Row], bank: StackBank, *, fixed: bool) -> bool:
    """Whether ``rows`` are a single one that :func:`prefilled_alone` can run: under no steering or one that acts at every token
    and unconditionally, where a row's bits do not depend on the shape of its forward."""
    if len(rows) > 1 or fixed or not bank.steady:
        return False
    return not rows[0].conditional and len(rows[0].rendered.token_ids) <= SHORT


def prefilled_alone(runner: SegmentRunner, bank: StackBank, row: Row, grain: Grain) -> Prefilled:
    """The whole prompt under the row's steering: what it would share with an unsteered one, nobody else asks for."""
    text = row.rendered.token_ids
    number, spans = of_text(row)
    table = bank.of_text([number], [spans], [len(text)])
    found = runner.run(Segment([text], table=table, grain=grain, cut=row.rendered.prefix))
    return Prefilled([row], found.tail, [(found.positions, complete(found.key_values))], found.witness)
