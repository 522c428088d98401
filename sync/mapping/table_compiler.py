"""Compiles the tables of a mapping: fields, `where`, `truncate` and `required`, and collects all their problems."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from sync.config.schema import ContactTable, Expression, LeadFields, LeadTable
from sync.mapping.expressions import (
    BadExpression,
    Compiled,
    Node,
    compile_expression,
    nearest,
    walk,
)
from sync.mapping.places import FieldNode, FieldNodes, look, paths_of
from sync.mapping.reads import Compared, trace
from sync.mapping.section import ContactSection, FieldRule, Required, Section
from sync.mapping.wire_fields import CONTACTS, LISTS, WireField
from sync.shared.errors import Problem
from sync.shared.words import Json

# 3: nulls in lists are passed over, sums are exact, a format's year has four digits; more of what people write into a
# field of addresses, web addresses, phones and placeholders is understood or left out.
# 2: values that cannot be used are left out instead of keeping the lead back; one grammar of times; what shows nothing
# is trimmed; addresses are taken out of what people write around them; truth is the databases'.
ENGINE_VERSION = 3
"""Raise it whenever the same mapping makes another lead of the same record. Every stream then takes a new base line, as
after an edit of the mapping, and nothing that was delivered is sent again."""

_CUTTABLE = ("text", "texts")
_COMPANY = ("name",)
_CONTACT = ("name", "last_name", "emails")
_NESTED = ("name", "last_name", "emails", "phones")


@dataclass(slots=True)
class CompileFindings:
    """Everything collected while compiling: problems, fields read, the content of the version, rows for `explain`."""

    where: str
    lookups: Mapping[str, Mapping[str, Json]]
    problems: list[Problem] = field(default_factory=list)
    root: FieldNode = field(default_factory=FieldNode)
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    readers: dict[tuple[str, ...], list[str]] = field(default_factory=dict)
    compared: list[tuple[str, Compared]] = field(default_factory=list)
    """Fields that are held against constants, with the place in the file."""
    bookkeeping: frozenset[str] = frozenset()
    """The source's own columns (key, time of change), which rest() leaves out."""
    version: dict[str, Json] = field(default_factory=lambda: {"engine": ENGINE_VERSION})

    def fault(self, key: str, what: str, hint: str = "") -> None:
        """Note a problem at a key of the table; "" is the table itself."""
        self.problems.append(Problem(f"{self.where}.{key}" if key else self.where, what, hint))

    def must_hold(self, field: str, setting: str) -> None:
        """Require that a field of one of the connector's own filters is true; `setting` is the filter's setting in the
        file."""
        self.root.field(field).whole = True
        self.version[field] = setting
        self.readers[field,] = [f"{self.where.rpartition('.')[0]}.{field.lstrip('@')}"]

    def expression(self, key: str, source: Expression, *, condition: bool = False) -> Compiled | None:
        """Return the compiled expression; None where it has problems, which are noted."""
        try:
            compiled = compile_expression(source, self.lookups, self.read_elsewhere, condition=condition)
        except BadExpression as error:
            for what, hint in error.faults:
                self.fault(key, what, hint)
            return None
        self.version[key] = compiled.node
        # What rest() leaves out affects its result, so it is part of the version.
        if any(node["type"] == "function_expression" and node["value"] == "rest" for node in walk(compiled.node)):
            self.version["rest"] = sorted(self.bookkeeping)
        for name in _lookups_of(compiled.node):
            self.version[f"lookups.{name}"] = dict(self.lookups[name])
        return compiled

    def read_by(self, key: str, *chain: Node) -> None:
        """Note which paths the expression of that key reads. `chain`: the expression, after those whose items it is
        applied to."""
        # A tree of its own: the mapping's tree no longer tells which key reads a path.
        root = FieldNode()
        places: FieldNodes = frozenset({root})
        for node in chain:
            places = trace(node, places, frozenset({root}))
        look(places)
        for path in paths_of(root):
            self.readers.setdefault(path, []).append(f"{self.where}.{key}")

    def trace(self, key: str, node: Node, places: FieldNodes, *, truth: bool = False) -> FieldNodes:
        """Mark the fields that the expression of that key reads, starting from `places`; return the places of its
        result."""
        seen: list[Compared] = []
        found = trace(node, places, frozenset({self.root}), seen, truth=truth)
        self.compared += [(f"{self.where}.{key}", self._with_keys(one)) for one in seen]
        return found

    def _with_keys(self, one: Compared) -> Compared:
        return replace(one, literal=list(self.lookups[str(one.literal)])) if one.how == "lookup" else one

    def read_elsewhere(self) -> Collection[str]:
        """Return the record's fields that rest() leaves out: those read by name, the key, and the modified time."""
        return self.root.fields.keys() | self.bookkeeping

    def digest(self) -> str:
        """Return a digest (16 bytes, in hex) of everything that affects the mapping's results, whatever the order of
        keys."""
        text = json.dumps(self.version, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _lookups_of(node: Node) -> set[str]:
    calls = (part for part in walk(node) if part["type"] == "function_expression" and part["value"] == "lookup")
    return {call["children"][0]["value"] for call in calls}


def lead_section(findings: CompileFindings, table: LeadTable, fields: Mapping[str, WireField]) -> Section:
    """Compile the lead's own table."""
    record = frozenset({findings.root})
    if table.kind == "company":
        default = Required(all_of=_named(_COMPANY, fields))
    else:
        default = Required(any_of=_named(_CONTACT, fields))
    return _TableCompiler(findings, table, fields, record).section(table.where, default)


def contact_section(
    findings: CompileFindings, index: int, table: ContactTable, fields: Mapping[str, WireField]
) -> ContactSection | None:
    """Compile one table of nested contacts; `index` is its position in the file, from 0. Return None if its `from` has
    problems."""
    prefix = f"contacts[{index}]."
    items = findings.expression(f"{prefix}from", table.from_)
    places: FieldNodes = (
        findings.trace(f"{prefix}from", items.node, frozenset({findings.root})) if items else frozenset()
    )
    chain = (items.node,) if items else ()
    # LeadFields has them for both tables, but the API only for leads.
    for key in ("notes", "date"):
        if getattr(table, key) is not None:
            findings.fault(prefix + key, f"a nested contact has no {key}", "map it in the lead's own table")
    default = Required(any_of=_named(_NESTED, fields))
    section = _TableCompiler(findings, table, fields, places, prefix, f"{CONTACTS}[].", chain).section(
        table.where, default
    )
    return ContactSection(items, section) if items else None


def _named(keys: tuple[str, ...], fields: Mapping[str, WireField]) -> tuple[tuple[str, str], ...]:
    return tuple((key, fields[key].name) for key in keys)


@dataclass(frozen=True, slots=True)
class _TableCompiler:
    """Compiles one table. `places`: what its expressions are relative to (reached by the expressions of `chain`);
    `prefix` and `path` precede its keys in the file and on the wire."""

    findings: CompileFindings
    table: LeadFields
    fields: Mapping[str, WireField]
    places: FieldNodes
    prefix: str = ""
    path: str = ""
    chain: tuple[Node, ...] = ()

    def section(self, condition: Expression | None, default: Required) -> Section:
        self.check_truncate()
        rules = [rule for key, value in self.mapped().items() if (rule := self.rule(self.fields[key], value))]
        where: Compiled | None = None
        if condition is not None and (
            compiled := self.findings.expression(f"{self.prefix}where", condition, condition=True)
        ):
            look(self.findings.trace(f"{self.prefix}where", compiled.node, self.places, truth=True))
            self.findings.read_by(f"{self.prefix}where", *self.chain, compiled.node)
            where = compiled
        required = self.required(default)
        # Sorted: the order of keys in the file must not start a new base line.
        keys = [sorted(key for key, _ in pairs) for pairs in (required.all_of, required.any_of)]
        self.findings.version[f"{self.prefix}require"] = keys
        return Section(tuple(rules), where, required)

    def mapped(self) -> dict[str, Expression | list[Expression]]:
        """Return the expressions of the fields that the table maps, by their keys."""
        values = {key: getattr(self.table, key) for key in self.fields}
        return {key: value for key, value in values.items() if value is not None}

    def rule(self, wire_field: WireField, value: Expression | list[Expression]) -> FieldRule | None:
        """Return the rule of one field; None if one of its expressions has problems."""
        key = self.prefix + wire_field.key
        sources = {f"{key}[{i}]": part for i, part in enumerate(value)} if isinstance(value, list) else {key: value}
        truncate = wire_field.key in self.table.truncate
        self.findings.version[f"wire.{key}"] = [wire_field.name, wire_field.member, truncate, list(sources)]
        expressions: list[Compiled] = []
        for place, source in sources.items():
            if (compiled := self.findings.expression(place, source)) is None:
                continue
            look(self.findings.trace(place, compiled.node, self.places))
            self.findings.read_by(place, *self.chain, compiled.node)
            expressions.append(compiled)
            self.findings.rows.append((self.path + wire_field.path, compiled.text, place))
            if compiled.constant:
                self.check_constant(place, FieldRule(wire_field, (compiled,), truncate))
        # The problems are noted; a rule of fewer expressions would report follow-up problems.
        if len(expressions) < len(sources):
            return None
        return FieldRule(wire_field, tuple(expressions), truncate)

    def check_constant(self, place: str, rule: FieldRule) -> None:
        """Report a constant that would be left out of every record: it is a mistake in the file."""
        # Cleaning never looks at the record, so an empty one will do.
        report = Section((rule,), None, Required()).filler()({}, {}, {}, None)
        for note in (*report.problems, *report.warnings) if report else ():
            self.findings.fault(place, note.rule, note.hint)

    def check_truncate(self) -> None:
        cuttable = [key for key, found in self.fields.items() if found.shape in _CUTTABLE]
        for key in self.table.truncate:
            if key in cuttable:
                continue
            if key in self.fields:
                hint = "one that is too long is left out" if self.fields[key].shape in LISTS else ""
                self.findings.fault(
                    f"{self.prefix}truncate", f"{key} cannot be cut without becoming another value", hint
                )
            else:
                self.findings.fault(f"{self.prefix}truncate", f"unknown field {key!r}", nearest(key, cuttable))

    def required(self, default: Required) -> Required:
        """Return the required fields: `required` adds to the default, the older `require` replaces it."""
        if self.table.require is None:
            self.check_default(default)
            return Required(default.all_of + self.named("required", default.all_of), default.any_of)
        if self.table.required:
            hint = "keep required: it adds to the name; require is its older form, which replaces it"
            self.findings.fault(f"{self.prefix}require", "cannot be combined with required", hint)
        return Required(all_of=self.named("require", ()))

    def check_default(self, default: Required) -> None:
        """Report a table that maps none of the fields it needs: it could never send anything."""
        keys = [key for key, _ in default.all_of or default.any_of]
        if not any(key in self.mapped() for key in keys):
            what = f"maps none of {', '.join(keys)}" if len(keys) > 1 else f"does not map {keys[0]}"
            self.findings.fault(self.prefix.rstrip("."), f"{what}: nothing would be sent", f"map {' or '.join(keys)}")

    def named(self, option: str, but: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """Return the fields that a list of the file names, with their wire names, each once."""
        names = {key: found.name for key, found in self.fields.items()} | ({} if self.prefix else {CONTACTS: CONTACTS})
        keys = [key for key in dict.fromkeys(getattr(self.table, option) or ()) if key not in dict(but)]
        for key in keys:
            if key not in names:
                self.findings.fault(f"{self.prefix}{option}", f"unknown field {key!r}", nearest(key, list(names)))
            elif not (key in self.mapped() or (key == CONTACTS and getattr(self.table, CONTACTS))):
                hint = f"map {key}, or take it out of {option}"
                self.findings.fault(f"{self.prefix}{option}", f"{key} is required, but not mapped", hint)
        return tuple((key, names[key]) for key in keys if key in names)
