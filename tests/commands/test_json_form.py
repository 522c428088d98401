"""Views as JSON: times are text, what is empty is null, and what is for text alone is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from sync.views.json_form import HIDDEN, Moment, TextOrNull, json_of


@dataclass(frozen=True, slots=True)
class Inner:
    at: Moment | None
    hint: TextOrNull


@dataclass(frozen=True, slots=True)
class Outer:
    name: Annotated[str, HIDDEN]
    since: Annotated[Moment, Field(serialization_alias="sent_at")]
    inner: dict[str, Inner]
    lines: tuple[str, ...] = ()


def test_a_view_is_printed_field_by_field() -> None:
    view = Outer("a", 1_772_628_800_123, {"erp": Inner(None, ""), "crm": Inner(0, "grant it")}, ("one", "two"))
    assert json_of(view) == {
        "sent_at": "2026-03-04T12:53:20.123Z",
        "inner": {
            "erp": {"at": None, "hint": None},
            "crm": {"at": "1970-01-01T00:00:00.000Z", "hint": "grant it"},
        },
        "lines": ["one", "two"],
    }
