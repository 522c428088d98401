"""The configuration file that `init` writes: short, complete, and meant to be edited."""

from __future__ import annotations

from connectors.registry import CONNECTORS, starter_file

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

STARTERS = tuple(sorted(name for name in CONNECTORS if starter_file(name).is_file()))
"""The connectors that bring a file to start from."""


def starter(database: str = "sqlite", connector: str = "sql") -> str:
    """Return the file's text for a connector of STARTERS; where it addresses a database, one of that kind."""
    text = starter_file(connector).read_text(encoding="utf-8")
    return text.replace(DATABASES["sqlite"], DATABASES[database])
