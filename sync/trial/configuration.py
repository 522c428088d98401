"""Writes configuration files for trials: a workspace at a sandbox, a ledger, and sources with their streams.

Each function returns the text of whole tables, ended by a blank line, so that a file is their concatenation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from sqlalchemy.engine import URL

from connectors.registry import reader_of

TomlValue: TypeAlias = "str | int | float | Sequence[TomlValue] | Mapping[str, TomlValue]"
Values: TypeAlias = Mapping[str, TomlValue]

BY_ID_AND_TIME: Values = {"key": "id", "modified": "updated_at"}
"""The key and the time column that the tables of all trials share."""
_SEND_ALL: Values = {"start": "all", "on_change": "hold"}


def toml_table(header: str, values: Values, more: str = "", *, comments: Mapping[str, str] | None = None) -> str:
    """Write one table; `more` are further lines as they stand, `comments` come behind the values of their keys."""
    notes = {key: f"  # {text}" for key, text in (comments or {}).items()}
    lines = [f"[{header}]", *(f"{key} = {_toml(value)}{notes.get(key, '')}" for key, value in values.items())]
    return "\n".join([*lines, more.strip("\n")]).rstrip("\n") + "\n\n"


def workspace_tables(base_url: str, values: Values | None = None, more: str = "", *, ledger: str = "ledger.db") -> str:
    """Write the workspace `main` with the sandbox's usual key, unless `values` name another, and the ledger's path."""
    main = {"api_key": "sandbox-key", "base_url": base_url, **(values or {})}
    return toml_table("workspaces.main", main, more) + toml_table("ledger", {"path": ledger})


def source_table(name: str, connector: str, values: Values, more: str = "") -> str:
    """Write a source without its streams."""
    return toml_table(f"sources.{name}", {"connector": connector, **values}, more)


def database_table(name: str, path: Path, values: Values) -> str:
    """Write a source that is a SQLite database, without its streams."""
    url = sqlite_url(path)
    return source_table(name, reader_of(url), {"url": url, **values})


def stream_tables(
    place: str,
    values: Values,
    lead: Values,
    more: str = "",
    *,
    lead_more: str = "",
    children: Mapping[str, Values] | None = None,
    contacts: Values | None = None,
    comments: Mapping[str, str] | None = None,
) -> str:
    """Write a stream, `place` is `SOURCE.STREAM`, with its mapping and child tables.

    It sends what is there and lists later changes, unless `values` say otherwise. `contacts` map nested contacts.
    """
    source, _, name = place.partition(".")
    path = f"sources.{source}.streams.{name}"
    defaults = {key: value for key, value in _SEND_ALL.items() if key not in values}
    text = toml_table(path, {**values, **defaults}, more, comments=comments)
    for child, content in (children or {}).items():
        text += toml_table(f"{path}.children.{child}", content)
    text += toml_table(f"{path}.lead", lead, lead_more)
    return text + (toml_table(f"[{path}.lead.contacts]", contacts) if contacts else "")


def sqlite_url(path: Path) -> str:
    """Return the `url` of a SQLite database, whatever characters its path has."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def _toml(value: TomlValue) -> str:
    """Format a value on one line. JSON's texts, numbers and booleans are TOML's, too."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, str | int | float):
        return json.dumps(value, ensure_ascii=False)
    return f"[{', '.join(map(_toml, value))}]"
