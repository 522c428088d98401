"""`closingdealz-sync ledger import`: tells the ledger which leads are in ClosingDealz already."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from sync.commands.asking import ask
from sync.commands.click_options import config_option, json_option, yes_option
from sync.commands.loading import load
from sync.commands.output import print_json, print_lines

if TYPE_CHECKING:  # --help does without them
    from state.ledger import Ledger
    from sync.commands.leads_csv import CsvLayout, CsvRow
    from sync.config.schema import Config
    from sync.mapping.identity import IdentityKind

ImportMode = Literal["add", "dry run", "forget"]

_AT_ONCE = 1000
"""Rows written in one transaction: the daemon's own transactions wait meanwhile."""
_LINES_SHOWN = 20
_LARGE = 1 << 20
"""File size in bytes from which a terminal shows a progress bar."""


@dataclass(slots=True)
class ImportFigures:
    """The figures of an import.

    `new`: values that were not known yet; `again`: unsent records with such a value, which are judged again; `known`:
    the records that would become known, by stream; `removed`: values taken out.
    """

    rows: int = 0
    values: int = 0
    unusable: int = 0
    lines: list[int] = field(default_factory=list)
    new: int = 0
    again: int = 0
    known: dict[str, set[str]] = field(default_factory=dict)
    removed: int = 0

    def count(self, rows: Sequence[CsvRow]) -> None:
        """Add rows of the file to the figures."""
        unusable = [row.line for row in rows if not row.identities]
        self.rows += len(rows)
        self.values += sum(len(row.identities) for row in rows)
        self.unusable += len(unusable)
        self.lines += unusable[: _LINES_SHOWN - len(self.lines)]


@click.command("import")
@click.option("--csv", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
@click.option(
    "--workspace", metavar="NAME", help="The workspace that holds these leads; required if there are several."
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="KIND=NAME",
    help="The column that holds KIND: email, domain or phone; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Show which records would become known; write nothing.")
@click.option(
    "--forget", is_flag=True, help="Remove the file's values again; without --csv, everything that was imported."
)
@yes_option
@json_option
@config_option
def import_(
    path: Path | None,
    workspace: str | None,
    columns: tuple[str, ...],
    config: Path | None,
    *,
    dry_run: bool,
    forget: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Read from a CSV which leads are in ClosingDealz already, so that no record creates them again.

    A record whose e-mail address is there becomes known instead of being sent, and so does a company whose domain is,
    whatever its stream's match_on; phone numbers count where match_on names them. Columns are found by their names
    (email, website, phone …), and a cell may hold several values. Only keyed hashes are kept. Works beside the daemon,
    and before its first start.
    """
    from sync.commands.choose import choose_workspace

    if dry_run and (forget or path is None):
        raise click.UsageError("--dry-run needs --csv, and cannot be combined with --forget.")
    if path is None and not forget:
        raise click.UsageError("Name the file with --csv.")
    loaded = load(config)
    name, named = choose_workspace(loaded, workspace), _named(columns)
    if path is None and not yes:
        what = f"Everything that was imported for workspace {name} is removed: those leads may be created again."
        ask(what, "Forget it?")
    way: ImportMode = "dry run" if dry_run else "forget" if forget else "add"
    figures, layout = _read(loaded, name, path, named, way) if path else (_clear(loaded, name), None)
    if as_json:
        print_json(_as_json(figures, layout, name))
        return
    print_lines(_as_lines(figures, layout, name, way))


def _named(columns: Sequence[str]) -> dict[IdentityKind, list[str]]:
    from sync.commands.leads_csv import KINDS

    found: dict[IdentityKind, list[str]] = {}
    for each in columns:
        kind, _, name = each.partition("=")
        if kind not in KINDS or not name.strip():
            raise click.UsageError("Write --column KIND=NAME, where KIND is email, domain or phone.")
        found.setdefault(kind, []).append(name.strip())
    return found


def _clear(config: Config, workspace: str) -> ImportFigures:
    from state.ledger import Ledger
    from state.matching.foreign import Foreign

    with Ledger(config.ledger_path) as ledger:
        return ImportFigures(removed=Foreign(ledger.file).clear(workspace))


def _read(
    config: Config, workspace: str, path: Path, named: Mapping[IdentityKind, Sequence[str]], way: ImportMode
) -> tuple[ImportFigures, CsvLayout]:
    from sync.commands.leads_csv import layout_of, rows_of

    layout, figures = layout_of(path, named), ImportFigures()
    with _opened(config, way) as ledger, _progress(path) as progress:
        for rows in _in_parts(rows_of(path, layout, progress=progress)):
            figures.count(rows)
            if ledger:
                _apply(ledger, workspace, rows, way, figures)
    # a file without a single value is the wrong file or column; nothing was written for it
    if not figures.values:
        raise click.UsageError(f"No row of {path} contains anything by which a lead can be recognised.")
    return figures, layout


def _apply(ledger: Ledger, workspace: str, rows: Sequence[CsvRow], way: ImportMode, figures: ImportFigures) -> None:
    from state.matching.foreign import Foreign
    from sync.polling.judge import hashed

    identities = dict.fromkeys(identity for row in rows for identity in row.identities)
    values, foreign = hashed(identities, ledger.hasher), Foreign(ledger.file)
    match way:
        case "add":
            added = foreign.add(workspace, values)
            figures.new += added.values
            figures.again += added.records
        case "forget":
            figures.removed += foreign.remove(workspace, values)
        case "dry run":
            for stream, ids in foreign.meets(workspace, values).items():
                figures.known.setdefault(stream, set()).update(ids)


@contextmanager
def _opened(config: Config, way: ImportMode) -> Iterator[Ledger | None]:
    """Open the ledger. An import may come before the first start, so it creates one; a dry run works without (None)."""
    from sync.engine.ledger_opening import open_ledger, own_ledger, refuse_lost

    # an import must not found a new ledger where one was lost: it would send everything again
    refuse_lost(config)
    is_there = config.ledger_path.exists()
    if way == "dry run" and not is_there:
        yield None
        return
    with own_ledger(config) if way == "add" and not is_there else open_ledger(config) as ledger:
        if ledger.is_new:
            click.echo(f"there was no ledger yet: made {ledger.path}", err=True)
        yield ledger


@contextmanager
def _progress(path: Path) -> Iterator[Callable[[int], None]]:
    size = path.stat().st_size
    if size < _LARGE or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=size, label="reading", file=sys.stderr) as bar:
        yield lambda position: bar.update(position - bar.pos) if position > bar.pos else None


def _in_parts(rows: Iterable[CsvRow]) -> Iterator[list[CsvRow]]:
    ahead = iter(rows)
    while part := list(islice(ahead, _AT_ONCE)):
        yield part


def _as_json(figures: ImportFigures, layout: CsvLayout | None, workspace: str) -> dict[str, Any]:
    """Return the figures as JSON; all keys are always there."""
    return {
        "workspace": workspace,
        "columns": {kind: list(names) for kind, names in layout.names.items()} if layout else {},
        "rows": figures.rows,
        "values": figures.values,
        "unusable": {"rows": figures.unusable, "lines": figures.lines},
        "new": figures.new,
        "judged_again": figures.again,
        "would_be_known": {stream: sorted(ids) for stream, ids in sorted(figures.known.items())},
        "removed": figures.removed,
    }


def _as_lines(figures: ImportFigures, layout: CsvLayout | None, workspace: str, way: ImportMode) -> Iterator[str]:
    from sync.views.phrases import count, joined, number, printable

    if layout:
        columns = (f"{kind} from {joined(printable(each) for each in names)}" for kind, names in layout.names.items())
        yield f"read {count(figures.rows, 'row')} with {count(figures.values, 'value')}: {', '.join(columns)}"
    if figures.unusable:
        lines = joined(number(line) for line in figures.lines)
        more = (
            f" and {number(figures.unusable - len(figures.lines))} more"
            if figures.unusable > len(figures.lines)
            else ""
        )
        yield f"{count(figures.unusable, 'row')} without a usable value: line {lines}{more}"
    match way:
        case "add":
            yield f"{count(figures.new, 'value')} new to workspace {workspace}"
            if figures.again:
                yield f"{count(figures.again, 'unsent record')} with one of them: judged again before anything is sent"
        case "forget":
            removed = count(figures.removed, "value")
            yield f"{removed} removed from workspace {workspace}; records that are known stay known"
        case "dry run":
            total = sum(len(ids) for ids in figures.known.values())
            streams = joined(f"{number(len(ids))} of {stream}" for stream, ids in sorted(figures.known.items()))
            yield f"{count(total, 'record')} would become known" + (f": {streams}" if total else "")
            yield "nothing was written"
