"""The packages that an installation takes, each pinned to the hashes of its files."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

PATH = Path(__file__).with_name("requirements.txt")
NAME_IN_WHEEL = "sync/installation/requirements.txt"
_EXTRAS = "# for "


def pins_of(text: str, extras: Collection[str] | None = None) -> Mapping[str, str]:
    """Return each package's lines, by its name (and marker); those for other extras than these are left out."""
    found: dict[str, str] = {}
    wanted, name = True, ""
    for line in text.splitlines(keepends=True):
        if line.startswith(_EXTRAS):
            wanted = extras is None or not {*line[len(_EXTRAS) :].strip().split(", ")}.isdisjoint(extras)
        elif line.startswith((" ", "\t")):
            found[name] += line
        elif line.strip() and not line.startswith("#"):
            name = line.rstrip(" \\\n") if wanted else ""
            found[name] = line
            wanted = True
    found.pop("", None)
    return found


def chosen(text: str, extras: Collection[str]) -> str:
    """Return the lines that pip is to be given for these extras."""
    return "".join(pins_of(text, extras).values())


def names_of(text: str) -> set[str]:
    """Return the names of all packages, as indexes write them."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[\s=]", line)[0]).lower() for line in pins_of(text)}
