"""`closingdealz-sync discover`: the objects and fields of a source, by the names that a mapping uses."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.commands.click_options import config_option, json_option
from sync.commands.loading import load
from sync.commands.output import print_json

if TYPE_CHECKING:  # --help does without them
    from connectors.interface import Discovered

_INDENT = "    "
_WIDEST_CODE = 40


@click.command()
@json_option
@click.argument("source")
@click.argument("name", required=False, metavar="[OBJECT]")
@click.argument("field", required=False, metavar="[FIELD]")
@config_option
def discover(as_json: bool, source: str, name: str | None, field: str | None, config: Path | None) -> None:
    """Show the objects of SOURCE, or the fields of its OBJECT with their types, labels and choices, or one FIELD.

    For a database: its tables and views with their sizes, or the columns of one. No record is read, only the newest
    value of columns that look like the time of a change.
    """
    from connectors.interface import Discovers
    from sync.engine.stream_specs import open_source
    from sync.views.phrases import did_you_mean

    loaded = load(config)
    if source not in loaded.sources:
        known = list(loaded.sources)
        raise click.UsageError(f"There is no source {source!r} in {loaded.path}.{did_you_mean(source, known)}")
    connector = open_source(loaded, source)
    try:
        if not isinstance(connector, Discovers):
            raise click.UsageError(
                f"A source of the kind {loaded.sources[source].connector!r} cannot list what it has."
            )
        found = connector.discover(name)
    finally:
        connector.close()
    if field is not None:
        found = _only(found, field, str(name))
    if as_json:
        print_json([_as_json(each) for each in found])
    else:
        _print(found)


def _only(found: Sequence[Discovered], field: str, name: str) -> Sequence[Discovered]:
    """Return the field of that name; one that differs only in case if there is no exact match. Raises
    click.UsageError."""
    from sync.views.phrases import did_you_mean

    exact = [each for each in found if each.name == field]
    alike = [each for each in found if each.name.casefold() == field.casefold()]
    if exact or alike:
        return exact or alike
    raise click.UsageError(f"{name} has no field {field!r}.{did_you_mean(field, [each.name for each in found])}")


def _as_json(of: Discovered) -> dict[str, object]:
    choices = [{"code": code, "label": label} for code, label in of.choices.items()]
    return {"name": of.name, "label": of.label, "type": of.type, "remark": of.remark, "choices": choices}


def _print(found: Sequence[Discovered]) -> None:
    if not sys.stdout.isatty():
        widths = [max((len(text) for text in column), default=0) for column in zip(*map(_cells, found), strict=True)]
        for each in found:
            padded = [text.ljust(width) for text, width in zip(_cells(each), widths, strict=True)]
            click.echo("  ".join([*padded, each.remark]).rstrip())
            _print_choices(each, alone=len(found) == 1)
        return
    from rich.console import Console

    from sync.views.rich_tables import table

    shown = table("name", "type", "label", "remark", leading=0)
    for each in found:
        shown.add_row(*_cells(each), each.remark)
    Console().print(shown, markup=False)
    for each in found:
        if each.choices:
            click.echo(f"\n{_cells(each)[0]}")
            _print_choices(each, alone=len(found) == 1)


def _print_choices(of: Discovered, *, alone: bool) -> None:
    """Print all choices: of a single field as a table, of many fields as a paragraph each."""
    for line in _lines(of.choices) if alone else _paragraph(of.choices):
        click.echo(f"{_INDENT}{line}")


def _lines(choices: Mapping[str, str]) -> Iterator[str]:
    width = min(max((len(code) for code in choices), default=0), _WIDEST_CODE)
    for code, label in _printable(choices):
        yield f"{code.ljust(width)}  {label}".rstrip()


def _paragraph(choices: Mapping[str, str]) -> list[str]:
    said = ", ".join(code if code == label else f"{code} = {label}" for code, label in _printable(choices))
    width = max(shutil.get_terminal_size().columns - len(_INDENT), 40)
    return textwrap.wrap(said, width, break_long_words=False, break_on_hyphens=False)


def _printable(choices: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    from sync.views.phrases import printable

    return ((printable(code), printable(label)) for code, label in choices.items())


def _cells(of: Discovered) -> tuple[str, str, str]:
    from sync.views.phrases import printable

    return printable(of.name), printable(of.type), printable(of.label)
