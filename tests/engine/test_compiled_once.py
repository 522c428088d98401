"""A start compiles each mapping once: the loader, which reports the problems, does it for the engine too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sync.config import mappings
from sync.config.load import load_config
from sync.config.schema import LeadTable
from sync.engine.compiled_config import CompiledConfig
from sync.engine.missing_secrets import missing_secrets, without
from sync.mapping.compile import LeadMapping, compile_mapping

FILE = """
[workspaces.main]
api_key = {{ env = "MAIN_KEY" }}
[lookups.kinds]
a = "{kind}"
[sources.erp]
connector = "sql"
url = {{ env = "ERP_URL" }}
[sources.erp.streams.companies]
table = "companies"
key = "id"
start = "all"
on_change = "hold"
lead = {{ kind = "company", name = "name", industry = "lookup('kinds', 'a')" }}
[sources.erp.streams.people]
table = "people"
key = "id"
start = "all"
on_change = "hold"
lead = {{ kind = "contact", name = "name" }}
"""


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The places of the tables that were compiled, one for each time."""
    monkeypatch.setenv("MAIN_KEY", "k" * 32)
    monkeypatch.setenv("ERP_URL", "sqlite:///erp.db")
    places: list[str] = []

    def counting(table: LeadTable, *, where: str, **options: Any) -> LeadMapping:
        places.append(where)
        return compile_mapping(table, where=where, **options)

    monkeypatch.setattr(mappings, "compile_mapping", counting)
    return places


def test_a_start_compiles_each_mapping_once(tmp_path: Path, compiled: list[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text(FILE.format(kind="Software"))
    config = load_config(path)
    plan = CompiledConfig.of(without(config, missing_secrets(config)))
    assert list(plan.mappings) == ["erp.companies", "erp.people"]
    assert sorted(compiled) == ["sources.erp.streams.companies.lead", "sources.erp.streams.people.lead"]


def test_other_inputs_are_compiled_anew(tmp_path: Path, compiled: list[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text(FILE.format(kind="Software"))
    config = load_config(path)
    before = mappings.compile_all(config)
    lookups = {"kinds": {"a": "Hardware"}}
    after = mappings.compile_all(config.model_copy(update={"lookups": lookups}))
    assert before["erp.companies"].version != after["erp.companies"].version
    path.write_text(FILE.format(kind="Hardware"))
    assert mappings.compile_all(load_config(path))["erp.companies"].version == after["erp.companies"].version
