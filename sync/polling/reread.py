"""Records that `where` left out are read again when a person asks for it: an edited `where` may want them.

What was asked and how far it got is a lane of the cursor, so that it outlives whatever cuts it off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from state.ledger import Ledger
from state.rows import LaneMove
from sync.mapping.result import Note
from sync.polling.job import REREAD_LANE

PAGE = 200
HELD = Note(
    "",
    "comes of records that `where` had left out, read again by `reread`",
    hint="approve those that are meant, discard the others",
)
"""Nobody knows how many there will be before they are read: they wait for a person, few or many."""


def ask(ledger: Ledger, stream: int) -> int:
    """Has the stream's filtered records read again at its next turn; how many there are."""
    count = ledger.records.count_filtered(stream)
    if count:
        ledger.streams.move(stream, LaneMove(REREAD_LANE, {"after": 0}))
    return count


def is_asked_for(ledger: Ledger, stream: int) -> bool:
    return REREAD_LANE in ledger.streams.lanes(stream)


def pages(ledger: Ledger, stream: int) -> Iterator[Sequence[str]]:
    """Ids, page by page. A page counts as done once the next one is asked for."""
    after = int(ledger.streams.lanes(stream)[REREAD_LANE]["after"])
    while found := ledger.records.filtered(stream, after, PAGE):
        yield [id_ for _, id_ in found]
        after = found[-1][0]
        ledger.streams.move(stream, LaneMove(REREAD_LANE, {"after": after}))
    ledger.streams.move(stream, LaneMove(REREAD_LANE, None))
