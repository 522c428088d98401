"""A queue's listing as plain lines for pipes, as tables for a terminal, and the drift queue as CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.text import Text

from state.queues import Queue
from sync.mapping.field_changes import FieldChange
from sync.views.phrases import ago, count, iso, moment, number, printable, wrapped
from sync.views.queue_listing import NOTHING, QueueItem, QueueListing, RecordGroup, counted
from sync.views.rich_tables import table

_WORDS: dict[Queue, str] = {
    "quarantine": "retry or drop",
    "held": "approve or discard",
    "drift": "ack or resend",
    "orphaned": "ack",
}
CHANGES_SHOWN = 8
"""Changes of one record shown in a table; `show` lists all."""
LONGEST = 80
"""Characters shown of one value in a list; `show` prints all of it."""


def plain_lines(listing: QueueListing, program: str) -> Iterator[str]:
    """Yield the listing for pipes, one fact per line: groups, records with their changes, and the next commands."""
    for group in listing.groups:
        poll = f" by poll {group.poll}" if group.poll is not None else ""
        since = f"oldest {moment(group.oldest)}, newest {moment(group.newest)}"
        yield f"{group.stream}: {count(group.records, 'record')}{poll}, {since}: {group.reason}"
        if group.hint:
            yield f"  {group.hint}"
    for item in listing.shown:
        lead = f"{printable(item.lead, LONGEST)}: " if item.lead else ""
        yield f"{_name(item)}  since {moment(item.waiting.since)}  {lead}{_said(item)}"
        yield from (f"  {change_line(each)}" for each in item.changes)
    yield from footer(listing, program)


def footer(listing: QueueListing, program: str) -> Iterator[str]:
    """Yield how many records there are, and the commands that settle them."""
    if not listing.records:
        yield NOTHING[listing.queue] + (" that matches" if listing.narrowed else "")
        return
    left = listing.records - len(listing.shown)
    more = f"; {number(left)} more with --limit 0" if left and listing.shown else ""
    yield f"{counted(listing.queue, listing.records)}{more}"
    yield f"  {program} {listing.queue} show STREAM:ID, then {_WORDS[listing.queue]}"
    # what changes while the list is read was not seen, and must not be settled with it
    yield f"  --until '{moment(listing.at)}' leaves out what came after this list"


def print_listing(listing: QueueListing, program: str, console: Console) -> None:
    """Print the listing for a terminal of at least 80 columns."""
    if listing.groups:
        console.print(_groups_table(listing))
    if listing.shown:
        console.print(_records_table(listing))
    for line in wrapped(footer(listing, program), console.width):
        console.print(Text(line), soft_wrap=True)


def _groups_table(listing: QueueListing) -> RenderableType:
    held = listing.queue == "held"
    groups = table("records", "stream", *(["poll"] if held else []), "why", "since")
    groups.columns[0].justify = "right"
    for group in listing.groups:
        poll = [number(group.poll) if group.poll is not None else ""] if held else []
        why = Text.assemble(group.reason, (f"\n{group.hint}" if group.hint else "", "dim"))
        groups.add_row(number(group.records), group.stream, *poll, why, _since(group, listing.at))
    return groups


def _since(group: RecordGroup, now: int) -> str:
    oldest, newest = ago(group.oldest, now), ago(group.newest, now)
    return oldest if oldest == newest else f"{oldest}\nto {newest}"


def _records_table(listing: QueueListing) -> RenderableType:
    """Return the records as a table; without the reason where all share the one above."""
    drift = listing.queue == "drift"
    heads = ["record", "lead", "since"]
    # one reason for all stands in the groups above; the two queues have details of each record
    if drift or listing.queue == "quarantine" or len(listing.groups) > 1:
        heads.append("field: was -> is" if drift else "why")
    records = table(*heads, leading=int(drift))
    for item in listing.shown:
        since = ago(item.waiting.since, listing.at)
        why = _changes(item) if item.changes else _said(item)
        records.add_row(_name(item), printable(item.lead, LONGEST), since, *([why] if len(heads) > 3 else []))
    return records


def _changes(item: QueueItem) -> RenderableType:
    lines = [Text.assemble((f"{each.field}: ", "dim"), _arrow(each)) for each in item.changes[:CHANGES_SHOWN]]
    more = len(item.changes) - len(lines)
    return Group(*lines, *([Text(f"and {more} more", "dim")] if more else []))


def change_line(change: FieldChange, most: int = LONGEST) -> str:
    """Return a change such as `name: Acme -> Apex`, each value cut at `most` characters."""
    return f"{change.field}: {_arrow(change, most)}"


def _arrow(change: FieldChange, most: int = LONGEST) -> str:
    was = "(not known)" if change.was is None else printable(change.was, most) or "(none)"
    return f"{was} -> {printable(change.now, most) or '(none)'}"


def _name(item: QueueItem) -> str:
    return printable(item.name, LONGEST)


def _said(item: QueueItem) -> str:
    again = " (read again at the next poll)" if item.waiting.again else ""
    return ("; ".join(str(why) for why in item.reasons) or "no reason is kept") + again


# ---- CSV

COLUMNS = ("stream", "id", "lead", "changed_at", "field", "was", "is")
_LONGEST_CELL = 100_000
"""Characters of one value, above any limit of the API."""


def write_csv(items: Iterable[QueueItem], file: TextIO, *, raw: bool = False) -> None:
    """Write the items as CSV (RFC 4180). A record that cannot be compared has one row, without a field, that says why.

    Unless `raw`, a cell that a spreadsheet would evaluate as a formula is prefixed with an apostrophe.
    """
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for item in items:
        for row in _rows(item):
            cells = [printable(cell, _LONGEST_CELL) for cell in row]
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
        yield (*start, "", "", f"({'; '.join(str(why) for why in item.reasons)})")
