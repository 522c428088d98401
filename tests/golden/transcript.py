"""Runs command lines in this process and writes down what they print, with all that varies replaced."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sync import __version__
from sync.cli import main
from tests.golden.world import World, batch_in_doubt

ENVIRONMENT = {"COLUMNS": "80", "LINES": "40", "TERM": "xterm", "NO_COLOR": "1", "HOME": "/nonexistent"}
WIDTH = 118
"""Columns up to which a list or an object of JSON stands on one line in a golden file."""

_COLOURS = re.compile("\x1b\\[[0-9;?]*[a-zA-Z]")
_MASKS = [
    (re.compile(rf"\b{re.escape(__version__)}\b"), "VERSION"),
    (re.compile(r"(SQLite )[\d.]+"), r"\1VERSION"),
    (re.compile(r"(/tmp/golden-)\w{8}"), r"\1FOLDER__"),
    (re.compile(r"(\b20\d{6}-\d{6}-)[2-9a-z]{6}\b"), r"\1xxxxxx"),
    (re.compile(r"((?:pid|process) \(?)\d+"), r"\g<1>0"),
    (re.compile(r'("pid": )\d+'), r"\g<1>0"),
    (re.compile(r'("(?:milliseconds|seconds)": ?)[\d.]+'), r"\g<1>0"),
    (re.compile(r"^(requests +\d+ in ).+$", re.MULTILINE), r"\g<1>SECONDS"),
    (re.compile(r'("timestamp": ?")[^"]+'), r"\1TIME"),
]


def masked(text: str) -> str:
    """Return the text without paths, process ids, versions and durations. Paths and names keep their width."""
    for pattern, instead in _MASKS:
        text = pattern.sub(instead, text)
    return text


class _Screen(CliRunner):
    """A runner whose standard output says that it is a terminal."""

    @contextmanager
    def isolation(self, *words: Any, **options: Any) -> Iterator[Any]:
        with super().isolation(*words, **options) as streams, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys.stdout, "isatty", lambda: True)
            yield streams


@dataclass
class Transcript:
    """Command lines with what they printed, and the keys of every JSON document by command."""

    text: list[str] = field(default_factory=list)
    keys: dict[str, dict[str, None]] = field(default_factory=dict)

    def title(self, words: str) -> None:
        self.text.append(f"\n# {words}\n")

    def run(self, world: World, line: str, *, screen: bool = False, given: str | None = None) -> None:
        """Run a command line as it is typed in the world's folder. `BATCH` stands for the batch in doubt, `screen` for
        a terminal of 80 columns, `given` for what comes on standard input."""
        words = [batch_in_doubt(world) if word == "BATCH" else word for word in line.split()]
        runner = _Screen() if screen else CliRunner()
        with chdir(world.folder):
            result = runner.invoke(main, words, input=given, env=ENVIRONMENT)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        out = _COLOURS.sub("", masked(result.stdout))
        if "--json" in words and result.stdout:
            document = json.loads(out)
            self._learn(_command_of(words), document)
            out = compact(document) + "\n"
        self.text.append(f"\n$ {line}{'  # on a terminal' if screen else ''}\n{_trimmed(out)}")
        self.text += [f"! {each}\n" for each in _trimmed(masked(result.stderr)).splitlines()]
        self.text.append(f"exit code {result.exit_code}\n")

    def _learn(self, command: str, document: Any) -> None:
        self.keys.setdefault(command, {}).update(dict.fromkeys(paths_of(document)))

    def __str__(self) -> str:
        return "".join(self.text).lstrip("\n")


def _trimmed(text: str) -> str:
    """Return it without blanks at line ends, which a table pads with."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _command_of(words: Sequence[str]) -> str:
    """Return the name of the command that is run, such as `doubt list`."""
    command: click.Command = main
    names: list[str] = []
    for word in words:
        found = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if found is not None:
            names.append(word)
            command = found
    return " ".join(names)


def compact(document: Any, indent: int = 0) -> str:
    """Return JSON with each list or object on one line where it fits, and plain figures side by side."""
    line = json.dumps(document, ensure_ascii=False)
    if not isinstance(document, dict | list) or not document or len(line) + indent <= WIDTH:
        return line
    blank = " " * (indent + 2)
    if isinstance(document, dict):
        parts = [f"{json.dumps(key)}: {compact(each, indent + 2)}" for key, each in document.items()]
    else:
        parts = [compact(each, indent + 2) for each in document]
    opening, closing = "{}" if isinstance(document, dict) else "[]"
    if isinstance(document, dict) and all(isinstance(each, int) for each in document.values()):
        inside = textwrap.fill(", ".join(parts), WIDTH, initial_indent=blank, subsequent_indent=blank)
    else:
        inside = ",\n".join(blank + part for part in parts)
    return f"{opening}\n{inside}\n{' ' * indent}{closing}"


_NAMED = re.compile(r"^(main|quiet|\w+\.\w+|.*:\d+)$")
"""Keys that come from the configuration or a record."""


def paths_of(document: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every key, such as `needs_person.items[].cause`; `*` stands for names of the configuration."""
    if isinstance(document, list):
        for each in document:
            yield from paths_of(each, f"{path}[]")
    elif isinstance(document, dict):
        for key, each in document.items():
            name = "*" if _NAMED.match(key) else key
            below = f"{path}.{name}" if path else name
            yield below
            yield from paths_of(each, below)
