"""`init --from`: reads a database's schema, and writes a stream for one table or lists the likely ones."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import click

from connectors.sql.connection import Database
from connectors.sql.engines import parse_url
from connectors.sql.options import SqlSource
from connectors.sql.sketch import all_columns, sketch
from sync.config.draft import draft
from sync.config.guess import likeliness
from sync.views.phrases import printable

_SHOWN = 30
"""The most tables in a list."""


def drafted(source: str, table: str) -> str:
    """Return the text of a configuration file. Raises click.UsageError, SourceUnavailable, SourceRefused."""
    url, written = _url(source)
    with _database(url) as database:
        return draft(sketch(database, table), written)


def candidates(source: str) -> str:
    """Return the tables that look like companies or contacts, as text. Raises as `drafted`."""
    url, _ = _url(source)
    with _database(url) as database:
        found = all_columns(database)
    ranked = sorted(found, key=lambda one: (-likeliness(one.name, found[one]), one.spelled))
    likely = [one for one in ranked if likeliness(one.name, found[one])][:_SHOWN]
    shown = likely or ranked[:_SHOWN]
    if not shown:
        return "There is no table or view that this user may see."
    width = max(len(printable(one.spelled)) for one in shown)
    rows = [f"about {one.rows:,} rows" if one.rows else "" for one in shown]
    example = f"closingdealz-sync init --from {shlex.quote(_shown(source))} {shlex.quote(printable(shown[0].spelled))}"
    return "\n".join(
        [
            "These look like companies or contacts:"
            if likely
            else "Nothing looks like companies or contacts. There are:",
            *(
                f"  {printable(one.spelled).ljust(width)}  {one.kind}  {size}".rstrip()
                for one, size in zip(shown, rows, strict=True)
            ),
            *([f"  and {len(found) - len(shown):,} more"] if len(found) > len(shown) else []),
            f"Then: {example}",
        ]
    )


def _url(source: str) -> tuple[str, str]:
    """Return the URL, and its spelling for the file, which never has a password. Raises click.UsageError."""
    is_variable = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", source) is not None
    text = os.environ.get(source, "").strip() if is_variable else source
    if not text:
        raise click.UsageError(f"The environment variable {source} is not set, and {source} is no URL.")
    try:
        url = parse_url(text)
    except ValueError as error:
        where = f"The environment variable {source}" if is_variable else "What --from names"
        raise click.UsageError(f"{where} {error}.") from None
    if is_variable:
        return text, f'{{ env = "{source}" }}'
    is_file = not url.host and not url.username and not url.password and not url.query
    return text, json.dumps(text, ensure_ascii=False) if is_file else '{ env = "DATABASE_URL" }'


def _shown(source: str) -> str:
    """Return what to repeat of --from in an example: never a URL, which may hold a password."""
    return source if "://" not in source else "URL"


@contextmanager
def _database(url: str) -> Iterator[Database]:
    database = Database("--from", parse_url(url), SqlSource.model_validate({"url": url}))
    try:
        yield database
    finally:
        database.close()
