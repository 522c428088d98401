"""What the mapping tests share: short ways to compile a mapping and to look at what it makes of a record."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sync.config.schema import LeadTable, Wire
from sync.mapping.compile import LeadMapping, compile_mapping
from sync.mapping.result import Lead, Note, Unfit
from sync.shared.errors import ConfigError, Problem

WHERE = "sources.erp.streams.companies.lead"
COUNTRIES = {"countries": {"DE": "Germany", "1": "one"}, "empty": {}}


def mapping(
    table: Mapping[str, Any],
    *,
    children: Collection[str] = ("contacts",),
    wire: Wire | None = None,
    lookups: Mapping[str, Mapping[str, Any]] | None = None,
    apart: Collection[str] = (),
) -> LeadMapping:
    return compile_mapping(
        LeadTable.model_validate({"kind": "company"} | dict(table)),
        where=WHERE,
        children=children,
        wire=wire or Wire(),
        lookups=COUNTRIES if lookups is None else lookups,
        bookkeeping=apart,
    )


def lead(table: Mapping[str, Any], data: Any) -> Lead:
    """A company lead made of `data`; every field may stand alone."""
    outcome = mapping({"require": []} | dict(table)).apply(data)
    assert isinstance(outcome, Lead), outcome
    return outcome


def document(table: Mapping[str, Any], data: Any) -> dict[str, Any]:
    """What would be sent, without the kind of lead."""
    found = dict(lead(table, data).document)
    del found["isContact"]
    return found


def unfit(table: Mapping[str, Any], data: Any) -> tuple[Note, ...]:
    outcome = mapping({"require": []} | dict(table)).apply(data)
    assert isinstance(outcome, Unfit), outcome
    return outcome.problems


def dropped(table: Mapping[str, Any], data: Any) -> tuple[Note, ...]:
    """What was said of a lead in which nothing of the table's one field is left."""
    found = lead(table, data)
    assert found.document == {"isContact": False}
    return found.warnings


def problems(table: Mapping[str, Any], **more: Any) -> list[Problem]:
    """What is wrong with a table; places are given without the mapping's own."""
    try:
        mapping(table, **more)
    except ConfigError as error:
        return [
            Problem(found.where.removeprefix(f"{WHERE}.").removeprefix(WHERE), found.what, found.hint)
            for found in error.problems
        ]
    return []
