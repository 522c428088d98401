"""The demo's oracle: reads the source, the ledger and the server's store by plain SQL, and compares the three.

Nothing here goes through the engine.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync.config.schema import Wire
from sync.mapping.wire_fields import CONTACTS, texts
from sync.trial.demo.edits import Edits
from sync.trial.oracle import reconcile
from sync.trial.sandbox import reports

NAME_LIMIT = 256


@dataclass(frozen=True, slots=True)
class CheckedClaim:
    """A claim with its verdict and the figures behind it; never a value of a record."""

    claim: str
    holds: bool
    figures: str


@dataclass(frozen=True, slots=True)
class Essence:
    """The comparable part of a lead, read without the mapping's code: its name, its e-mail addresses in lower case,
    and its contacts as (first name, last name, e-mail address)."""

    name: str
    emails: frozenset[str]
    contacts: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class SampleTruth:
    """The sample database, read by plain SQL. Sets hold ids of companies."""

    companies: int
    contacts: int
    internal: frozenset[str]
    too_long: frozenset[str]
    bad_emails: frozenset[str]
    """Companies with an invalid e-mail address."""
    expected: Mapping[str, Essence]
    """The leads that should exist, by company id."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """The ledger's file: each record's state, drifted ids, each contact's parents, batches by state."""

    states: Mapping[str, str]
    drifted: frozenset[str]
    parents: Mapping[str, frozenset[str]]
    batches: Mapping[str, int]

    def of(self, state: str) -> frozenset[str]:
        """Return the ids of the records in a state."""
        return frozenset(id_ for id_, one in self.states.items() if one == state)


@dataclass(frozen=True, slots=True)
class Received:
    """The sandbox's file: leads in order of arrival, and its figures."""

    leads: Sequence[Mapping[str, Any]]
    stats: Mapping[str, Any]

    @property
    def essences(self) -> Counter[Essence]:
        return Counter(essence_of(lead) for lead in self.leads)

    @property
    def requests(self) -> int:
        return int(self.stats["requests"])


def look_at_source(path: Path) -> SampleTruth:
    """Read the sample database, and derive the leads that it should become."""
    with closing(_reading(path)) as database:
        companies = {str(row["id"]): row for row in database.execute("SELECT * FROM companies")}
        internal = frozenset(id_ for id_, row in companies.items() if row["status"] == "internal")
        too_long = frozenset(id_ for id_, row in companies.items() if len(row["name"].strip()) > NAME_LIMIT) - internal
        emails = {
            id_: [text for text in (row["email"], row["billing_email"]) if text] for id_, row in companies.items()
        }
        contacts = _contacts_by_company(database)
        expected = {
            id_: Essence(row["name"].strip(), _emails(emails[id_]), tuple(sorted(contacts.get(id_, ()))))
            for id_, row in companies.items()
            if id_ not in internal | too_long
        }
        total = database.execute("SELECT count(*) FROM contacts").fetchone()[0]
    bad_emails = frozenset(id_ for id_, found in emails.items() if not all("@" in text for text in found))
    return SampleTruth(len(companies), total, internal, too_long, bad_emails, expected)


def look_at_row(path: Path, id_: int, columns: Sequence[str]) -> Mapping[str, Any]:
    """Return some columns of one company, unchanged."""
    with closing(_reading(path)) as database:
        row = database.execute("SELECT * FROM companies WHERE id = ?", (id_,)).fetchone()
    return {column: row[column] for column in columns}


def _contacts_by_company(database: sqlite3.Connection) -> Mapping[str, list[tuple[str, str, str]]]:
    """Return (first name, last name, e-mail) by company; duplicates count once, rows without any of them not at all."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    rows = database.execute(
        "SELECT DISTINCT company_id, first_name, last_name, title, email, phone, mobile FROM contacts"
        " WHERE company_id IS NOT NULL"
    )
    for row in rows:
        person = _person(row["first_name"], row["last_name"], _emails((row["email"],)))
        if any(person):
            found.setdefault(str(row["company_id"]), []).append(person)
    return found


def look_at_ledger(path: Path) -> Remembered:
    """Read the ledger's file."""
    with closing(_reading(path)) as database:
        rows = database.execute("SELECT id, state, drift FROM records").fetchall()
        links: dict[str, set[str]] = {}
        for row in database.execute("SELECT id, parent FROM child_links"):
            links.setdefault(row["id"], set()).add(row["parent"])
        batches = database.execute("SELECT state, count(*) AS n FROM batches GROUP BY state").fetchall()
    return Remembered(
        {row["id"]: row["state"] for row in rows},
        frozenset(row["id"] for row in rows if row["drift"]),
        {child: frozenset(parents) for child, parents in links.items()},
        {row["state"]: row["n"] for row in batches},
    )


def look_at_server(path: Path, *, window: float) -> Received:
    """Read the sandbox's file; `window` is that of its limit, in seconds."""
    return Received([row["lead"] for row in reports.leads(path)], reports.stats(path, window))


def compare(source: SampleTruth, ledger: Remembered, received: Received) -> list[CheckedClaim]:
    """Check that all three agree, provided that no delivered record has changed since."""
    arrived = received.essences
    found = reconcile(source.expected.values(), arrived, {})
    stats = received.stats
    return [
        _all_named(source, ledger),
        CheckedClaim(
            "each lead arrived once, and whole",
            not (found.lost or found.twice or found.unwanted or stats["duplicates"]),
            f"{stats['created_leads']} arrived, {stats['duplicates']} twice, {len(found.lost)} missing",
        ),
        _all_accepted(ledger, stats),
    ]


def compare_unchanged(before: Received, now: Received, was: Remembered, is_: Remembered) -> list[CheckedClaim]:
    """Check that a run changed nothing."""
    return [
        CheckedClaim(
            "nothing was sent",
            before.stats == now.stats and before.leads == now.leads,
            f"{now.requests - before.requests} requests, {len(now.leads) - len(before.leads)} leads",
        ),
        CheckedClaim("the ledger says what it said before", was == is_, f"{len(is_.states)} records"),
    ]


def compare_edited(
    edits: Edits, source: SampleTruth, ledger: Remembered, before: Received, now: Received
) -> list[CheckedClaim]:
    """Check that a run after `edits` sent only the new company, and listed the changed ones as drift."""
    news = now.leads[len(before.leads) :]
    drifted = {edits.changed, edits.left, edits.joined}
    return [
        _all_named(source, ledger),
        CheckedClaim(
            "only the new company was sent",
            now.leads[: len(before.leads)] == before.leads
            and [essence_of(lead) for lead in news] == [source.expected[edits.added]]
            and now.requests == before.requests + 1,
            f"{now.requests - before.requests} request, {len(news)} lead",
        ),
        CheckedClaim(
            "what changed after it was sent is listed, not sent",
            ledger.drifted == drifted and now.stats["duplicates"] == 0,
            f"{len(ledger.drifted)} of {len(drifted)} companies",
        ),
        CheckedClaim(
            "the contact is remembered in its new company only",
            ledger.parents.get(edits.contact, frozenset()) == {edits.joined},
            "both were read again",
        ),
        _all_accepted(ledger, now.stats),
    ]


def _all_named(source: SampleTruth, ledger: Remembered) -> CheckedClaim:
    delivered, filtered, quarantined = (ledger.of(state) for state in ("delivered", "filtered", "quarantined"))
    return CheckedClaim(
        "every company is known",
        len(ledger.states) == source.companies
        and delivered == source.expected.keys()
        and filtered == source.internal
        and quarantined == source.too_long,
        f"{source.companies} = {len(delivered)} delivered + {len(filtered)} filtered + {len(quarantined)} quarantined",
    )


def _all_accepted(ledger: Remembered, stats: Mapping[str, Any]) -> CheckedClaim:
    return CheckedClaim(
        "the server took all, and knew every field",
        stats["by_status"] == {"200": stats["requests"]}
        and ledger.batches == {"created": stats["requests"]}
        and not stats["unknown_fields"],
        f"{stats['requests']} requests, {stats['by_status'].get('200', 0)} accepted",
    )


def essence_of(lead: Mapping[str, Any]) -> Essence:
    """Return the comparable part of a lead as the server stored it."""
    contacts = (
        _person(_first(contact, "name"), _first(contact, "last_name"), _emails(texts(contact, Wire(), "emails")))
        for contact in lead.get(CONTACTS, ())
    )
    return Essence(_first(lead, "name"), _emails(texts(lead, Wire(), "emails")), tuple(sorted(contacts)))


def _person(first: str | None, last: str | None, emails: frozenset[str]) -> tuple[str, str, str]:
    return (first or "").strip(), (last or "").strip(), " ".join(sorted(emails))


def _first(document: Mapping[str, Any], key: str) -> str:
    found = texts(document, Wire(), key)
    return found[0] if found else ""


def _emails(values: Iterable[str | None]) -> frozenset[str]:
    """Return the usable addresses in lower case. In the sample, the invalid ones are those without an @."""
    return frozenset(value.strip().lower() for value in values if value and "@" in value)


def _reading(path: Path) -> sqlite3.Connection:
    # Not mode=ro: such a connection would leave the write-ahead log's files behind.
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
    database.execute("PRAGMA query_only = ON")
    database.row_factory = sqlite3.Row
    return database
