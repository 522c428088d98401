"""Writes the demo's configuration file, with the API key in a file of its own, as an operator would."""

from __future__ import annotations

from pathlib import Path

from sync.commands.init import write_new
from sync.trial.configuration import (
    BY_ID_AND_TIME,
    database_table,
    stream_tables,
    toml_table,
    workspace_tables,
)

API_KEY = "sandbox-key"

_HEAD = "# The demo's configuration: a sample database is read, and the sandbox stands in for ClosingDealz.\n\n"
_SEGMENTS = {"A": "key account", "B": "mid market", "C": "small business"}
_LEAD = {
    "kind": "company",
    "where": "status != 'internal'",
    "name": "name",
    "industry": "industry",
    "employee_count": "employees",
    "emails": "[email, billing_email]",
    "phones": "[e164(phone, 'DE')]",
    "socials": ["website", "linkedin_url"],
    "addresses": ["join(', ', [street, zip, city, country])"],
    "labels": ["'erp'", "lookup('segments', segment)"],
}
_CONTACTS = {
    "from": "contacts",
    "name": "first_name",
    "last_name": "last_name",
    "role": "title",
    "emails": "[email]",
    "phones": "[e164(phone, 'DE'), e164(mobile, 'DE')]",
}
_COMMENTS = {
    "start": "send what is there already, too",
    "on_change": "a lead that changes later is listed, not sent again",
}


def write_settings(folder: Path, *, database: Path, base_url: str) -> Path:
    """Write `config.toml` and the key file it names, readable by their owner only.

    Raises FileExistsError, and OSError if they cannot be written.
    """
    write_new(folder / "api-key.txt", f"{API_KEY}\n".encode())
    path = folder / "config.toml"
    text = (
        _HEAD
        + workspace_tables(base_url, {"api_key": {"file": "api-key.txt"}})
        + toml_table("lookups.segments", _SEGMENTS)
        + database_table("erp", database, {"every": "5m"})
        + stream_tables(
            "erp.companies",
            {"table": "companies", **BY_ID_AND_TIME},
            _LEAD,
            children={"contacts": {"table": "contacts", "parent": "company_id", **BY_ID_AND_TIME}},
            contacts=_CONTACTS,
            comments=_COMMENTS,
        )
    )
    write_new(path, text.encode())
    return path
