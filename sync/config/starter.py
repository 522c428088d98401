"""The configuration file that `init` writes: short, complete, and meant to be edited."""

from __future__ import annotations

from string import Template

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
# closingdealz-sync reads companies and contacts from $place and creates them as leads in ClosingDealz.
# Every option is in $example. After each change: closingdealz-sync check

[workspaces.main]
api_key = { env = "CLOSINGDEALZ_API_KEY" }           # or { file = "PATH" }, or { credential = "NAME" } under systemd

[ledger]
path = "ledger.db"                                   # what was read and sent; keep it as long as the workspace

[sources.crm]
connector = "$connector"
"""

_BODY = """\
every = "5m"

# ---- one table of the database; name yours and its columns
[sources.crm.streams.companies]
table = "companies"
key = "id"                                           # unique, and never changes
modified = "updated_at"                              # set by every insert and update
start = "now"                                        # what is there is taken as known; "all" sends it, too; or a date
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


_SALESFORCE = """\
domain = "acme.my"                                   # My Domain, from Setup, My Domain
every = "5m"

[sources.crm.auth]
flow = "client_credentials"                          # of an External Client App; its policies name the user: "Run As"
client_id = { env = "SF_CLIENT_ID" }
client_secret = { env = "SF_CLIENT_SECRET" }

# ---- one object; `closingdealz-sync discover crm` shows all, `discover crm Account` the fields of one
[sources.crm.streams.companies]
object = "Account"
start = "now"                                        # what is there is taken as known; "all" sends it, too; or a date
on_change = "hold"                                   # a record that changes later is listed, not sent again

# ---- its contacts; leave these lines and [[….lead.contacts]] out where there are none
[sources.crm.streams.companies.children.contacts]
object = "Contact"
via = "AccountId"

# ---- what becomes of a record; the values are JMESPath expressions over its fields
[sources.crm.streams.companies.lead]
kind = "company"                                     # with person accounts add: where = "!IsPersonAccount"
name = "Name"
industry = "label(Industry)"                         # what users see; without label() the code
employee_count = "NumberOfEmployees"
phones = "[Phone]"
socials = "[Website]"
labels = ["'salesforce'"]

[[sources.crm.streams.companies.lead.contacts]]
from = "contacts"
name = "FirstName"
last_name = "LastName"
role = "Title"
emails = "[Email]"
phones = "[Phone, MobilePhone]"
"""

_HUBSPOT = """\
token = { env = "HUBSPOT_TOKEN" }                    # a service key: Settings, Integrations; `check` names its scopes
every = "5m"
settle = "15s"                                       # HubSpot associates a contact a moment after it is made

# ---- one object; `closingdealz-sync discover crm` shows all, `discover crm companies` the properties of one
[sources.crm.streams.companies]
object = "companies"
start = "now"                                        # what is there is taken as known; "all" sends it, too; or a date
on_change = "hold"                                   # a record that changes later is listed, not sent again

# ---- its contacts; leave these lines and [[….lead.contacts]] out where there are none
[sources.crm.streams.companies.children.contacts]
object = "contacts"

# ---- what becomes of a record; the values are JMESPath expressions over its properties
[sources.crm.streams.companies.lead]
kind = "company"
name = "name"
industry = "label(industry)"                         # what users see; without label() the code
employee_count = "numberofemployees"
phones = "[phone]"
socials = "[website]"
labels = ["'hubspot'"]

[[sources.crm.streams.companies.lead.contacts]]
from = "contacts"
name = "firstname"
last_name = "lastname"
role = "jobtitle"
emails = "[email]"
phones = "[phone, mobilephone]"
"""

STARTERS: dict[str, tuple[str, str, str]] = {
    "hubspot": ("HubSpot", "config.example.toml and connectors/hubspot/config.example.toml", _HUBSPOT),
    "salesforce": ("Salesforce", "config.example.toml and connectors/salesforce/config.example.toml", _SALESFORCE),
    "sql": ("a database", "config.example.toml", _BODY),
}
"""By connector: where records come from, where all options are, and the file from there on."""


def starter(database: str = "sqlite", connector: str = "sql") -> str:
    """The file's text for a connector named in STARTERS; for SQL with a kind of database named in DATABASES."""
    place, example, body = STARTERS[connector]
    head = Template(_HEAD).substitute(place=place, example=example, connector=connector)
    return head + (DATABASES[database] if connector == "sql" else "") + body
