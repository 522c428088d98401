"""Drift as a CSV work list for correcting leads by hand: one row per changed field."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import TextIO

from sync.views.phrases import iso, printable
from sync.views.queue_listing import QueueItem

COLUMNS = ("stream", "id", "lead", "changed_at", "field", "was", "is")
LONGEST = 100_000
"""Characters of one value, above any limit of the API."""


def write_csv(items: Iterable[QueueItem], file: TextIO, *, raw: bool = False) -> None:
    """Write the items as CSV (RFC 4180). A record that cannot be compared has one row, without a field, that says why.

    Unless `raw`, a cell that a spreadsheet would evaluate as a formula is prefixed with an apostrophe.
    """
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for item in items:
        for row in _rows(item):
            cells = [printable(cell, LONGEST) for cell in row]
            writer.writerow(cells if raw else map(without_formula, cells))


_FORMULA = re.compile(r"""(^|;)(?=[\s"]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r])""")
"""What makes a spreadsheet calculate a cell (the last four are wide forms of = + - @):
https://owasp.org/www-community/attacks/CSV_Injection"""


def without_formula(cell: str) -> str:
    """Prefix what a spreadsheet may take for a formula with an apostrophe; also after a semicolon, which separates
    cells where a comma is the decimal sign."""
    return _FORMULA.sub(r"\1'", cell)


def _rows(item: QueueItem) -> Iterator[tuple[str, ...]]:
    start = (item.waiting.stream, item.waiting.id, item.lead, iso(item.waiting.since) or "")
    for each in item.changes:
        yield (*start, each.field, "(not known)" if each.was is None else each.was, each.now)
    if not item.changes:
        yield (*start, "", "", f"({'; '.join(str(why) for why in item.whys)})")
