"""ARCHITECTURE.md and CONTRIBUTING.md say what the code is: names, paths, states, packages, commands."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module

import pytest

from state.diagram import LEAD_EXISTS, MOVES, RESTING, STATES
from tests.docs.pages import ROOT, cells
from tests.docs.test_pages import anchors

MOST_LINES = {"ARCHITECTURE": 250, "CONTRIBUTING": 120}
TEXTS = {name: (ROOT / f"{name}.md").read_text(encoding="utf-8") for name in MOST_LINES}

_SPAN = re.compile(r"`([^`\n]+)`")
_DOTTED = re.compile(r"(?:sync|state|connectors|tests)(?:\.\w+)+")
_PATH = re.compile(r"(?:\.?[\w-]+/)+[\w.-]*|[\w-]+\.(?:md|toml|py)")
_COMMAND = re.compile(r"python -m ([\w.]+)")


def found(pattern: re.Pattern[str]) -> list[str]:
    """Return the code spans of both texts that are such a name, each once."""
    spans = {span for text in TEXTS.values() for span in _SPAN.findall(text)}
    return sorted(span for span in spans if pattern.fullmatch(span))


def rows(name: str, heading: str) -> list[list[str]]:
    """Return the cells of the table whose first column bears this heading."""
    _, _, rest = TEXTS[name].partition(f"\n| {heading} |")
    lines = rest.splitlines()[2:]
    return [cells(line) for line in lines[: next(n for n, line in enumerate(lines) if not line.startswith("|"))]]


@cache
def thing(name: str) -> object:
    """Import what a dotted name means: a module, or what is in one."""
    words = name.split(".")
    for length in range(len(words), 0, -1):
        module = ".".join(words[:length])
        if _is_module(module):
            value: object = import_module(module)
            for word in words[length:]:
                value = getattr(value, word)
            return value
    raise AssertionError(name)


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize("name", found(_DOTTED))
def test_every_dotted_name_is_in_the_code(name: str) -> None:
    thing(name)


def test_every_path_is_there() -> None:
    assert [path for path in found(_PATH) if not (ROOT / path).exists()] == []


def test_the_states_are_those_of_the_diagram() -> None:
    told = {state.strip("`"): (exists, moves) for state, exists, moves, _ in rows("ARCHITECTURE", "state")}
    assert list(told) == list(STATES)
    for state in STATES:
        exists, moves = told[state]
        assert set(exists.split(", ")) == LEAD_EXISTS[state], state
        beside = {move for move in moves.split(", ") if move != "any resting state"}
        assert "any resting state" in moves, state
        assert RESTING | beside == MOVES[state], state


def test_every_package_stands_there() -> None:
    packages = {
        str(path.parent.relative_to(ROOT))
        for room in ("sync", "connectors", "state")
        for path in [*(ROOT / room).glob("__init__.py"), *(ROOT / room).glob("*/__init__.py")]
    }
    assert {row[0].strip("`") for row in rows("ARCHITECTURE", "package")} == packages - {"sync"}


def test_every_directory_of_tests_stands_there() -> None:
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/*.py")}
    assert {row[0].strip("`").removeprefix("tests/") for row in rows("CONTRIBUTING", "directory")} == folders


def test_every_module_that_is_to_be_run_is_there() -> None:
    modules = {module for text in TEXTS.values() for module in _COMMAND.findall(text)}
    own = {module for module in modules if module.startswith("tests")}
    assert [module for module in sorted(own) if not _is_module(module)] == []
    assert own


@pytest.mark.parametrize("name", MOST_LINES)
def test_they_are_short_and_their_links_lead_somewhere(name: str) -> None:
    assert len(TEXTS[name].splitlines()) <= MOST_LINES[name]
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", TEXTS[name]):
        file, _, anchor = target.partition("#")
        path = ROOT / (file or f"{name}.md")
        assert path.is_file(), target
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("name", MOST_LINES)
def test_tables_have_as_many_cells_as_their_heads(name: str) -> None:
    size = 0
    for line in TEXTS[name].splitlines():
        size = 0 if not line.startswith("|") else size or len(cells(line))
        assert not size or len(cells(line)) == size, line
