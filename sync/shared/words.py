"""The values that all parts share: records, pages of them, and the fields that a mapping reads.

Imports nothing of the project but a leaf, so `connectors` and `state` may use it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from sync.shared.values import fast_dataclass

# A plain JSON value: None, bool, int, finite float, str without lone surrogates, lists and dicts with str keys.
Json: TypeAlias = Any

LABEL = "@label"
"""A wanted field `industry@label` asks for what the source's users see for the code in its field `industry`. It is no
part of a record's fingerprint: a label that is renamed changes no record."""

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def is_number(modified: str) -> bool:
    """Return whether a `Record.modified` is the number of a sequence, which is no time."""
    return _NUMBER.fullmatch(modified) is not None


@fast_dataclass(frozen=True, slots=True)
class Record:
    """One record of a stream, as its source returned it.

    `id` is the source's key as text. `data` holds plain JSON, children nested as lists under their configured names.
    `modified` is the record's own modified time as ISO 8601 in UTC with six fractional digits and `Z`
    (`2026-01-02T03:04:05.000006Z`), so that text order is time order; for a sequence its decimal digits; None where
    the source has none. `deleted` is an explicit tombstone (`data` may then be empty); `merged_into` then names the
    record of the same stream that it was merged into, if it was.
    `problem` says why the record cannot be used (quarantine), without quoting its values.
    `children` maps each child's configured name to the ids of the children nested here, in their order in `data`;
    `left_out` to how many more there are than a record may carry.
    `former` maps ids, of the record itself or of children nested here, to the ids of the records of the same source
    that they were made from (a converted lead): one person, whose lead may exist already.
    `moved`: the source says that the record changed since the last poll, whatever its modified time says.
    """

    id: str
    data: Mapping[str, Json]
    modified: str | None = None
    deleted: bool = False
    problem: str | None = None
    children: Mapping[str, Sequence[str]] = field(default_factory=dict)
    merged_into: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    former: Mapping[str, Sequence[str]] = field(default_factory=dict)
    moved: bool = False

    @property
    def rank(self) -> tuple[Decimal, str]:
        """Return a sort key for versions of one record by `modified`: sequence numbers by their size, times by their
        text."""
        text = self.modified or ""
        return Decimal(text) if is_number(text) else Decimal(), text


@dataclass(frozen=True, slots=True)
class Touch:
    """A child that changed: re-read its present parent and, by the ledger's links, its former one."""

    child: str
    id: str
    parent: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a poll: records, and the lane of the cursor that moves with them in one transaction.

    `cursor` is the lane's new content (JSON, owned by the connector). `records` may repeat what was read before.
    `touched` names changed children; the engine re-reads their parents with `fetch` before it commits the page.
    `backfill` marks records that may wait behind live ones. `notes` are facts for the log: fixed words and numbers,
    never values.
    """

    lane: str
    cursor: Json
    records: Sequence[Record] = ()
    touched: Sequence[Touch] = ()
    backfill: bool = False
    notes: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a sweep: (id, modified) of rows in the source's id order. `modified` is as in `Record`; None if it
    does not show whether the record changed.

    `cursor` is the sweep's position after this page; None when the sweep reached its end.
    `unseen` is how many of them the ordinary poll can never show (NULL in the cursor column, far future).
    """

    cursor: Json
    rows: Sequence[tuple[str, str | None]]
    unseen: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """The fields of a record (and of each kind of nested child) that a mapping reads.

    `fields` holds paths: `("name",)`, `("Owner", "Name")`. None means all: an expression reads the record whole.
    """

    fields: frozenset[tuple[str, ...]] | None = frozenset()
    children: Mapping[str, Wanted] = field(default_factory=dict)

    def of_child(self, name: str) -> Wanted | None:
        """Return the fields wanted of that child; None if the mapping does not read it."""
        if name in self.children:
            return self.children[name]
        if self.fields is None or any(path[:1] == (name,) for path in self.fields):
            return Wanted(None)
        return None
