"""Output of commands: JSON for programs, else lines of text."""

from __future__ import annotations

import json
from collections.abc import Iterable

import click


def print_json(document: object) -> None:
    """Print a document of plain JSON values, indented, its letters unescaped."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_lines(lines: Iterable[str]) -> None:
    """Print each line as it comes."""
    for line in lines:
        click.echo(line)
