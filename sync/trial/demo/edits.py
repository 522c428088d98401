"""Edits the sample database between two runs: a changed company, a new one, and a contact that moves."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sync.trial.demo.sample import time_text


@dataclass(frozen=True, slots=True)
class Edits:
    """Ids as the ledger writes them: of the changed and the added company, the contact, and its old and new company."""

    changed: str
    added: str
    contact: str
    left: str
    joined: str


# Companies that the demo delivers: neither filtered, nor quarantined for their name, nor without a time.
_ORDINARY = "status = 'active' AND length(name) < 100 AND updated_at IS NOT NULL"

_MOVER = f"""
SELECT min(contacts.id), company_id FROM contacts JOIN companies ON companies.id = company_id
WHERE {_ORDINARY.replace("updated_at", "companies.updated_at")} AND company_id > 10
GROUP BY company_id HAVING count(*) = count(DISTINCT last_name) AND count(*) > 1 ORDER BY company_id LIMIT 1
"""  # noqa: S608 - constant


def edit_sample(path: Path, *, at: datetime) -> Edits:
    """Change the database as its own application would; `at` is the time of the change, with a time zone."""
    now = time_text(at)
    with closing(sqlite3.connect(path)) as database, database:
        contact, left = database.execute(_MOVER).fetchone()
        changed, joined = (
            row[0]
            for row in database.execute(
                f"SELECT id FROM companies WHERE {_ORDINARY} AND id > ? ORDER BY id LIMIT 2",  # noqa: S608 - constant
                (left,),
            )
        )
        database.execute(
            "UPDATE companies SET industry = 'Lighthouses', employees = 4711, updated_at = ? WHERE id = ?",
            (now, changed),
        )
        database.execute("UPDATE contacts SET company_id = ?, updated_at = ? WHERE id = ?", (joined, now, contact))
        added = database.execute(_ADDED, {"now": now}).fetchone()[0]
        database.execute(
            "INSERT INTO contacts (company_id, first_name, last_name, title, email, phone, updated_at)"
            " VALUES (?, 'Ada', 'Neuling-Beispiel', 'CTO', 'ada.neuling@nagelneu.example', '030 23125-042', ?)",
            (added, now),
        )
    return Edits(*map(str, (changed, added, contact, left, joined)))


_ADDED = """
INSERT INTO companies (name, industry, employees, email, billing_email, phone, website, street, zip, city, country,
  segment, status, updated_at)
VALUES ('Nagelneu Drachenbau GmbH', 'Kites', 12, 'hallo@nagelneu.example', 'Hallo@Nagelneu.example', '030/23125-099',
  'https://nagelneu.example', 'Musterstraße 1', '10115', 'Berlin', 'DE', 'A', 'active', :now)
RETURNING id
"""
