"""A rehearsal for `check`: some rows are read as a poll reads them, so that what it would refuse is known before."""

from __future__ import annotations

from dataclasses import replace

from connectors.interface import Finding
from connectors.sql.columns import StreamColumns
from connectors.sql.connection import Database
from connectors.sql.paging import make_pager
from connectors.sql.records import SqlReadPlan, make_records
from sync.shared.errors import SourceRefused, SourceUnavailable

_ROWS = 2
"""Rows of a page."""


def rehearse(database: Database, columns: StreamColumns, plan: SqlReadPlan) -> Finding | None:
    """Return the error with which a poll would end; None if it would not, or if trying takes too long."""
    try:
        _read_two_pages(database, columns, replace(plan, spec=replace(plan.spec, page_size=_ROWS)))
    except SourceUnavailable:
        return None
    except SourceRefused as error:
        return Finding("error", f"{plan.relation.words} cannot be read: {error.message}", error.hint)
    return None


def _read_two_pages(database: Database, columns: StreamColumns, plan: SqlReadPlan) -> None:
    """Read the first page with its children, then the one behind it, which is found by the values of the first."""
    scale = None if plan.cursor is None else columns.scale(plan.relation, plan.cursor).scale
    pager = make_pager(
        database,
        columns,
        plan.spec,
        relation=plan.relation,
        layout=plan.layout,
        keys=plan.keys,
        cursor=plan.cursor,
    )
    found = pager.page(None)
    make_records(database, columns, plan, found, scale)
    if found.more:
        pager.page(pager.last())
