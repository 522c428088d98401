"""Commands, events and metrics are what the golden files say: `python -m tests.golden` writes them anew."""

from __future__ import annotations

from difflib import unified_diff
from itertools import chain
from pathlib import Path

import pytest

from tests.golden.scenes import golden_files

FOLDER = Path(__file__).parent


def test_what_is_printed_is_what_was_printed() -> None:
    found = golden_files()
    kept = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.txt")}
    names = sorted(kept.keys() | found.keys())
    differences = chain.from_iterable(_difference(name, kept.get(name, ""), found.get(name, "")) for name in names)
    if said := "\n".join(differences):
        pytest.fail(f"what is printed has changed; if it is meant: python -m tests.golden\n{said}", pytrace=False)


def _difference(name: str, kept: str, found: str) -> list[str]:
    return [*unified_diff(kept.splitlines(), found.splitlines(), f"kept {name}", f"found {name}", lineterm="")]
