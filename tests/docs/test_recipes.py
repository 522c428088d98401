"""Every recipe of docs/recipes.md works as it stands: `check` finds no fault, and a round creates the leads meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.connectors.sql_servers import Server, mariadb_database, postgresql_database
from tests.docs.pages import recipes
from tests.docs.recipe_schemas import PRODUCTS
from tests.proof.harness import command, sandbox_with

CRMS = {"hub", "sf"}
"""Sources whose recipes are tried with the stand-ins of tests/hubspot and tests/salesforce."""
BLOCKS = [text for source, text in recipes().items() if source not in CRMS]
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
    assert recipes().keys() - CRMS == {product.source for product in PRODUCTS}
    assert all(text.count('start = "now"') == text.count("on_change") for text in recipes().values()), "with care"


def test_each_recipe_creates_exactly_the_leads_meant(tmp_path: Path) -> None:
    """All of them in one configuration."""
    with postgresql_database() as postgresql, mariadb_database() as mariadb, sandbox_with() as sandbox:
        servers: dict[str, Server] = {"postgresql": postgresql, "mariadb": mariadb}
        text = FRAME.format(sandbox=sandbox.url)
        for product in PRODUCTS:
            server = servers[product.database]
            for statement in product.sql.split(";\n"):
                server.run(statement)
            text += SOURCE.format(name=product.source, url=server.url)
        config = tmp_path / "config.toml"
        config.write_text(text + "\n".join(BLOCKS).replace('start = "now"', 'start = "all"'), encoding="utf-8")
        config.chmod(0o600)
        checked = command("check", "-c", config)
        assert checked.code == 0, checked.stdout + checked.stderr
        sent = command("once", "-c", config)
        assert sent.code == 0, sent.stdout + sent.stderr
        command("once", "-c", config, "-q")  # finds nothing more to send
        leads = sorted((short(row["lead"]) for row in sandbox.leads()), key=name_of)
    assert leads == sorted((lead for product in PRODUCTS for lead in product.leads), key=name_of)
