"""`closingdealz-sync manual`: the man page, made from the commands themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import cast

import click

SECTION = "8"


@click.command()
@click.pass_context
def manual(context: click.Context) -> None:
    """Print the man page of this version, in the language of man(7).

    \b
    closingdealz-sync manual | man -l -
    """
    click.echo("\n".join(page(context.find_root())))


def page(root: click.Context) -> Iterator[str]:
    """Yield the lines of the man page for the program of this context."""
    from sync import __version__
    from sync.cli import COMMANDS
    from sync.commands.manual_text import AFTER, EXIT_CODES

    program = cast("click.Group", root.command)
    name = str(root.info_name)
    yield f'.TH {name.upper()} {SECTION} "" "{name} {__version__}" "System Administration"'
    yield from (".SH NAME", _text(f"{name} - {_summary(program)}"))
    yield from (".SH SYNOPSIS", f".B {_text(name)}", "[\\fB\\-c\\fR \\fIFILE\\fR] \\fICOMMAND\\fR [\\fIOPTION\\fR...]")
    yield ".SH DESCRIPTION"
    yield from _paragraphs(program)
    yield ".SH OPTIONS"
    yield from _options(program, root)
    yield ".SH COMMANDS"
    for word in COMMANDS:
        command = program.get_command(root, word)
        if command is not None and not command.hidden:
            yield from _command(command, click.Context(command, root, word), word)
    yield from (".SH EXIT STATUS", *_table(EXIT_CODES.items()))
    for title, items in AFTER.items():
        yield f".SH {title.upper()}"
        yield from (_table(items.items()) if isinstance(items, dict) else (_text(items),))


def _command(command: click.Command, context: click.Context, words: str) -> Iterator[str]:
    arguments = " ".join(
        f"\\fI{_text(parameter.make_metavar(context))}\\fR"
        for parameter in command.params
        if isinstance(parameter, click.Argument)
    )
    yield f".SS {_text(words)} {arguments}".rstrip()
    yield from _paragraphs(command)
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for word in command.list_commands(context):
            inner = command.get_command(context, word)
            if inner is not None and not inner.hidden:
                yield from _command(inner, click.Context(inner, context, word), f"{words} {word}")


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the command's own options; those that all commands have are listed once, with the program's."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        shared = context.parent is not None and bool({"--config", "--help"} & {*parameter.opts})
        if record is not None and isinstance(parameter, click.Option) and not shared:
            yield from _table([record])


def _table(items: object) -> Iterator[str]:
    for term, says in cast("list[tuple[object, str]]", items):
        yield from (".TP", f"\\fB{_text(str(term))}\\fR", _text(says))


def _summary(program: click.Command) -> str:
    first = inspect.cleandoc(program.help or "").split("\n", 1)[0].rstrip(".")
    return first[:1].lower() + first[1:]


def _paragraphs(command: click.Command) -> Iterator[str]:
    """Yield the help text; as in click, a paragraph that begins with a backspace keeps its lines."""
    text = inspect.cleandoc(command.help or "").split("\f")[0]
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.strip("\n").split("\n")
        if lines[0].strip() == "\b":
            yield from (".PP", ".nf", *map(_text, lines[1:]), ".fi")
        elif paragraph.strip():
            yield from (".PP", _text(" ".join(line.strip() for line in lines)))


def _text(text: str) -> str:
    """Escape text for troff: its own characters, and a leading one that would start a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    escaped = "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in escaped)
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped
