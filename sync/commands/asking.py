"""Confirmation before what cannot be undone: a question on a terminal, `--yes` in a script, else nothing is done."""

from __future__ import annotations

import sys

import click


def ask(what: str, question: str) -> None:
    """Print what is about to happen and ask. Raises click.UsageError if nobody can answer, click.Abort if the answer is
    no."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what} Nothing was done. Add --yes to confirm.")
    _ask(what, question)


def ask_on_terminal(what: str, question: str) -> None:
    """Ask on a terminal; a script continues unasked. For what can be undone, but only with effort."""
    if sys.stdin.isatty():
        _ask(what, question)


def _ask(what: str, question: str) -> None:
    click.echo(what, err=True)
    is_meant = False
    try:
        is_meant = click.confirm(question, err=True)
    except click.Abort:  # Ctrl-C, Ctrl-D: the cursor still stands behind the question
        click.echo(err=True)
    if not is_meant:
        click.echo("Nothing was done.", err=True)
        raise click.Abort
