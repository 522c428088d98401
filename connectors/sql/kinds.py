"""The possible values of the columns that a mapping reads, as the database declares them, for `check`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, text

from connectors.interface import FieldKind, FieldType
from connectors.sql.columns import StreamColumns
from connectors.sql.connection import Database
from connectors.sql.records import SqlReadPlan, columns_of
from connectors.sql.statements import Relation, one_row
from connectors.sql.values import as_bit, as_bool, as_json
from sync.shared.words import Wanted

Kinds = dict[str, FieldKind]


def kinds_of(database: Database, columns: StreamColumns, plan: SqlReadPlan) -> Mapping[tuple[str, ...], FieldKind]:
    """Return the kinds of the wanted columns by path; columns of unknown kind are left out."""
    finder = _KindFinder(database, columns, plan.spec.name)
    children = {child.name for child in plan.children}
    found: dict[tuple[str, ...], FieldKind] = {}
    found |= {(name,): kind for name, kind in finder.at(plan.relation, plan.wanted, children).items()}
    for child in plan.children:
        found |= {(child.name, name): kind for name, kind in finder.at(child.relation, child.wanted, set()).items()}
    return found


class _KindFinder:
    def __init__(self, database: Database, columns: StreamColumns, stream: str) -> None:
        self._database = database
        self._columns = columns
        self._stream = stream

    def at(self, relation: Relation, wanted: Wanted, children: set[str]) -> Kinds:
        names = [name for name in columns_of(wanted) if name not in children]
        everything = wanted.fields is None
        if not names and not everything:
            return {}
        if self._database.backend == "sqlite":
            return self._sqlite(relation, None if everything else names)
        described = self._database.run(one_row(relation, names, everything, limit=0), self._stream).columns
        named = list(zip([*names, *(str(one[0]) for one in described[len(names) :])], described, strict=True))
        if self._database.backend == "postgresql":
            return self._postgresql(named)
        return self._mysql(relation, named) if self._database.backend == "mysql" else {}

    def _sqlite(self, relation: Relation, names: Sequence[str] | None) -> Kinds:
        """Return the kinds of a table's columns: those of a query have no declared type."""
        if relation.query is not None:
            return {}
        sql = text("SELECT name, type FROM pragma_table_info(:name, :schema)")
        sql = sql.bindparams(name=relation.name, schema=relation.schema or "main")
        declared = {str(row[0]): str(row[1]) for row in self._database.run(sql, self._stream).rows}
        # SQLite finds columns in any case of letters.
        folded = {name.casefold(): kind for name, kind in declared.items()}
        wanted = declared if names is None else {name: folded.get(name.casefold(), "") for name in names}
        return {name: kind for name, type_ in wanted.items() if (kind := _sqlite_kind(type_.upper()))}

    def _postgresql(self, named: Sequence[tuple[str, Any]]) -> Kinds:
        from connectors.sql import postgresql

        types: dict[int, FieldType] = {16: "boolean", postgresql.NUMERIC: "decimal", postgresql.DATE: "date"}
        types.update(dict.fromkeys(postgresql.INTEGERS, "integer"))
        types.update(dict.fromkeys(postgresql.FLOATS, "number"))
        # 705 is `unknown`, a literal that was not cast: nothing is declared.
        types.update(dict.fromkeys(postgresql.TEXTS - {705}, "text"))
        types.update(dict.fromkeys(postgresql.BITS, "bits"))
        types |= {postgresql.TIMESTAMP: "time", postgresql.TIMESTAMPTZ: "time"}
        found = {
            name: FieldKind(kind, length=one[2] if kind == "text" else None)
            for name, one in named
            if (kind := types.get(one[1]))
        }
        # Types of users have no fixed numbers: the catalog tells which are enumerations.
        enums = self._enums({one[1] for _, one in named} - types.keys())
        return found | {name: FieldKind("text", enums[one[1]]) for name, one in named if one[1] in enums}

    def _enums(self, codes: set[int]) -> Mapping[int, Mapping[str, str]]:
        """Return the labels of those types that are enumerations."""
        if not codes:
            return {}
        sql = text("SELECT enumtypid, enumlabel FROM pg_enum WHERE enumtypid IN :codes ORDER BY enumsortorder")
        sql = sql.bindparams(bindparam("codes", sorted(codes), expanding=True))
        found: dict[int, dict[str, str]] = {}
        for code, label in self._database.run(sql, self._stream).rows:
            found.setdefault(int(code), {})[str(label)] = str(label)
        return found

    def _mysql(self, relation: Relation, named: Sequence[tuple[str, Any]]) -> Kinds:
        converters = self._columns.converters(relation, [one for _, one in named])
        found: Kinds = {}
        for (name, one), convert in zip(named, converters, strict=True):
            if convert in (as_bool, as_bit):
                found[name] = FieldKind("boolean")
            # MariaDB's JSON is declared as text, and its values are parsed.
            elif convert is not as_json and (kind := _mysql_kind(one[1])):
                found[name] = FieldKind(kind)
        if relation.query is None and found:
            found |= self._declared(relation, found)
        return found

    def _declared(self, relation: Relation, found: Kinds) -> Iterator[tuple[str, FieldKind]]:
        """Yield what the catalog adds: the members of ENUM and SET, and lengths."""
        sql = text(
            "SELECT column_name, data_type, column_type, character_maximum_length FROM information_schema.columns "
            "WHERE table_name = :name AND table_schema = coalesce(:schema, database())"
        ).bindparams(name=relation.name, schema=relation.schema)
        rows = {str(row[0]).casefold(): row for row in self._database.run(sql, self._stream).rows}
        for name, kind in found.items():
            # MySQL finds columns in any case of letters.
            row = rows.get(name.casefold())
            if row is None or kind.type != "text":
                continue
            if str(row[1]).lower() in ("enum", "set"):
                members = [member.replace("''", "'") for member in _MEMBER.findall(str(row[2]))]
                yield name, FieldKind("text", {member: member for member in members}, several=row[1].lower() == "set")
            elif str(row[1]).lower() in ("char", "varchar"):
                yield name, FieldKind("text", length=int(row[3]))


_MEMBER = re.compile(r"'((?:[^']|'')*)'")


def _sqlite_kind(declared: str) -> FieldKind | None:
    """Return the kind by the rules of SQLite's affinities; the length of VARCHAR(n) means nothing there."""
    # https://www.sqlite.org/datatype3.html#determination_of_column_affinity
    words: tuple[tuple[str, FieldType], ...] = (("BOOL", "boolean"), ("INT", "integer"))
    words += (("CHAR", "text"), ("CLOB", "text"), ("TEXT", "text"))
    words += (("REAL", "number"), ("FLOA", "number"), ("DOUB", "number"))
    return next((FieldKind(kind) for word, kind in words if word in declared), None)


def _mysql_kind(code: int) -> FieldType | None:
    """Return the kind of a MySQL type code; None where values of any kind may come."""
    from pymysql.constants import FIELD_TYPE

    from connectors.sql import mysql

    if code in mysql.INTEGERS or code == FIELD_TYPE.BIT:
        return "integer"
    if code in (FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE):
        return "number"
    if code in (FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL):
        return "decimal"
    if code in mysql.DATES:
        return "date"
    if code in (mysql.DATETIME, mysql.TIMESTAMP):
        return "time"
    texts = (FIELD_TYPE.STRING, FIELD_TYPE.VAR_STRING, FIELD_TYPE.VARCHAR, FIELD_TYPE.BLOB)
    return "text" if code in texts else None
