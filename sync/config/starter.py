"""The configuration file that `init` writes: short, complete, and meant to be edited."""

from __future__ import annotations

DATABASES: dict[str, str] = {
    "sqlite": """\
url = "sqlite:///sample.db"                          # the file, relative to where the program is started
""",
    "postgresql": """\
url = { env = "DATABASE_URL" }                       # such as postgresql://reader:PASSWORD@db.example.com/crm
""",
    "mysql": """\
url = { env = "DATABASE_URL" }                       # such as mysql://reader:PASSWORD@db.example.com/crm
""",
}
"""The kinds of database that `init` knows, and how each is addressed in the file."""

_HEAD = """\
# closingdealz-sync reads companies and contacts from a database and creates them as leads in ClosingDealz.
# Every option is in config.example.toml. After each change: closingdealz-sync check

[workspaces.main]
api_key = { env = "CLOSINGDEALZ_API_KEY" }           # or { file = "PATH" }, or { credential = "NAME" } under systemd

[ledger]
path = "ledger.db"                                   # what was read and sent; keep it as long as the workspace

[sources.crm]
connector = "sql"
"""

_BODY = """\
every = "5m"

# ---- one table of the database; name yours and its columns
[sources.crm.streams.companies]
table = "companies"
key = "id"                                           # unique, and never changes
modified = "updated_at"                              # set by every insert and update
start = "all"                                        # "now" takes what is there as known; or a date
on_change = "hold"                                   # a record that changes later is listed, not sent again

# ---- its contacts; leave these lines and [[….lead.contacts]] out where there are none
[sources.crm.streams.companies.children.contacts]
table = "contacts"
parent = "company_id"
key = "id"
modified = "updated_at"

# ---- what becomes of a record; the values are JMESPath expressions over its columns
[sources.crm.streams.companies.lead]
kind = "company"
name = "name"
industry = "industry"
emails = "[email]"
phones = "[phone]"
socials = "[website]"
labels = ["'crm'"]

[[sources.crm.streams.companies.lead.contacts]]
from = "contacts"
name = "first_name"
last_name = "last_name"
role = "title"
emails = "[email]"
phones = "[phone, mobile]"
"""


def starter(database: str = "sqlite") -> str:
    """The file's text for a kind of database named in DATABASES."""
    return _HEAD + DATABASES[database] + _BODY
