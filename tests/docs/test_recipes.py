"""Every recipe of docs/recipes.md works as it stands: `check` finds no fault, and a round creates the leads meant."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.sql_servers import Server, mariadb_database, postgresql_database
from tests.docs.recipe_schemas import PRODUCTS, Product
from tests.proof.harness import Ended, command, sandbox_with

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
FRAME = """
[workspaces.main]
api_key = "sandbox-key"
base_url = "{sandbox}"
linger = "0s"
[ledger]
path = "ledger.db"
"""
SOURCE = """
[sources.{name}]
connector = "sql"
url = "{url}"
settle = "0s"
"""

pytestmark = [pytest.mark.postgresql, pytest.mark.mariadb]


@dataclass(frozen=True, slots=True)
class Tried:
    """All recipes in one configuration: what `check` and `once` said, and the leads at the server in short form."""

    checked: Ended
    sent: Ended
    leads: list[dict[str, Any]]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    folder = tmp_path_factory.mktemp("recipes")
    with postgresql_database() as postgresql, mariadb_database() as mariadb, sandbox_with() as sandbox:
        servers: dict[str, Server] = {"postgresql": postgresql, "mariadb": mariadb}
        text = FRAME.format(sandbox=sandbox.url)
        for product in PRODUCTS:
            server = servers[product.database]
            for statement in product.sql.split(";\n"):
                server.run(statement)
            text += SOURCE.format(name=product.source, url=server.url)
        config = folder / "config.toml"
        blocks = "\n".join(BLOCKS)
        assert blocks.count('start = "now"') == blocks.count("on_change"), "each recipe begins with care"
        config.write_text(text + blocks.replace('start = "now"', 'start = "all"'), encoding="utf-8")
        config.chmod(0o600)
        checked = command("check", "-c", config)
        sent = command("once", "-c", config, "--json")
        command("once", "-c", config, "-q")  # finds nothing more to send
        yield Tried(checked, sent, [short(row["lead"]) for row in sandbox.leads()])


def short(lead: dict[str, Any]) -> dict[str, Any]:
    """A lead or contact without what every one has, its lists as plain text."""
    plain: dict[str, Any] = {}
    for name, value in lead.items():
        if name == "contacts":
            plain[name] = [short(contact) for contact in value]
        elif isinstance(value, list):
            plain[name] = [next(iter(item.values())) if isinstance(item, dict) else item for item in value]
        elif name != "isContact":
            plain[name] = value
    return plain


def name_of(lead: dict[str, Any]) -> str:
    return str(lead["name"])


def test_each_product_stands_there_once() -> None:
    sources = [next(iter(tomllib.loads(block)["sources"])) for block in BLOCKS]
    assert sorted(sources) == sorted(product.source for product in PRODUCTS)


def test_check_finds_no_fault(tried: Tried) -> None:
    assert tried.checked.code == 0, tried.checked.stdout + tried.checked.stderr


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.source)
def test_a_round_creates_exactly_the_leads_meant(tried: Tried, product: Product) -> None:
    assert tried.sent.code == 0, tried.sent.stdout + tried.sent.stderr
    names = {lead["name"] for lead in product.leads}
    created = [lead for lead in tried.leads if lead["name"] in names]
    assert sorted(created, key=name_of) == sorted(product.leads, key=name_of)


def test_nothing_else_is_created(tried: Tried) -> None:
    assert len(tried.leads) == sum(len(product.leads) for product in PRODUCTS)
