"""What an installation takes is pinned, whole for each choice of extras, and within what the project allows."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from sync.installation.releases import _NO_DRIVERS, NAME_IN_WHEEL, PATH, chosen, names_of, pins_of

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = [name for name in PROJECT["optional-dependencies"] if name not in _NO_DRIVERS]
TEXT = PATH.read_text(encoding="utf-8")
THERE_ALREADY = {"pip"}
"""In each environment as it is made."""


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(wanted: list[str], extras: frozenset[str] = frozenset()) -> set[str]:
    """The names of all that these requirements need, by what the installed packages say."""
    found: set[str] = set()
    for text in wanted:
        each = Requirement(text)
        if each.marker and not any(each.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            continue
        found.add(plain(each.name))
        found |= needed(requires(each.name) or [], frozenset(each.extras))
    return found


@pytest.mark.parametrize("extras", [(), *((extra,) for extra in EXTRAS), tuple(EXTRAS)])
def test_each_choice_of_extras_is_whole(extras: tuple[str, ...]) -> None:
    wanted = [*PROJECT["dependencies"], *(each for extra in extras for each in PROJECT["optional-dependencies"][extra])]
    assert needed(wanted) - THERE_ALREADY <= names_of(chosen(TEXT, extras))


def test_nothing_comes_along_that_was_not_chosen() -> None:
    assert {"psycopg", "pymysql", "simple-salesforce", "hubspot-api-client"} <= names_of(TEXT)
    assert not {"psycopg", "pymysql", "simple-salesforce", "hubspot-api-client"} & names_of(chosen(TEXT, ()))
    assert "pymysql" in names_of(chosen(TEXT, ["mysql"]))


def test_every_package_has_hashes_and_no_address() -> None:
    for name, pin in pins_of(TEXT).items():
        first, *rest = pin.splitlines()
        assert re.fullmatch(r"[a-z0-9-]+==\S+( ; .+)? \\", first), name
        assert rest, name
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in rest), name
    assert "://" not in TEXT
    assert "--index" not in TEXT
    assert "# for \n" not in TEXT


def test_pins_are_within_what_the_project_allows() -> None:
    versions = {plain(pin.partition("==")[0]): pin.split("==")[1].split()[0] for pin in pins_of(TEXT)}
    everything = [
        *PROJECT["dependencies"],
        *(each for name in EXTRAS for each in PROJECT["optional-dependencies"][name]),
    ]
    for text in everything:
        each = Requirement(text)
        assert each.specifier.contains(versions[plain(each.name)]), text


def test_it_is_where_the_installer_looks_for_it_in_a_wheel() -> None:
    assert PATH.relative_to(ROOT).as_posix() == NAME_IN_WHEEL
