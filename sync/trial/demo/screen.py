"""Prints the demo's steps in lines of at most 80 columns, in colour on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from itertools import repeat
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.text import Text

WIDTH = 80
_INDENT = 3


class Screen:
    """Writes to standard output; calls `wait` between two steps, so that a person can read."""

    def __init__(self, wait: Callable[[], None] = lambda: None) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._console.width = min(WIDTH, self._console.width)
        self._wait = wait
        self._steps = 0

    def title(self, text: str) -> None:
        self._print(text, "bold", indent=0)

    def step(self, heading: str, sentence: str) -> None:
        """Start a step with its heading and a sentence about it; wait first, except before the first."""
        if self._steps:
            self._wait()
        self._steps += 1
        self._print("")
        self._print(f"{self._steps}  {heading}", "bold cyan", indent=0)
        self.say(sentence)

    def say(self, text: str) -> None:
        self._print(text)

    def detail(self, text: str) -> None:
        """Print a line indented below the one before."""
        self._print(text, indent=_INDENT + 2, hanging=2)

    def gap(self) -> None:
        self._print("")

    def figures(self, rows: Mapping[str, int]) -> None:
        """Print numbers in a column; `rows` maps what is counted to its number."""
        size = max(len(f"{number:,}") for number in rows.values())
        for what, number in rows.items():
            self._print(f"{number:>{size},}  {what}", indent=_INDENT + 2, hanging=size + 2)

    def check(self, claim: str, figures: str, *, holds: bool) -> None:
        """Print a checked claim, with the figures that support or refute it."""
        self._print(f"{'ok' if holds else 'NO'}  {claim}: {figures}", "green" if holds else "bold red", hanging=4)

    def place(self, what: str, where: str) -> None:
        """Print a path, an address or a command on one line, so that it can be copied."""
        self._line(f"{' ' * _INDENT}{what}{where}")

    def document(self, value: Any) -> None:
        """Print JSON on as few lines as the width allows."""
        for line in json_lines(value, self._console.width - _INDENT):
            self._line(f"{' ' * _INDENT}{line}", "dim")

    def _print(self, text: str, style: str = "", *, indent: int = _INDENT, hanging: int = 0) -> None:
        """Print text wrapped at blanks; lines after the first are indented by `hanging` more columns."""
        first, others = " " * indent, " " * (indent + hanging)
        for line in wrap(text, self._console.width, initial_indent=first, subsequent_indent=others) or [""]:
            self._line(line, style)

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(self._printable(text), style), soft_wrap=True)

    def _printable(self, text: str) -> str:
        """Replace characters that the terminal's encoding lacks by question marks."""
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        return text.encode(encoding, "replace").decode(encoding)


def json_lines(value: Any, width: int, *, head: str = "") -> list[str]:
    """Format JSON after `head`: what fits into `width` columns takes one line, the rest is broken at its commas."""
    flat = head + json.dumps(value, ensure_ascii=False)
    if len(flat) <= width or not isinstance(value, dict | list) or not value:
        return [flat]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    heads = (json.dumps(key, ensure_ascii=False) + ": " for key in value) if isinstance(value, dict) else repeat("")
    items = value.values() if isinstance(value, dict) else value
    lines = [head + opening]
    for each, item in zip(heads, items, strict=False):
        # two columns for the indentation, one for the comma
        lines += [f"  {line}" for line in json_lines(item, width - 3, head=each)]
        lines[-1] += ","
    return [*lines[:-1], lines[-1].removesuffix(","), closing]
