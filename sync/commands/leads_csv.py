"""Reads the values that identify leads (e-mail, domain, phone) from a CSV: an export of ClosingDealz, or made by hand.

No text made here contains a value of the file: rows are named by their line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, get_args

import click

from sync.mapping.identity import Identity, IdentityKind, recognised

KINDS: tuple[IdentityKind, ...] = get_args(IdentityKind)

_NAMES: Mapping[IdentityKind, frozenset[str]] = {
    "email": frozenset(
        {"email", "emails", "mail", "mails", "emailaddress", "emailaddresses", "emailsaddress", "mailaddress"}
    ),
    "domain": frozenset(
        {
            "domain",
            "domains",
            "website",
            "websites",
            "web",
            "url",
            "urls",
            "webaddress",
            "homepage",
            "social",
            "socials",
        }
    ),
    "phone": frozenset({"phone", "phones", "phonenumber", "phonenumbers", "tel", "telephone", "mobile", "mobilephone"}),
}
"""Known column names, reduced to their letters."""

_SEVERAL = re.compile(r"[;,\r\n]")
"""Separators of several values in one cell."""


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row by the `line` on which it begins; `identities` is empty where it has no usable value."""

    line: int
    identities: tuple[Identity, ...]


@dataclass(frozen=True, slots=True)
class CsvLayout:
    """The delimiter of a file, and the kind of value in each column that is read."""

    delimiter: str
    columns: Mapping[int, IdentityKind]
    names: Mapping[IdentityKind, tuple[str, ...]]


def layout_of(path: Path, named: Mapping[IdentityKind, Sequence[str]]) -> CsvLayout:
    """Find the delimiter and the columns to read.

    `named` gives the columns of some kinds; those of the other kinds are found by their names.

    Raises click.UsageError where no column is found, or one of those named is missing.
    """
    with _opened(path) as file:
        sample = file.read(1 << 16)
    if "\0" in sample:
        raise click.UsageError(f"{path} is not UTF-8 text: save it in that encoding, and try again.")
    # the delimiter that finds most known columns wins; the sniffer alone errs on one-column files
    layouts = [_layout(sample, each, named) for each in dict.fromkeys((*",;\t|^~", _sniffed(sample)))]
    best = max(layouts, key=lambda each: len(each.columns))
    found = {name.casefold() for names in best.names.values() for name in names}
    for kind, names in named.items():
        for name in names:
            if name.casefold() not in found:
                raise click.UsageError(f"The first line of {path} names no column {name!r} (--column {kind}={name}).")
    if not best.columns:
        raise click.UsageError(
            f"The first line of {path} names no column with e-mail addresses, domains or phone numbers: "
            "name it, such as --column email=NAME."
        )
    return best


def rows_of(path: Path, layout: CsvLayout, *, progress: Callable[[int], None] = lambda _: None) -> Iterator[CsvRow]:
    """Yield every row but the header. `progress` is called with the number of bytes read so far.

    Raises click.UsageError where the file is no CSV.
    """
    with _opened(path) as file:
        reader = csv.reader(file, delimiter=layout.delimiter, skipinitialspace=True)
        try:
            next(reader, None)
            line = reader.line_num
            for cells in reader:
                if any(cells):
                    yield CsvRow(line + 1, _identities(cells, layout.columns))
                line = reader.line_num
                progress(file.buffer.tell())
        except csv.Error as error:
            raise click.UsageError(f"{path} is not valid CSV from line {reader.line_num} on: {error}.") from None


def _opened(path: Path) -> TextIO:
    """Open as UTF-8, with or without a byte order mark; other bytes make a cell unusable, not an error."""
    return path.open(encoding="utf-8-sig", errors="replace", newline="")


def _sniffed(sample: str) -> str:
    try:
        return csv.Sniffer().sniff(sample).delimiter
    except csv.Error:
        return ","


def _layout(sample: str, delimiter: str, named: Mapping[IdentityKind, Sequence[str]]) -> CsvLayout:
    try:
        header = next(csv.reader(sample.splitlines(keepends=True), delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        header = []
    columns = {place: kind for place, name in enumerate(header) if (kind := _kind_of(name.strip(), named))}
    names = {kind: tuple(header[place].strip() for place in columns if columns[place] == kind) for kind in KINDS}
    return CsvLayout(delimiter, columns, {kind: found for kind, found in names.items() if found})


def _kind_of(name: str, named: Mapping[IdentityKind, Sequence[str]]) -> IdentityKind | None:
    for kind, names in named.items():
        if name.casefold() in (each.casefold() for each in names):
            return kind
    letters = "".join(character for character in name.casefold() if character.isalpha())
    return next((kind for kind in KINDS if kind not in named and letters in _NAMES[kind]), None)


def _identities(cells: Sequence[str], columns: Mapping[int, IdentityKind]) -> tuple[Identity, ...]:
    found: dict[Identity, None] = {}
    for place, kind in columns.items():
        for text in _SEVERAL.split(cells[place]) if place < len(cells) else ():
            # the mark of what was not UTF-8 must not become part of an address
            if text.strip() and "\ufffd" not in text and (identity := recognised(kind, text.strip())):
                found[identity] = None
    return tuple(found)
