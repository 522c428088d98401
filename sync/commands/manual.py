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
    """Print the man page of this version, as troff source.

    \b
    closingdealz-sync manual | man -l -
    """
    click.echo("\n".join(page(context.find_root())))


def page(root: click.Context) -> Iterator[str]:
    """Yield the lines of the man page for the program of this context."""
    from sync import __version__
    from sync.cli import COMMANDS

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


EXIT_CODES: dict[int, str] = {
    0: "Done.",
    64: "Wrong usage: an unknown command, option or value.",
    65: "(once) Something needs a person; (settling) a batch or a record cannot be settled that way.",
    70: "A defect of this program.",
    74: "The ledger's disk or file cannot be written: nothing is sent that cannot be recorded.",
    75: "Try again later: a source or ClosingDealz does not answer, or another process holds the ledger.",
    77: "Credentials, permissions, the plan, a table or a column are refused: a person must act.",
    78: "The configuration or a secret is wrong, or the ledger does not belong to it. The service is not restarted.",
    130: "A second signal ended it: what was on the wire is in doubt at the next start.",
}

AFTER: dict[str, str | dict[str, str]] = {
    "Signals": {
        "SIGTERM, SIGINT": "run ends as soon as its requests in flight are answered; a second signal leaves them in "
        "doubt.",
        "SIGHUP": "run reloads the configuration; an unusable file is refused, and the old one stays in force.",
    },
    "Environment": {
        "CLOSINGDEALZ_SYNC_CONFIG": "The configuration file, if -c is not given.",
        "CLOSINGDEALZ_SYNC_DEBUG": "Show a traceback when the program fails, as --debug does.",
        "CONFIGURATION_DIRECTORY, STATE_DIRECTORY, CREDENTIALS_DIRECTORY": "Set by systemd: where config.toml, a "
        "relative ledger and secrets named by { credential = ... } are looked for.",
        "NOTIFY_SOCKET, WATCHDOG_USEC": "Set by systemd: where run reports that it is ready and alive.",
        "JOURNAL_STREAM": "Set by systemd: lines of the log then begin with their priority.",
    },
    "Files": {
        "/etc/closingdealz-sync/config.toml": "The configuration.",
        "/etc/closingdealz-sync/credentials/": "Secrets, one in each file, readable by root only.",
        "/var/lib/closingdealz-sync/": "The ledger with its key, its receipts and its copies.",
        "/etc/closingdealz-sync/NAME/, /var/lib/closingdealz-sync/NAME/": "The same for the instance "
        "closingdealz-sync@NAME.",
        "/usr/local/share/doc/closingdealz-sync/": "Every option explained, and drop-ins for the unit.",
    },
    "As root": "The command that the installation puts into /usr/local/bin runs, for root, as the service does: in the "
    "sandbox of its unit with all drop-ins, with its user, configuration, ledger and secrets. "
    "Before the command's name, @NAME stands for an instance.",
    "See also": "closingdealz-sync docs, systemctl(1), journalctl(1), systemd.exec(5), systemd-creds(1)",
}
