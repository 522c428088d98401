"""The findings of `check` as text: the summary first, then errors, warnings, and what is well."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click

MANY = 40
"""With more lines of the level `ok` than this, only their number is printed."""
_LEVELS = {"error": "red", "warning": "yellow", "ok": "green"}
_INDENT = 9


class CheckLine(NamedTuple):
    """One finding: its level (`ok`, `warning` or `error`), and the exit code that it calls for."""

    level: str
    where: str
    text: str
    hint: str = ""
    exit_code: int = 0


def show(lines: Sequence[CheckLine], *, whole: bool, config: Path | None = None) -> None:
    """Print all findings; of many that are well only the number, unless `whole`. Commands have -c if `config` was
    given."""
    from sync.views.phrases import program, typed

    command = program(config)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    click.echo(summary(lines))
    for level in _LEVELS:
        found = [line for line in lines if line.level == level]
        if level == "ok" and len(found) > MANY and not whole:
            click.echo(f"{_mark('ok')} {len(found):,} more things were looked at: --all lists them")
            return
        for line in found:
            told = line._replace(text=typed(line.text, command), hint=typed(line.hint, command))
            for text in _lines(told, width):
                click.echo(text)


def _lines(line: CheckLine, width: int) -> Iterator[str]:
    first, *rest = _broken(f"{line.where}: {line.text}", width, "  ")
    yield f"{_mark(line.level)} {first}"
    yield from (f"{'':<{_INDENT}}{each}" for each in rest)
    if line.hint:
        yield from (f"{'':<{_INDENT}}  {each}" for each in _broken(line.hint, width, ""))


def _broken(text: str, width: int, indent: str) -> list[str]:
    """Break a line between words where a terminal would break it within a word."""
    if not width or len(text) + _INDENT + 2 <= width:
        return [text]
    room = max(width - _INDENT - 2, 20)
    return textwrap.wrap(text, room, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def _mark(level: str) -> str:
    return click.style(f"{level:<8}", fg=_LEVELS[level], bold=level != "ok" or None)


def summary(lines: Sequence[CheckLine]) -> str:
    """Return `all is well`, or such as `2 errors, 1 warning`."""
    counts = {level: sum(line.level == level for line in lines) for level in ("error", "warning")}
    said = [f"{n:,} {level}{'' if n == 1 else 's'}" for level, n in counts.items() if n]
    return ", ".join(said) or "all is well"
