"""`closingdealz-sync discover`: what a source has to be read, by the names that a mapping uses."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.commands.options import config_option, json_option

if TYPE_CHECKING:  # --help does without them
    from connectors.interface import Discovered


@click.command()
@json_option
@click.argument("source")
@click.argument("name", required=False, metavar="[OBJECT]")
@config_option
def discover(as_json: bool, source: str, name: str | None, config: Path | None) -> None:
    """Show the objects of SOURCE, or the fields of its OBJECT with their types and labels.

    Of a database: its tables and views with their sizes, or the columns of one. No record is read, only the newest
    value of columns that look like the time of a change.
    """
    from connectors.interface import Discovers
    from sync.config.load import find_config, load_config
    from sync.reports.phrases import did_you_mean
    from sync.streams import open_source

    loaded = load_config(find_config(config))
    if source not in loaded.sources:
        known = list(loaded.sources)
        raise click.UsageError(f"There is no source {source!r} in {loaded.path}.{did_you_mean(source, known)}")
    connector = open_source(loaded, source)
    try:
        if not isinstance(connector, Discovers):
            raise click.UsageError(f"A source of the kind {loaded.sources[source].connector!r} cannot show that.")
        found = connector.discover(name)
    finally:
        connector.close()
    if as_json:
        rows = [{"name": each.name, "label": each.label, "type": each.type, "remark": each.remark} for each in found]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _print(found)


def _print(found: Sequence[Discovered]) -> None:
    if not sys.stdout.isatty():
        widths = [max((len(text) for text in column), default=0) for column in zip(*map(_cells, found), strict=True)]
        for each in found:
            padded = [text.ljust(width) for text, width in zip(_cells(each), widths, strict=True)]
            click.echo("  ".join([*padded, each.remark]).rstrip())
        return
    from rich.console import Console

    from sync.reports.tables import table

    shown = table("name", "type", "label", "remark", leading=0)
    for each in found:
        shown.add_row(*_cells(each), each.remark)
    Console().print(shown, markup=False)


def _cells(of: Discovered) -> tuple[str, str, str]:
    from sync.reports.phrases import printable

    return printable(of.name), printable(of.type), printable(of.label)
