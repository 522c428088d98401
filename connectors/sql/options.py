"""The configuration keys that only the SQL connector knows; their descriptions are the reference in the docs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from connectors.sql.moments import find_zone
from connectors.sql.statements import table_parts
from sync.shared.durations import Duration
from sync.shared.secrets import SecretRef
from sync.shared.words import Json


def _no_control_characters(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    if any(ord(character) < 32 for character in text):
        raise ValueError("must not hold line breaks, tabs or other control characters")
    return text


def _one_statement(text: str) -> str:
    text = text.strip().rstrip(";").rstrip()
    if not text:
        raise ValueError("must not be empty")
    if "\0" in text:
        raise ValueError("must not hold a NUL character")
    return text


def _known_zone(name: str) -> str:
    find_zone(name)
    return name


def _table_name(text: str) -> str:
    table_parts(text)
    return text


def _columns(value: object) -> object:
    """Return one column's name, or a list of several, as a tuple of names."""
    names = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(name, str) for name in names):
        raise ValueError('must be a column\'s name in quotes, or a list of several: ["tenant", "number"]')
    if not names or len(set(names)) < len(names):
        raise ValueError("must name at least one column, and none twice")
    return tuple(names)


Identifier = Annotated[str, Field(max_length=256), AfterValidator(_no_control_characters)]
TableName = Annotated[Identifier, AfterValidator(_table_name)]
KeyColumns = Annotated[
    tuple[Identifier, ...],
    BeforeValidator(_columns),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Query = Annotated[str, AfterValidator(_one_statement)]
Zone = Annotated[str, AfterValidator(_known_zone)]
ModifiedAs = Literal["epoch_s", "epoch_ms", "sequence"]


class _SqlTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


class SqlSource(_SqlTable):
    """Keys of `[sources.X]` with `connector = "sql"`."""

    url: SecretRef = Field(
        description="The database's address: postgresql://user@host/database, mysql://…, mariadb://…, "
        "sqlite:///path, or any other SQLAlchemy URL whose driver is installed. It may hold a password, so it is a "
        "secret."
    )
    timeout: Duration = Field(
        timedelta(minutes=5),
        ge=timedelta(milliseconds=100),
        le=timedelta(days=1),
        description="How long one statement may run before it is cancelled; the poll then fails and is tried later.",
    )
    connect_timeout: Duration = Field(
        timedelta(seconds=10),
        ge=timedelta(milliseconds=100),
        le=timedelta(minutes=10),
        description="How long to wait for a connection (SQLite: for a lock).",
    )


class _TableOrQuery(_SqlTable):
    """A table or a query; exactly one of them."""

    table: TableName | None = Field(
        None,
        description='The table or view to read, with its schema where it needs one: "crm.companies". A name that '
        """itself holds a dot stands in the quotes of SQL: '"my.schema"."my.table"'.""",
    )
    query: Query | None = Field(
        None,
        description="Instead of table: one SELECT statement, used as a subquery. It must yield the columns named "
        "here and those that the mapping reads, without LIMIT or ORDER BY.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> _TableOrQuery:
        if (self.table is None) == (self.query is None):
            raise ValueError("needs exactly one of table and query")
        return self


class SqlStream(_TableOrQuery):
    """Keys of `[sources.X.streams.Y]`."""

    key: KeyColumns = Field(
        description="The column that identifies a row, or a list of several that identify it together: "
        '["tenant", "number"]. Unique, never NULL, never reused. Under a collation that ignores case it must be unique '
        "without regard to case."
    )
    modified: Identifier | None = Field(
        None,
        description="The column that says when a row last changed; it should be indexed. Without it every poll reads "
        "the whole table.",
    )
    zone: Zone = Field(
        "UTC",
        description='The time zone of a modified column that knows none: a name such as "Europe/Berlin", or an offset '
        'such as "+02:00".',
    )
    modified_as: ModifiedAs | None = Field(
        None,
        description="What a modified column of numbers holds: seconds since 1970 (epoch_s), milliseconds (epoch_ms), "
        "or a number that grows with every change of any row (sequence).",
    )

    listen: Identifier | None = Field(
        None,
        description="PostgreSQL only: a channel of NOTIFY. The stream is polled as soon as something is announced "
        "there, and on its schedule as well.",
    )

    @model_validator(mode="after")
    def _modified_as_needs_modified(self) -> SqlStream:
        if self.modified_as is not None and self.modified is None:
            raise ValueError("modified_as says what the modified column holds, but modified is not set")
        return self

    def bookkeeping(self) -> frozenset[str]:
        """Return the key and the modified column."""
        return frozenset(self.key) | ({self.modified} if self.modified else set())


class SqlChild(_TableOrQuery):
    """Keys of `[sources.X.streams.Y.children.Z]`: rows nested into their parent's record as the list Z."""

    parent: KeyColumns = Field(
        description="The child's column that holds its parent's key, or a list of as many columns as that key has; it "
        "should be indexed."
    )
    key: KeyColumns = Field(description="The child's column that identifies a row, or a list of several.")
    modified: Identifier | None = Field(
        None,
        description="The child's column that says when a row last changed: a changed child re-reads its parent. "
        "Without it, changes of children are noticed only when their parent changes or is re-read.",
    )
    zone: Zone | None = Field(None, description="As the stream's zone, which is the default.")
    modified_as: ModifiedAs | None = Field(None, description="As the stream's modified_as, for the child's column.")

    @model_validator(mode="after")
    def _modified_as_needs_modified(self) -> SqlChild:
        if self.modified_as is not None and self.modified is None:
            raise ValueError("modified_as says what the modified column holds, but modified is not set")
        return self


def mismatches(stream: Mapping[str, Json]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield the keys of a raw stream table that do not fit each other: (path below the stream, what, cure)."""
    if _date_without_times(stream):
        what = "a date needs a modified column that holds times: without one nobody can tell what is older"
        yield ("start",), what, 'use "all" or "now"'
    wanted, children = _count_of_columns(stream.get("key")), stream.get("children")
    for name, child in children.items() if isinstance(children, dict) else ():
        found = _count_of_columns(child.get("parent")) if isinstance(child, dict) else 0
        if wanted and found and wanted != found:
            what = f"names {found} column{'s' if found > 1 else ''}, but the stream's key has {wanted}"
            hint = "name the child's columns that hold the parent's key, in the order of that key"
            yield ("children", name, "parent"), what, hint


def _count_of_columns(value: Json) -> int:
    return len(value) if isinstance(value, list) else int(isinstance(value, str))


def _date_without_times(stream: Mapping[str, Json]) -> bool:
    """Return whether `start` is a date although the records' own times are not known."""
    has_times = "modified" in stream and stream.get("modified_as") != "sequence"
    return "start" in stream and stream["start"] not in ("all", "now") and not has_times
