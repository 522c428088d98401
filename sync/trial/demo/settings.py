"""Writes the demo's configuration file, with the API key in a file of its own, as an operator would."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template

from sync.commands.init import write_new

API_KEY = "sandbox-key"

_TEXT = Template("""\
# The demo's configuration: a sample database is read, and the sandbox stands in for ClosingDealz.

[workspaces.main]
api_key = { file = "api-key.txt" }
base_url = $base_url

[ledger]
path = "ledger.db"

[lookups.segments]
A = "key account"
B = "mid market"
C = "small business"

[sources.erp]
connector = "sql"
url = $url
every = "5m"

[sources.erp.streams.companies]
table = "companies"
key = "id"
modified = "updated_at"
start = "all"                  # send what is there already, too
on_change = "hold"             # a lead that changes later is listed, not sent again

[sources.erp.streams.companies.children.contacts]
table = "contacts"
parent = "company_id"
key = "id"
modified = "updated_at"

[sources.erp.streams.companies.lead]
kind = "company"
where = "status != 'internal'"
name = "name"
industry = "industry"
employee_count = "employees"
emails = "[email, billing_email]"
phones = "[e164(phone, 'DE')]"
socials = ["website", "linkedin_url"]
addresses = ["join(', ', [street, zip, city, country])"]
labels = ["'erp'", "lookup('segments', segment)"]

[[sources.erp.streams.companies.lead.contacts]]
from = "contacts"
name = "first_name"
last_name = "last_name"
role = "title"
emails = "[email]"
phones = "[e164(phone, 'DE'), e164(mobile, 'DE')]"
""")


def write_settings(folder: Path, *, database: Path, base_url: str) -> Path:
    """Write `config.toml` and the key file it names, readable by their owner only.

    Raises FileExistsError, and OSError if they cannot be written.
    """
    from sqlalchemy.engine import URL

    url = URL.create("sqlite", database=str(database)).render_as_string(hide_password=False)
    write_new(folder / "api-key.txt", f"{API_KEY}\n".encode())
    path = folder / "config.toml"
    # JSON's text literals are TOML's, too.
    text = _TEXT.substitute(base_url=json.dumps(base_url), url=json.dumps(url))
    write_new(path, text.encode())
    return path
