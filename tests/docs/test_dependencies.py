"""What is imported is declared, where it is needed, and no further than the next release that may break it."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OWN = {"sync", "connectors", "state"}
EXTRA_OF = {
    "connectors/salesforce": ("salesforce",),
    "connectors/hubspot": ("hubspot",),
    "connectors/sql": ("postgresql", "mysql"),
    "connectors/exchange.py": ("hubspot", "salesforce"),
}
"""Whose packages may be imported where; all else is for everybody."""
NEWEST = {"tzdata", "cryptography"}
"""Their newest release is always the right one: it alone has the time zones, or the fixes, of today."""
FOR_TESTS = {"pytest", "hypothesis"}
"""Of the suite that every connector must pass, which only tests import."""
_IMPORT = re.compile(r"^\s*(?:from (\w+)[\w.]* import |import (\w+))", re.MULTILINE)
BY_NAME = {"email-validator", "tzdata"}
"""Imported by another package where it is there."""


def name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", requirement)[0]).lower()


def declared(*extras: str) -> list[str]:
    optional = PROJECT["optional-dependencies"]
    return [*PROJECT["dependencies"], *(each for extra in extras for each in optional[extra])]


def imported(file: Path) -> Iterator[str]:
    """The first names of its imports, wherever in the file: the syntax tree of all files would take seconds."""
    for found in _IMPORT.finditer(file.read_text(encoding="utf-8")):
        yield found[1] or found[2]


@cache
def foreign() -> dict[str, set[str]]:
    """The distributions that the files of each folder import."""
    known = packages_distributions()
    found: dict[str, set[str]] = {}
    for package in OWN:
        for file in (ROOT / package).rglob("*.py"):
            folder = next((each for each in EXTRA_OF if file.is_relative_to(ROOT / each)), "")
            modules = set(imported(file)) - OWN - set(sys.stdlib_module_names)
            found.setdefault(folder, set()).update(name(known[each][0]) for each in modules if each in known)
    return found


@pytest.mark.parametrize("folder", ["", *EXTRA_OF])
def test_what_is_imported_is_declared(folder: str) -> None:
    missing = foreign()[folder] - FOR_TESTS - {name(each) for each in declared(*EXTRA_OF.get(folder, ()))}
    assert not missing


def test_what_is_declared_is_imported() -> None:
    extras = {extra for each in EXTRA_OF.values() for extra in each}
    unused = {name(each) for each in declared(*extras)} - set().union(*foreign().values()) - BY_NAME
    assert not unused


@pytest.mark.parametrize("requirement", declared("postgresql", "mysql", "hubspot", "salesforce"))
def test_each_has_an_end(requirement: str) -> None:
    """A release that may break it comes with one of ours, not by itself."""
    assert "<" in requirement or name(requirement) in NEWEST
