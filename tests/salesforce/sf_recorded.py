"""Answers that a real Salesforce gave, as public repositories keep them; each names its origin."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.salesforce.sf_org import Org

FOLDER = Path(__file__).parent / "recorded"


@cache
def answers() -> dict[str, dict[str, Any]]:
    """By name: origin, status, headers, body."""
    found: dict[str, dict[str, Any]] = json.loads((FOLDER / "answers.json").read_text(encoding="utf-8"))
    return found


@cache
def packed(name: str) -> Any:
    return json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))


def load(org: Org) -> None:
    """2,086 accounts and 213 contacts into the organisation, described as there."""
    for name in ("account", "contact", "lead"):
        org.fields[name.title()] = packed(f"describe_{name}")["body"]["fields"]
    for name in ("Account", "Contact"):
        for row in packed(f"{name.lower()}s")["rows"]:
            org.tables[name][row["Id"]] = {"IsDeleted": False, **{key: _stored(value) for key, value in row.items()}}


def _stored(value: Any) -> Any:
    """Times as the organisation keeps them."""
    return value.removesuffix(".000+0000") if isinstance(value, str) else value
