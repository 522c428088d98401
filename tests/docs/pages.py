"""The README and the pages below docs/, taken apart for the tests that hold them to the code."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
README = (ROOT / "README.md").read_text(encoding="utf-8")
EVERYTHING = {"README": README, **PAGES}

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: its page, the comment before it, its language, its text."""

    page: str
    mark: str
    language: str
    text: str

    @property
    def lines(self) -> list[str]:
        return [line for line in self.text.splitlines() if line and not line.startswith("#")]


def blocks(language: str | None = None) -> list[Block]:
    """Return all blocks of code, the README's first."""
    found = [
        Block(page, block["mark"] or "", block["language"], block["text"])
        for page, text in EVERYTHING.items()
        for block in _BLOCK.finditer(text)
    ]
    return [block for block in found if language in (None, block.language)]


def recipes() -> dict[str, str]:
    """Return the recipes, each by the name of its source."""
    streams = [block.text for block in blocks("toml") if block.page == "recipes" and ".streams." in block.text]
    return {next(iter(tomllib.loads(text)["sources"])): text for text in streams}


def table(page: str, first_heading: str) -> list[list[str]]:
    """Return the cells of each row of the table of the page whose first column bears this heading."""
    lines = iter(EVERYTHING[page].splitlines())
    if not any(line.startswith(f"| {first_heading} |") for line in lines):
        raise AssertionError(f"{page} has no table {first_heading!r}")
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append(cells(line))
    return rows


def cells(row: str) -> list[str]:
    """Return the cells of a table's row; a stroke within one is escaped."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def prose(page: str) -> str:
    """Return the text of a page without its blocks of code."""
    return _BLOCK.sub("", EVERYTHING[page])


def spans(page: str) -> Iterator[str]:
    """Yield what stands in backticks in the text of a page."""
    paragraphs = re.sub(r"\n(?!\n)", " ", prose(page))
    yield from (found[2] for found in re.finditer(r"(?<!`)(`{1,2})(?!`)(.+?)(?<!`)\1(?!`)", paragraphs))
