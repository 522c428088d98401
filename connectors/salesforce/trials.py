"""The queries that polls ask, one of each shape: `check` asks each of them for a single record."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.salesforce.read_plan import ObjectReadPlan, SalesforceReadPlan
from connectors.salesforce.soql import Select, ids_in
from sync.shared.opaque import checksum

_NOBODY = "0" * 12


def trials(plan: SalesforceReadPlan, now: int) -> Iterator[Select]:
    """Return the queries of the first scan, of changes, and of children. `now`: seconds since 1970."""
    source = plan.source
    yield source.rows(*source.selection.fields).where(*source.within(None, now))
    yield _changes(source, now, *source.selection.fields)
    for child in plan.children:
        of = child.source.rows(child.via, *child.source.selection.fields)
        yield of.where(ids_in(child.via, [nobody(source.schema.prefix)]))
        yield _changes(child.source, now, child.via)


def _changes(source: ObjectReadPlan, now: int, *fields: str) -> Select:
    return source.changes(*fields).where(*source.within(now - 1, now))


def nobody(prefix: str | None) -> str:
    """Return an id of that kind of object that no record bears."""
    short = f"{prefix or '000'}{_NOBODY}"
    return short + checksum(short)
