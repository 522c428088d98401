"""A plain installation, and one with any single extra, can import all that it may need: no package of another extra."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPTIONAL = PROJECT["optional-dependencies"]
FOR_TESTS = {"connectors.conformance", "connectors.conformance_world"}
OF_ONE = {
    "hubspot": ("connectors.hubspot.", "connectors.exchange."),
    "salesforce": ("connectors.salesforce.", "connectors.exchange."),
    "postgresql": ("connectors.sql.postgresql.",),
    "mysql": ("connectors.sql.mysql.",),
}
"""What is imported only where a source needs the extra."""

IMPORT_ALL = """
import importlib, sys
hidden, modules = (set(words.split()) for words in sys.argv[1:])

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hide())
for name in sorted(modules):
    importlib.import_module(name)
"""


def name_of(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;(]", requirement)[0]).lower()


def with_what_they_need(requirements: list[str]) -> set[str]:
    """Return the names of distributions with all that they require without being asked for an extra."""
    found: set[str] = set()
    left = [name_of(each) for each in requirements]
    left += [f"{name_of(each)}-{extra}" for each in requirements for extra in re.findall(r"\[(.+?)\]", each)]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        try:
            needs = requires(name) or []
        except PackageNotFoundError:
            continue
        left += [name_of(each) for each in needs if "extra ==" not in each]
    return found


def modules_for(extra: str) -> Iterator[str]:
    own = OF_ONE.get(extra, ())
    others = tuple(each for places in OF_ONE.values() for each in places if each not in own)
    for package in ("sync", "state", "connectors"):
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if name.endswith("__main__") or name in FOR_TESTS or f"{name}.".startswith(others):
                continue
            # with an extra more packages are there: what does without them needs no second look
            if not extra or f"{name}.".startswith(own):
                yield name


@pytest.mark.parametrize("extra", ["", "postgresql", "mysql", "hubspot", "salesforce"])
def test_no_package_of_another_extra_is_needed(extra: str) -> None:
    there = with_what_they_need([*PROJECT["dependencies"], *OPTIONAL.get(extra, [])])
    hidden = {
        module
        for module, distributions in packages_distributions().items()
        if not any(name_of(each) in there for each in distributions)
    } - {"sync", "state", "connectors", "tests", "_distutils_hack", "__editable___closingdealz_sync_0_1_0_finder"}
    assert {"pytest", "duckdb"} <= hidden
    assert ("urllib3" in hidden) is (extra not in ("hubspot", "salesforce"))
    arguments = [" ".join(sorted(words)) for words in (hidden, modules_for(extra))]
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
