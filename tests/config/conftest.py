"""A connector that exists only here, a file that is right, and a way to see what is wrong with a changed one."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.interface import ConnectorType
from connectors.registry import connector_type
from sync.config.load import load_config
from sync.config.schema import Config
from sync.shared.errors import ConfigError
from sync.shared.secrets import SecretRef

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)

GOOD = """\
[workspaces.main]
api_key = { env = "KEY" }

[sources.erp]
connector = "shelf"
url = { env = "ERP" }

[sources.erp.streams.companies]
table = "companies"
start = "all"
on_change = "hold"

[sources.erp.streams.companies.children.people]
table = "people"

[sources.erp.streams.companies.lead]
kind = "company"
name = "name"

[[sources.erp.streams.companies.lead.contacts]]
from = "people"
name = "first"
"""

Load = Callable[..., Config]
Problems = Callable[[str | bytes], list[str]]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ShelfSource(_Options):
    url: SecretRef
    auth: dict[str, SecretRef] = {}
    retries: int = Field(3, ge=1, le=9)


class ShelfStream(_Options):
    table: str | None = None
    query: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "ShelfStream":
        if (self.table is None) == (self.query is None):
            raise ValueError("needs exactly one of table and query")
        return self


class ShelfChild(_Options):
    table: str


class Shelf:
    """Only what loading needs of a connector; everything else comes from the real registry."""

    name = "shelf"
    source_options = ShelfSource
    stream_options = ShelfStream
    child_options = ShelfChild


@pytest.fixture
def shelf() -> type[Shelf]:
    return Shelf


@pytest.fixture
def good() -> str:
    return GOOD


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str | bytes, env: dict[str, str] | None = None) -> Config:
        path = tmp_path / "config.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        find = {"shelf": cast("ConnectorType", Shelf())}
        return load_config(
            path, connector_type=lambda name: find.get(name) or connector_type(name), env=env or {}, now=NOW
        )

    return load


@pytest.fixture
def problems(load: Load) -> Problems:
    """All problems of a file, as the operator reads them."""

    def problems(text: str | bytes) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text)
        assert caught.value.exit_code == 78
        return [str(problem) for problem in caught.value.problems]

    return problems
