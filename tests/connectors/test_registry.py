"""The registry's one list is the only place outside a connector's folder that names a connector."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from connectors.interface import Drafts, NeedsPackages, OffersStarters
from connectors.registry import CONNECTORS, connector_type, reader_of
from sync.shared.errors import ConfigError

ROOT = Path(__file__).parents[2]
OUTSIDE = [
    *(ROOT / "connectors").glob("*.py"),
    *(path for package in ("state", "sync") for path in (ROOT / package).rglob("*.py")),
]
PLAIN = {"sql"}
"""Names that are words of their own: only as a whole text do they name the connector."""


def named(path: Path) -> Iterator[str]:
    """Yield each place where a file names a connector: in code, texts, docstrings or comments."""
    text = path.read_text(encoding="utf-8")
    own = "|".join(CONNECTORS.keys() - PLAIN)
    listed = range(0)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "CONNECTORS":
            listed = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        imported = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        imported += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if any(re.match(rf"connectors\.({'|'.join(CONNECTORS)})\b", name) for name in imported):
            yield f"{path.relative_to(ROOT)}:{node.lineno}"  # type: ignore[attr-defined]
        if isinstance(node, ast.Constant) and node.value in PLAIN and node.lineno not in listed:
            yield f"{path.relative_to(ROOT)}:{node.lineno}"
    for number, line in enumerate(text.splitlines(), 1):
        if number not in listed and re.search(own, line, re.IGNORECASE):
            yield f"{path.relative_to(ROOT)}:{number}"


def test_nothing_outside_its_folder_names_a_connector() -> None:
    assert sorted({place for path in OUTSIDE for place in named(path)}) == []


@pytest.mark.parametrize(
    "line",
    ['kind = "sql"', "from connectors.sql.options import SqlSource", "x = 1  # as HubSpot does", "_SALESFORCE = 18"],
)
def test_a_name_would_be_found(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "stranger.py").write_text(f"{line}\n")
    assert list(named(tmp_path / "stranger.py")) != []


@pytest.mark.parametrize("name", CONNECTORS)
def test_each_brings_the_files_that_init_writes(name: str) -> None:
    kind = connector_type(name)
    assert isinstance(kind, OffersStarters)
    starters = kind.starters()
    assert starters
    assert all(f'connector = "{name}"' in text for text in starters.values())
    assert len(set(starters.values())) == len(starters)


def test_an_address_is_read_by_the_connector_that_knows_it() -> None:
    assert reader_of("sqlite:///crm.db") == "sql"
    with pytest.raises(ConfigError, match="no connector reads"):
        reader_of("crm")


def test_an_address_with_a_secret_is_not_written_into_a_file() -> None:
    kind = connector_type("sql")
    assert isinstance(kind, Drafts)
    assert kind.address("sqlite:///crm.db") == '"sqlite:///crm.db"'
    assert kind.address("postgresql://reader:pw@db/crm") == '{ env = "DATABASE_URL" }'
    with pytest.raises(ValueError, match="URL"):
        kind.address("crm")


@pytest.mark.parametrize("name", [name for name in CONNECTORS if name not in PLAIN])
def test_missing_packages_are_found_before_anything_is_opened(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = connector_type(name)
    assert isinstance(kind, NeedsPackages)
    assert all(find_spec(package) for package in kind.packages)
    monkeypatch.setattr("connectors.registry.find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=f"packages for '{name}' are not installed"):
        connector_type(name)


def test_a_connector_whose_module_lacks_a_package_is_said_to_lack_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(module: str) -> SimpleNamespace:
        raise ModuleNotFoundError("No module named 'shelf'", name="shelf")

    monkeypatch.setitem(CONNECTORS, "shelf", "shelf.connector")
    monkeypatch.setattr("connectors.registry.import_module", lacking)
    with pytest.raises(ConfigError, match="packages for 'shelf' are not installed"):
        connector_type("shelf")
