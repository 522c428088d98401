"""`closingdealz-sync docs`: the pages of the documentation, in the terminal."""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar

import click
from click.shell_completion import CompletionItem

from sync.commands.shipped import shipped

WIDTH = 100
"""Maximum columns of a page: longer lines are hard to read."""


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=summary(page)) for name, page in pages().items() if name.startswith(incomplete)]


@click.command()
@click.argument("page", required=False, shell_complete=_complete)
def docs(page: str | None) -> None:
    """Show a page of the documentation, or list the pages.

    On a terminal, a page is shown in your pager; otherwise it is printed as Markdown.

    \b
    closingdealz-sync docs
    closingdealz-sync docs troubleshooting
    """
    found = pages()
    if page is None:
        size = max(map(len, found))
        for name, path in found.items():
            click.echo(f"{name:{size}}  {summary(path)}")
        return
    name = page.lower().removesuffix(".md")
    if name not in found:
        close = get_close_matches(name, found, n=1)
        meant = f"Did you mean {close[0]!r}?" if close else "`docs` lists the pages."
        raise click.UsageError(f"There is no page {page!r}. {meant}")
    text = found[name].read_text(encoding="utf-8")
    if sys.stdout.isatty():
        click.echo_via_pager(laid_out(text), color=True)
    else:
        click.echo(text, nl=False)


def pages() -> dict[str, Path]:
    """Return the pages by name, in alphabetical order. Raises click.FileError where they are not installed."""
    return {path.stem: path for path in sorted(shipped("docs").glob("*.md"))}


def summary(page: Path) -> str:
    """Return the page's summary: the first line after its title."""
    return page.read_text(encoding="utf-8").split("\n", 3)[2]


def laid_out(text: str) -> str:
    """Return Markdown as a terminal shows it, with its escape codes."""
    # here, because rich's markdown is slow to import
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.markdown import Markdown, MarkdownElement, TableElement
    from rich.table import Table

    class WholeTable(TableElement):
        """A table that folds long words, which rich would cut off."""

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for part in super().__rich_console__(console, options):
                if isinstance(part, Table):
                    for column in part.columns:
                        column.overflow = "fold"
                yield part

    class ShippedPage(Markdown):
        """A documentation page whose tables are shown in full."""

        elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "table_open": WholeTable}

    console = Console(force_terminal=True)
    console.width = min(WIDTH, console.width)
    with console.capture() as captured:
        console.print(ShippedPage(_COMMENT.sub("", text), hyperlinks=False))
    return captured.get()


_COMMENT = re.compile(r"^<!--.*?-->\n", re.MULTILINE)
"""Comments are instructions for the tests of the documentation."""
