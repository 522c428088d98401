"""The files that `init` writes: one to start from for each kind of database, and one for a given table with its
children and a mapping guessed from the names of its columns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from string import Template

from connectors.sql.connection import Database
from connectors.sql.engines import parse_url
from connectors.sql.guess import Guess, guess_contact, guess_lead, quoted
from connectors.sql.options import SqlSource
from connectors.sql.sketch import Sketch, SketchedChild, SketchedTable

_FROM_ENVIRONMENT = '{ env = "DATABASE_URL" }'
_STARTERS: Mapping[str, str] = {
    "sqlite": """\
url = "sqlite:///sample.db"                          # the file, relative to where the program is started
""",
    "postgresql": f"""\
url = {_FROM_ENVIRONMENT}                       # such as postgresql://reader:PASSWORD@db.example.com/crm
""",
    "mysql": f"""\
url = {_FROM_ENVIRONMENT}                       # such as mysql://reader:PASSWORD@db.example.com/crm
""",
}
"""How each kind of database is addressed in the file to start from, which has the first of these lines."""

_HEAD = """\
# closingdealz-sync reads $table and creates its rows as leads in ClosingDealz. `init --from` guessed the mapping from
# the names of the columns: read it line by line, then run closingdealz-sync check and preview.
# Every option: closingdealz-sync init --example

[workspaces.main]
api_key = { env = "CLOSINGDEALZ_API_KEY" }           # or { file = "PATH" }, or { credential = "NAME" } under systemd

[ledger]
path = "ledger.db"                                   # what was read and sent; keep it as long as the workspace

[sources.crm]
connector = "sql"
url = $url
"""


def starters() -> Mapping[str, str]:
    """Return the file to start from for each kind of database, SQLite first."""
    text = files(__package__).joinpath("starter.toml").read_text(encoding="utf-8")
    return {kind: text.replace(_STARTERS["sqlite"], line) for kind, line in _STARTERS.items()}


def address(url: str) -> str:
    """Return the URL as TOML: as it stands if it only names a file, else by an environment variable. Raises
    ValueError, without quoting the URL."""
    parsed = parse_url(url)
    # Any option of a URL may be a secret (`sslpassword`), so only a bare path is written down.
    is_file = not parsed.host and not parsed.username and not parsed.password and not parsed.query
    return _text(url) if is_file else _FROM_ENVIRONMENT


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """Open the database of the URL, and close it again. Raises SourceUnavailable, SourceRefused."""
    database = Database("--from", parse_url(url), SqlSource.model_validate({"url": url}))
    try:
        yield database
    finally:
        database.close()


def draft(sketch: Sketch, url: str) -> str:
    """Return the file's text; `url` is TOML, such as `{ env = "DATABASE_URL" }`."""
    main = sketch.main
    name = stream_name(main.table.name)
    people = list(_people(sketch))
    guess = guess_lead(main.table.name, _families(main))
    parts = [Template(_HEAD).substitute(table=_comment(main.table.spelled), url=url)]
    parts.append("\n".join([f"[sources.crm.streams.{name}]", *_relation(main), *_choices(), ""]))
    parts += [
        "\n".join([f"[sources.crm.streams.{name}.children.{child_name}]", *_child(child), ""])
        for child_name, child, _ in people
    ]
    parts.append("\n".join([f"[sources.crm.streams.{name}.lead]", *_lead(guess), *_others(sketch, people)]))
    contacts = [("[@]", Guess("contact", guess.own_contact))] if guess.own_contact else []
    contacts += [(quoted(child_name), contact) for child_name, _, contact in people]
    for items, contact in contacts:
        lines = [f"[[sources.crm.streams.{name}.lead.contacts]]", f"from = {_text(items)}", *_fields(contact.fields)]
        parts.append("\n".join([*lines, *_where(contact.where)]))
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def stream_name(table: str) -> str:
    """Return the stream's name in the file for a table of that name."""
    name = re.sub(r"[^a-z0-9]+", "_", table.lower()).strip("_")[:40]
    return name if name and not name[0].isdigit() else f"t_{name}".rstrip("_")


def _people(sketch: Sketch) -> Iterator[tuple[str, SketchedChild, Guess]]:
    """Yield the children that look like people: the name of each in the file, the child, and its contact."""
    taken = {column.name for column in sketch.main.columns}
    for child in sketch.children:
        contact = guess_contact(_families(child.of))
        if contact is None:
            continue
        same = child.of.table.place == sketch.main.table.place
        name = "contacts" if same else stream_name(child.of.table.name)
        # A child is nested into the record under its name and would hide a column of that name.
        while name in taken:
            name += "_rows"
        taken.add(name)
        yield name, child, contact


def _families(table: SketchedTable) -> Mapping[str, str]:
    return {column.name: column.family for column in table.columns}


def _relation(table: SketchedTable) -> Iterator[str]:
    yield f"table = {_text(table.table.spelled)}"
    yield f"key = {_names(table.key)}" + ("" if table.key_declared else "  # not declared unique: is it?")
    yield from _modified(table)


def _modified(table: SketchedTable) -> Iterator[str]:
    found = table.modified
    if found is None:
        yield '# modified = "…"                                   # optional, and none was found: polls read all rows'
        return
    yield f"modified = {_text(found.column.name)}  # newest: {_comment(found.newest.partition(' (')[0])}"
    if found.modified_as:
        yield f"modified_as = {_text(found.modified_as)}"
    elif found.column.family in ("naive", "date"):
        yield '# zone = "Europe/Berlin"                            # such times know no zone: UTC, if this is left out'


def _choices() -> Iterator[str]:
    yield 'start = "now"                                        # what is there is taken as known; "all" sends it, too'
    yield 'on_change = "hold"                                   # a record that changes later is listed, not sent again'


def _child(child: SketchedChild) -> Iterator[str]:
    if not child.declared:
        yield f"# No foreign key says so: the name of {_comment(' + '.join(child.parent))} does. Is it right?"
    yield f"table = {_text(child.of.table.spelled)}"
    yield f"parent = {_names(child.parent)}"
    yield f"key = {_names(child.of.key)}"
    yield from (line for line in _modified(child.of) if not line.startswith("#"))


def _lead(guess: Guess) -> Iterator[str]:
    yield f"kind = {_text(guess.kind)}"
    yield from _where(guess.where)
    if "name" not in guess.fields:
        yield '# name = "…"                                       # which column? Without a name no lead is sent'
    yield from _fields(guess.fields)
    yield """labels = ["'crm'"]"""
    if guess.notes:
        yield f"# notes = {_text(guess.notes)}  # free text: is it meant for others?"


def _where(conditions: Sequence[str]) -> Iterator[str]:
    if conditions:
        yield f"# where = {_text(' && '.join(conditions))}  # look at the values, then take the # away"


def _fields(fields: Mapping[str, str | list[str]]) -> Iterator[str]:
    for key, value in fields.items():
        yield f"{key} = {json.dumps(value, ensure_ascii=False)}"


def _others(sketch: Sketch, people: Sequence[tuple[str, SketchedChild, Guess]]) -> Iterator[str]:
    used = [child for _, child, _ in people]
    rest = [child for child in sketch.children if child not in used and child.declared][:8]
    if rest:
        listed = ", ".join(f"{child.of.table.spelled} ({' + '.join(child.parent)})" for child in rest)
        yield f"# Other tables that refer to it, which may be children, too: {_comment(listed)}"


def _names(columns: Sequence[str]) -> str:
    return _text(columns[0]) if len(columns) == 1 else json.dumps(list(columns), ensure_ascii=False)


def _text(text: str) -> str:
    """Return a TOML string: JSON's escapes are valid in TOML, too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    """Return the text on one line without unprintable characters, which names in a database may hold."""
    return "".join(one if one.isprintable() else "?" for one in text)
