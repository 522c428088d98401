"""Reads the accounts of a poll and of a batch in ARCHITECTURE.md: steps with their functions, and services to skip."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURE = Path(__file__).resolve().parents[2] / "ARCHITECTURE.md"

_SECTION = r"^## A {} in .*?\n(.*?)^## "
_STEP = re.compile(r"^\d+\. (.*?)(?=^\d+\. |^\S|\Z)", re.DOTALL | re.MULTILINE)
_FUNCTION = re.compile(r"`((?:sync|state)(?:\.\w+)+)`")
_PATH = re.compile(r"`((?:sync|state)/[\w/]+(?:\.py)?)`")


@dataclass(frozen=True)
class Account:
    """`functions`: dotted, in the order of the text; `services`: files and folders that a reader may skip, each with
    the reason."""

    functions: tuple[str, ...]
    services: dict[str, str]

    @property
    def files(self) -> list[str]:
        """The files to read, each once, in the order in which the account comes to them."""
        return list(dict.fromkeys(_file_of(function) for function in self.functions))

    def skips(self, file: str) -> bool:
        """Return True if the account names this file as a service, itself or by its folder."""
        return any(file == each or file.startswith(f"{each}/") for each in self.services)


def account_of(trip: str) -> Account:
    """Return the account of a `poll` or of a `batch`. Raises ValueError where there is none."""
    found = re.search(_SECTION.format(trip), ARCHITECTURE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    if found is None:
        raise ValueError(f"ARCHITECTURE.md has no account of a {trip}")
    text = found[1]
    functions = [name for step in _STEP.findall(text) for name in _FUNCTION.findall(step)]
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")][2:]
    return Account(tuple(functions), {path: why.strip() for names, why in rows for path in _PATH.findall(names)})


def _file_of(function: str) -> str:
    """Return the file of the module in which a dotted name stands."""
    words = function.split(".")
    while words:
        path = Path(*words).with_suffix(".py")
        if (ARCHITECTURE.parent / path).is_file():
            return path.as_posix()
        words.pop()
    raise ValueError(f"{function} stands in no module")
