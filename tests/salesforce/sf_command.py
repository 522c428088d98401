"""The program against the stand-in and a sandbox: a configuration, the command line, one round in this process."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from state.ledger import Ledger
from sync.cli import main
from sync.config.load import load_config
from sync.engine.round import Round, Summary
from sync.trial.configuration import Values, source_table, stream_tables, workspace_tables
from sync.trial.sandbox.running import RunningSandbox
from tests.nursery import Process, piped
from tests.salesforce.sf_proxy import Proxy
from tests.salesforce.sf_server import StandIn

ACCOUNTS = {
    "kind": "company",
    "name": "Name",
    "industry": "Industry",
    "phones": "[Phone]",
    "socials": "[Website]",
    "addresses": ["join(', ', [BillingCity, BillingState, BillingCountry])"],
    "labels": ["'salesforce'", "Type"],
}
CONTACTS = {
    "from": "contacts",
    "name": "FirstName",
    "last_name": "LastName",
    "role": "Title",
    "emails": "[Email]",
    "phones": "[Phone, MobilePhone]",
}
LEADS = {
    "kind": "contact",
    "where": "!IsConverted && Email",
    "name": "FirstName",
    "last_name": "LastName",
    "role": "Title",
    "emails": "[Email]",
}
AUTH: Values = {
    "flow": "client_credentials",
    "client_id": "the-client-id",
    "client_secret": {"env": "SF_CLIENT_SECRET"},
}


@dataclass
class Program:
    """A configuration in a folder. Salesforce's clock is this machine's."""

    folder: Path
    stand_in: StandIn
    proxy: Proxy
    sandbox: RunningSandbox

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def write(self, *replace: tuple[str, str], start: str = "all") -> None:
        source: Values = {
            "domain": "acme",
            "auth": AUTH,
            "proxy": self.proxy.url,
            "ca_file": str(self.stand_in.authority.ca_file),
            "timeout": "30s",
        }
        contacts = {"contacts": {"object": "Contact", "via": "AccountId"}}
        text = workspace_tables(self.sandbox.url, {"linger": "0s"}) + source_table("sf", "salesforce", source)
        text += stream_tables(
            "sf.accounts", {"object": "Account", "start": start}, ACCOUNTS, children=contacts, contacts=CONTACTS
        )
        text += stream_tables("sf.leads", {"object": "Lead", "start": start}, LEADS)
        for old, new in replace:
            assert old in text
            text = text.replace(old, new)
        self.config.write_text(text)
        self.config.chmod(0o600)

    def run(self, *words: str, secret: str = "the-client-secret") -> Result:
        """Run the command line in this process."""
        environment = {"SF_CLIENT_SECRET": secret, "NO_COLOR": "1", "COLUMNS": "200"}
        return CliRunner().invoke(main, ["-c", str(self.config), *words], env=environment)

    def start(self, *words: str) -> Process:
        """Start the command line in a process of its own."""
        environment = {**os.environ, "SF_CLIENT_SECRET": "the-client-secret"}
        return piped(["-c", str(self.config), *words], environment, self.folder)

    def kill(self, process: Process) -> None:
        process.kill()
        process.communicate()

    def round(self) -> Summary:
        config = load_config(self.config)
        with Ledger(config.ledger_path, own=True) as ledger:
            return Round(config, ledger).run()

    def leads(self) -> list[dict[str, Any]]:
        """Return the leads that arrived."""
        return [row["lead"] for row in self.sandbox.leads()]

    def twice(self) -> list[str]:
        """Return the leads, as JSON, that arrived more than once."""
        return [text for text, times in Counter(map(json.dumps, self.leads())).items() if times > 1]
