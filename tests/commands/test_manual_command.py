"""The man page says what the commands are, and is one that man(1) takes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from sync import __version__
from sync.cli import COMMANDS, PROGRAM, main
from sync.commands.manual import EXIT_CODES
from tests.docs.pages import table


@pytest.fixture(scope="module")
def page() -> str:
    done = CliRunner().invoke(main, ["manual"], prog_name=PROGRAM)
    assert done.exit_code == 0
    return done.output


def commands(group: click.Group, words: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{words}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{words}{name} ")


def plain(page: str) -> str:
    return page.replace("\\-", "-").replace("\\e", "\\")


def test_every_command_and_option_stands_there(page: str) -> None:
    text = plain(page)
    for words, command in commands(main):
        assert re.search(rf"^\.SS {re.escape(words)}( |$)", text, re.MULTILINE), words
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[-1] in text, f"{words}: {parameter.opts}"
    assert len(COMMANDS) <= text.count("\n.SS ")


def test_every_exit_code_of_the_documentation_stands_there(page: str) -> None:
    assert {int(row[0]) for row in table("commands", "exit code")} == set(EXIT_CODES)
    for code in EXIT_CODES:
        assert f"\n\\fB{code}\\fR\n" in page


def test_it_is_of_this_version_and_plain_ascii(page: str) -> None:
    assert page.startswith(f'.TH {PROGRAM.upper()} 8 "" "{PROGRAM} {__version__}"')
    assert page.isascii()


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff here")
def test_troff_has_no_complaint(page: str) -> None:
    said = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8"], input=page, capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")
