"""The JSON of a view: its dataclass, field by field, by pydantic; annotations say where the two differ."""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import Field, PlainSerializer, TypeAdapter

from sync.views.phrases import iso

Moment = Annotated[int, PlainSerializer(iso)]
"""Milliseconds since 1970 UTC; in JSON ISO 8601 text."""
TextOrNull = Annotated[str, PlainSerializer(lambda text: text or None)]
"""Text that is null in JSON where it is empty."""
HIDDEN = Field(exclude=True)
"""Marks a field that JSON does not have."""


def json_of(view: object) -> dict[str, Any]:
    """Return a frozen dataclass as plain JSON values."""
    kind = type(view)
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return cast("dict[str, Any]", _ADAPTERS[kind].dump_python(view, mode="json", by_alias=True))


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}
"""Kept for each class: to build one costs more than many dumps."""
