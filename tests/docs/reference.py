"""Writes docs/configuration.md from the schema: `python -m tests.docs.reference`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from connectors.hubspot.options import HubspotChild, HubspotSource, HubspotStream
from connectors.interface import HasRhythm
from connectors.registry import CONNECTORS, connector_type
from connectors.salesforce.options import (
    ClientCredentials,
    Jwt,
    Password,
    SalesforceChild,
    SalesforceSource,
    SalesforceStream,
    SessionId,
)
from connectors.sql.options import SqlChild, SqlSource, SqlStream
from sync.config.schema import (
    Config,
    ContactTable,
    Guard,
    LeadTable,
    LedgerOptions,
    Limit,
    Log,
    MetricsSection,
    ServiceOptions,
    Source,
    Stream,
    Wire,
    WireList,
    Workspace,
)
from sync.shared.durations import format_duration
from sync.shared.secrets import SecretRef
from sync.views.phrases import joined

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

INTRO = """\
# Configuration

Every table and key of the file: type, default, meaning.

The file is TOML. `init --example` prints one that shows every option and works as it stands;
`init --example --connector hubspot` (or `salesforce`) prints one with what only these have. `check` names all mistakes
of a file at once; unknown keys are refused.

- A **duration** is text such as `"500ms"`, `"30s"`, `"5m"`, `"2h"`, `"7d"` or `"1h30m"`.
- A **secret** is `{ env = "NAME" }`, `{ file = "PATH" }` (relative to the configuration) or `{ credential = "NAME" }`
  (of systemd). Plain text works too, with a warning.
- An **expression** is JMESPath over the record: see [Mapping](mapping.md). A number, true or false stands for itself.
- NAME stands for a name of yours: letters, digits, `-` and `_`, at most 64 characters.

A key whose default is empty may be left out.
"""

SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("Top of the file", "", Config),
    ("`[workspaces.NAME]`", "One table for each ClosingDealz API key.", Workspace),
    ("`limit` of a workspace", 'Such as `limit = { requests = 100, per = "60s" }`.', Limit),
    (
        "`[workspaces.NAME.wire]`",
        'Names in the request: `emails = { field = "email", member = "Address" }` sends `"email": [{"Address": "…"}]`.',
        Wire,
    ),
    ("A key of `wire`", "", WireList),
    ("`[ledger]`", "Where the program remembers.", LedgerOptions),
    ("`[log]`", "How the log is written: level and format.", Log),
    ("`[metrics]`", "What it serves over HTTP; without this table, nothing.", MetricsSection),
    ("`[service]`", "The daemon under a service manager.", ServiceOptions),
    ("`[guard]`", "What may be created without anybody's approval: see [States and delivery](delivery.md).", Guard),
    ("`[sources.NAME]`", "A system that records are read from.", Source),
    ('`[sources.NAME]` with `connector = "sql"`', "See [SQL databases](sql.md).", SqlSource),
    ('`[sources.NAME]` with `connector = "salesforce"`', "See [Salesforce](salesforce.md).", SalesforceSource),
    ('`auth` with `flow = "client_credentials"`', "", ClientCredentials),
    ('`auth` with `flow = "jwt"`', "", Jwt),
    ('`auth` with `flow = "password"`', "", Password),
    ('`auth` with `flow = "session"`', "", SessionId),
    ('`[sources.NAME]` with `connector = "hubspot"`', "See [HubSpot](hubspot.md).", HubspotSource),
    ("`[sources.NAME.streams.NAME]`", "One kind of record of a source.", Stream),
    ("`[sources.NAME.streams.NAME]` of a database", "Exactly one of `table` and `query`.", SqlStream),
    ("`[sources.NAME.streams.NAME]` of Salesforce", "", SalesforceStream),
    ("`[sources.NAME.streams.NAME]` of HubSpot", "", HubspotStream),
    (
        "`[sources.NAME.streams.NAME.children.NAME]` of a database",
        "Rows that are nested into each record as a list of that name. Exactly one of `table` and `query`.",
        SqlChild,
    ),
    ("`[sources.NAME.streams.NAME.children.NAME]` of Salesforce", "", SalesforceChild),
    ("`[sources.NAME.streams.NAME.children.NAME]` of HubSpot", "", HubspotChild),
    (
        "`[sources.NAME.streams.NAME.lead]`",
        "The rules that turn a record into a lead: see [Mapping](mapping.md).",
        LeadTable,
    ),
    ("`[[sources.NAME.streams.NAME.lead.contacts]]`", "Contacts of the lead.", ContactTable),
)
RHYTHMS = {name: kind.every for name in CONNECTORS if isinstance(kind := connector_type(name), HasRhythm)}
DEFAULTS: Mapping[tuple[type[BaseModel], str], str] = {
    (Source, "every"): ", ".join(f'`"{format_duration(every)}"` ({name})' for name, every in RHYTHMS.items()),
}
"""Defaults that are not the same for every source."""
NOT_THERE = {(ContactTable, "notes"), (ContactTable, "date")}
"""What the schema shares between leads and contacts, and the API has only for leads."""
_BY_VALIDATOR = {
    "check_expression": "expression",
    "check_expressions": "expression, or a list of them",
    "check_constant": "text, number, true or false",
    "parse_start": '`"all"`, `"now"` or a date',
    "_columns": "text, or a list of texts",
}
_BY_CLASS = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    timedelta: "duration",
    SecretRef: "secret",
}


def page() -> str:
    """Return the text of the page."""
    return INTRO + "".join(f"\n{text}" for text in map(_section, SECTIONS)) + "\n" + _lookups()


def _section(section: tuple[str, str, type[BaseModel]]) -> str:
    title, lead, model = section
    doc = inspect.getdoc(model) or ""
    if not lead and title.startswith("`auth`"):
        lead = " ".join(doc.split())
    rows = "".join(
        _row(field.alias or name, field, DEFAULTS.get((model, name)))
        for name, field in model.model_fields.items()
        if not field.exclude and (model, name) not in NOT_THERE
    )
    lead = f"{lead}\n\n" if lead else ""
    return f"## {title}\n\n{lead}| key | type | default | meaning |\n|---|---|---|---|\n{rows}"


def _lookups() -> str:
    return (
        "## `[lookups.NAME]`\n\nA table for the function `lookup('NAME', key)`: each key is a value of the record, "
        "each value what it stands for (text, number, true or false).\n"
    )


def _row(key: str, field: FieldInfo, default: str | None = None) -> str:
    annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    kind = _kind(annotation) + _range(field.metadata or _inner_metadata(field.annotation))
    cells = (f"`{key}`", kind, default or _default(field), field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        named = [_BY_VALIDATOR.get(getattr(getattr(each, "func", None), "__name__", "")) for each in arguments[1:]]
        return next((name for name in named if name), "") or _kind(arguments[0])
    if origin is Literal:
        return joined([f'`"{each}"`' for each in arguments], "or")
    if origin in (Union, UnionType):
        kinds = dict.fromkeys(_kind(each) for each in arguments if each is not type(None))
        return " or ".join(kinds)
    if origin is list:
        kind = _kind(arguments[0])
        return {"text": "list of texts", "table": "list of tables", "whole number": "list of numbers"}.get(
            kind, f"list of {kind}"
        )
    if origin is not None and issubclass(origin, Mapping):
        return "tables by name"
    if annotation in _BY_CLASS:
        return _BY_CLASS[annotation]
    return "table"


def _inner_metadata(annotation: Any) -> list[Any]:
    """Return what limits a value that may be left out."""
    return [limit for part in get_args(annotation) if get_origin(part) is Annotated for limit in get_args(part)[1:]]


def _range(metadata: list[Any]) -> str:
    parts: list[str] = []
    for each in _flat(metadata):
        match each:
            case Ge(ge=low):
                parts.append(f"at least {_shown(low)}")
            case Gt(gt=low):
                parts.append(f"more than {_shown(low)}")
            case Le(le=high):
                parts.append(f"at most {_shown(high)}")
            case Lt(lt=high):
                parts.append(f"less than {_shown(high)}")
    return f", {', '.join(parts)}" if parts else ""


def _flat(metadata: list[Any]) -> Iterator[Any]:
    for each in metadata:
        yield from _flat(list(each.metadata)) if isinstance(each, FieldInfo) else (each,)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=False)
    if field.is_required():
        return "required"
    if isinstance(value, WireList):
        return f'`{{ field = "{value.field}", member = "{value.member}" }}`'
    return "" if value is None or isinstance(value, Mapping | BaseModel) else f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return f'"{format_duration(value)}"' if isinstance(value, timedelta) else _shown(value).replace(",", "_")


def _shown(value: Any) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
