"""Tables, columns and keys as a database declares them, and their names as plain words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from connectors.sql.statements import Relation

Family = Literal["boolean", "number", "text", "date", "naive", "zoned", "json", "other"]
"""The family of a column's declared type; `naive` and `zoned` are timestamps."""

TABLE, VIEW, MATERIALIZED, FOREIGN, PARTITIONED = (
    "table",
    "view",
    "materialized view",
    "foreign table",
    "partitioned table",
)


@dataclass(frozen=True, slots=True)
class Listed:
    """A table or view. `schema` is None in the schema where names are looked up first; `rows` is an estimate."""

    schema: str | None
    name: str
    kind: str = TABLE
    rows: int | None = None
    comment: str = ""

    @property
    def place(self) -> tuple[str | None, str]:
        """Return what identifies the table: schema and name."""
        return self.schema, self.name

    @property
    def relation(self) -> Relation:
        return Relation(self.spelled, None)

    @property
    def parts(self) -> tuple[str, ...]:
        """Return schema (if there is one) and name."""
        return tuple(part for part in (self.schema, self.name) if part)

    @property
    def spelled(self) -> str:
        """Return the name as the option `table` takes it; a part that holds a dot or begins with a quote is quoted."""
        return ".".join(map(_spelled, self.parts))


def _spelled(part: str) -> str:
    return '"' + part.replace('"', '""') + '"' if "." in part or part.startswith(('"', "`", "[")) else part


@dataclass(frozen=True, slots=True)
class Column:
    """A column as declared: `type` in the database's own words, in lower case."""

    name: str
    type: str
    family: Family
    nullable: bool = True
    comment: str = ""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """`columns` of the table `of` refer to `referred` of the table `to`."""

    of: Listed
    columns: tuple[str, ...]
    to: Listed
    referred: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableShape:
    """One table's columns and keys; None where they cannot be determined."""

    columns: tuple[Column, ...] | None
    primary: tuple[str, ...] | None
    uniques: tuple[tuple[str, ...], ...] | None
    indexes: tuple[tuple[str, ...], ...] | None

    def is_unique(self, key: Sequence[str]) -> bool | None:
        """Return whether the database guarantees that no two rows share this key; None where that cannot be
        determined."""
        key = self._declared(key)
        if any(set(unique) <= set(key) for unique in [self.primary or (), *(self.uniques or ())] if unique):
            return True
        return None if self.primary is None or self.uniques is None else False

    def is_indexed(self, columns: Sequence[str]) -> bool | None:
        """Return whether an index begins with these columns, in any order; None where that cannot be determined."""
        columns = self._declared(columns)
        starts = [self.primary or (), *(self.uniques or ()), *(self.indexes or ())]
        if any(set(start[: len(columns)]) == set(columns) for start in starts):
            return True
        return None if self.primary is None or self.uniques is None or self.indexes is None else False

    def _declared(self, names: Sequence[str]) -> list[str]:
        """Return the names as the columns are declared: most databases take them in any case of letters."""
        declared = [column.name for column in self.columns or ()]
        # Declared names may differ in case only: an exact match wins.
        folded = {name.casefold(): name for name in declared}
        return [name if name in declared else folded.get(name.casefold(), name) for name in names]


_FAMILIES: tuple[tuple[Family, tuple[str, ...]], ...] = (
    ("boolean", ("bool", "tinyint(1)")),
    ("zoned", ("timestamp with time zone", "timestamptz", "timestamp_tz", "datetimeoffset")),
    ("naive", ("timestamp", "datetime", "smalldatetime")),
    ("date", ("date",)),
    ("json", ("json",)),
    ("other", ("interval", "point", "bit")),
    ("number", ("int", "bigint", "smallint", "tinyint", "mediumint", "hugeint", "uinteger", "ubigint", "serial")),
    ("number", ("bigserial", "numeric", "decimal", "number", "float", "double", "real", "money", "year")),
    ("text", ("char", "varchar", "nchar", "nvarchar", "text", "tinytext", "mediumtext", "longtext", "ntext")),
    ("text", ("clob", "string", "citext", "enum", "character", "name", "varchar2", "nvarchar2", "domain")),
)


def family_of(declared: str, *, mysql: bool = False) -> Family:
    """Return the family of a declared type, given in lower case.

    In MySQL and MariaDB a `timestamp` knows its zone, and a single bit is true or false (PostgreSQL's is text).
    """
    if mysql and declared.startswith("timestamp"):
        return "zoned"
    # Drivers give it as b'\x01', and ORMs declare booleans so.
    if mysql and declared == "bit(1)":
        return "boolean"
    if "with time zone" in declared or "with local time zone" in declared:
        return "zoned" if declared.startswith("timestamp") else "other"
    if declared.endswith("[]"):
        return "other"
    # The order counts: `timestamptz` also begins with `timestamp`, `datetime` with `date`, `tinyint(1)` with `tinyint`.
    return next((family for family, starts in _FAMILIES if declared.startswith(starts)), "other")


def words_of(name: str) -> str:
    """Return a name in lower-case words without accents: `lastModifiedAt`, `LAST_MODIFIED_AT` and `last modified at`
    are the same."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    plain = "".join(one for one in unicodedata.normalize("NFKD", split) if not unicodedata.combining(one))
    return " ".join(re.findall(r"[a-z]+|\d+", plain.casefold().replace("ß", "ss")))
