"""Drift as a work list for a person who mends leads by hand: CSV, one row a changed field."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import TextIO

from sync.views.phrases import iso, printable
from sync.views.queue_listing import QueueItem

COLUMNS = ("stream", "id", "lead", "changed_at", "field", "was", "is")
LONGEST = 100_000
"""Characters of one value: more than the API takes."""


def write_csv(items: Iterable[QueueItem], file: TextIO, *, raw: bool = False) -> None:
    """In the form of RFC 4180. A record that cannot be compared has one row, without a field, that says why.

    Unless it is `raw`, for programs, a cell that a spreadsheet would take for a formula begins with an apostrophe.
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
    """Return it with an apostrophe before what may be a formula: also after a semicolon, at which a spreadsheet begins
    another cell where a comma is the decimal sign."""
    return _FORMULA.sub(r"\1'", cell)


def _rows(item: QueueItem) -> Iterator[tuple[str, ...]]:
    start = (item.waiting.stream, item.waiting.id, item.lead, iso(item.waiting.since) or "")
    for each in item.changes:
        yield (*start, each.field, "(not known)" if each.was is None else each.was, each.now)
    if not item.changes:
        yield (*start, "", "", f"({'; '.join(str(why) for why in item.whys)})")
