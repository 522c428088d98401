"""Writes the sample database and the configuration that reads it: invented companies and contacts, as
untidy as real databases are.

Telephone numbers come from the ranges that regulators reserve for fiction; e-mail domains are reserved by RFC 2606."""

from __future__ import annotations

import os
import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

from sync.commands.init import write_new
from sync.trial.configuration import (
    BY_ID_AND_TIME,
    database_table,
    stream_tables,
    toml_table,
    workspace_tables,
)


@dataclass(frozen=True, slots=True)
class City:
    """A city, with patterns of its telephone numbers and postal codes."""

    city: str
    country: str
    zip: str
    phones: tuple[str, ...]
    """Patterns; `{:03d}` or `{:02d}` stands for the digits of the reserved range."""
    forms: tuple[str, ...]
    """Legal forms of companies there."""


STEMS = (
    "Quarzfeder", "Übermorgen", "Tintenfass", "Wolkenkamm", "Löwenzahn", "O'Wren", "Café Déjà-Bu", "Łąkowa",
    "Nebelkrähe", "D'Almanac", "Ærlig", "Zuckerspindel", "Mondscheibe", "Kettensäule", "Straßenstern", "Hummelflug",
    "Paperkite", "Señor Tornillo", "Glühwurm", "Moosgrün", "Copperkettle", "Žlutý Kůň", "Fjordlys", "Siebenschläfer",
    "Ivory Anchor", "Kråkebær", "Rübenzahl & Töchter", "Thistledown", "Papier 24/7", "Élan Vert",
)  # fmt: skip

BRANCHES = (
    ("Werkzeuge", "Mechanical engineering"),
    ("Logistik", "Logistics"),
    ("Software", "Software"),
    ("Möbel", "Furniture"),
    ("Energie", "Energy"),
    ("Bakery", "Food"),
    ("Instruments", "Measuring instruments"),
    ("Verlag", "Publishing"),
    ("Textil", "Textiles"),
    ("Medical", "Medical technology"),
    ("Druck", "Printing"),
    ("Garden", "Horticulture"),
)

PLACES = (
    City("Berlin", "DE", "10{:03d}", ("030 23125-{:03d}", "+49 30 23125 {:03d}", "030/23125{:03d}"), ("GmbH", "AG")),
    City("Hamburg", "DE", "20{:03d}", ("040 66969-{:03d}", "(040) 66969 {:03d}"), ("GmbH", "GmbH & Co. KG")),
    City("Köln", "DE", "50{:03d}", ("0221 4710-{:03d}", "+49 (0)221 4710 {:03d}"), ("GmbH", "KG")),
    City("München", "DE", "80{:03d}", ("089 99998-{:03d}", "089/99998 {:03d}"), ("GmbH", "SE")),
    City("London", "GB", "E1 {:03d}", ("+44 20 7946 0{:03d}",), ("Ltd", "LLP")),
    City("New York", "US", "10{:03d}", ("+1 212-555-01{:02d}", "+1 (212) 555-01{:02d}"), ("Inc.", "LLC")),
)

MOBILES = ("0171 39200{:02d}", "+49 171 39200 {:02d}", "0171-39200{:02d}")

STREETS = ("Musterstraße", "Am Beispielhof", "Probegasse", "Sample Lane", "Demoplatz", "Specimen Road")

FIRST_NAMES = (
    "Zoë", "Björn", "Anaïs", "Siobhán", "Jürgen", "Łucja", "Noor", "Ömer", "Ida", "Renée", "Tomás", "Kai", "Mette",
    "Çelik", "Hanna", "Søren", "Ada", "Matěj", "Pia-Lotte", "Ruben",
)  # fmt: skip

LAST_NAMES = (
    "Mustermann", "Probst-Beispiel", "O'Sample", "Quittenmus", "van der Probe", "Nuñez-Demo", "Åkertest", "Pfefferminz",
    "D'Exemple", "Testowska", "Dreizack", "McSpecimen", "Großbeispiel", "Ñandú", "Blindtext", "Ipsum",
)  # fmt: skip

TITLES = (
    "Managing director", "Head of purchasing", "Leiterin Einkauf", "CTO", "Geschäftsführer", "Assistant to the board",
    "Sales", "Qualitätssicherung", None,
)  # fmt: skip

SEGMENTS = ("A", "B", "B", "C", "C", "C", "X", None)
"""X is missing from the configuration's lookup table, as happens in practice."""

DOMAINS = ("example", "example.com", "example.net", "example.org")


SEED = 7
COMPANIES = 300

INTERNAL = frozenset({17, 60, 121, 188, 233, 290})
"""The owner's own companies, which must not become leads."""
TOO_LONG = 42
"""The company whose name exceeds ClosingDealz's limit."""
BAD_EMAIL = frozenset({9, 77, 204})
"""Companies with an invalid e-mail address."""
UNDATED = frozenset({33, 150})
"""Companies without a modified time."""
UNTIDY = 8
"""A company with a bit of everything; the demo shows its row and its lead."""
WITH_EMOJI = frozenset({5, 111, 260})

_FIRST_DAY = datetime(2025, 1, 6, 8, tzinfo=UTC)
_MINUTES = 350 * 24 * 60

_TABLES = """
CREATE TABLE companies (
  id INTEGER PRIMARY KEY,
  name TEXT,
  industry TEXT,
  employees INTEGER,
  email TEXT,
  billing_email TEXT,
  phone TEXT,
  website TEXT,
  linkedin_url TEXT,
  street TEXT,
  zip TEXT,
  city TEXT,
  country TEXT,
  segment TEXT,
  status TEXT,
  updated_at TEXT
);
CREATE INDEX companies_updated_at ON companies (updated_at, id);
CREATE TABLE contacts (
  id INTEGER PRIMARY KEY,
  company_id INTEGER,
  first_name TEXT,
  last_name TEXT,
  title TEXT,
  email TEXT,
  phone TEXT,
  mobile TEXT,
  updated_at TEXT
);
CREATE INDEX contacts_company_id ON contacts (company_id);
CREATE INDEX contacts_updated_at ON contacts (updated_at, id);
"""
# No foreign key: the program must live with contacts that belong to nobody.

_INSERT_COMPANY = "INSERT INTO companies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_CONTACT = "INSERT INTO contacts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

_Value = str | int | None
_CellT = TypeVar("_CellT", str, int)


def write_sample(path: Path, *, seed: int = SEED) -> None:
    """Write the database: about 300 companies with 650 contacts, the same for the same seed.

    Times are UTC, `YYYY-MM-DD HH:MM:SS`. Raises FileExistsError if the file exists, OSError if it cannot be written;
    an unfinished file is deleted.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    try:
        random = Random(seed)  # noqa: S311 - sample data, no secret
        companies = list(_companies(random))
        contacts = list(_contacts(random, companies))
        with closing(sqlite3.connect(path)) as database:
            database.executescript(f"BEGIN;{_TABLES}")
            database.executemany(_INSERT_COMPANY, [each.row() for each in companies])
            database.executemany(_INSERT_CONTACT, contacts)
            database.commit()
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def time_text(moment: datetime) -> str:
    """Format a time as the sample's columns hold it; `moment` has a time zone."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True, slots=True)
class _Company:
    id: int
    name: str
    industry: str | None
    employees: int | None
    email: str | None
    billing_email: str | None
    phone: str | None
    domain: str
    has_website: bool
    has_profile: bool
    street: str | None
    place: City
    zip: str
    segment: str | None
    status: str | None
    updated_at: str | None

    def row(self) -> tuple[_Value, ...]:
        return (
            self.id,
            self.name,
            self.industry,
            self.employees,
            self.email,
            self.billing_email,
            self.phone,
            f"https://www.{self.domain}" if self.has_website else None,
            f"https://net.example/{self.domain}" if self.has_profile else None,
            self.street,
            self.zip,
            self.place.city,
            self.place.country,
            self.segment,
            self.status,
            self.updated_at,
        )


def _companies(random: Random) -> Iterator[_Company]:
    made = [(stem, *branch) for stem in STEMS for branch in BRANCHES]
    random.shuffle(made)
    for id_, (stem, branch, industry) in enumerate(made[:COMPANIES], start=1):
        place = random.choice(PLACES)
        name = _company_name(id_, f"{stem} {branch} {random.choice(place.forms)}")
        domain = f"{_slug(stem)}-{_slug(branch)}.{random.choice(DOMAINS)}"
        email, billing = _company_emails(random, id_, domain)
        yield _Company(
            id=id_,
            name=name,
            industry=_sometimes(random, industry, 0.9),
            employees=_sometimes(random, int(random.lognormvariate(4, 1.3)) + 1, 0.85),
            email=email,
            billing_email=billing,
            phone=_phone(random, place.phones) if id_ == UNTIDY else _sometimes(random, _phone(random, place.phones)),
            domain=domain,
            has_website=random.random() < 0.8,
            has_profile=random.random() < 0.4,
            street=_sometimes(random, f"{random.choice(STREETS)} {random.randint(1, 99)}", 0.9),
            place=place,
            zip=place.zip.format(random.randint(1, 999)),
            segment=random.choice(SEGMENTS),
            status="internal" if id_ in INTERNAL else random.choice(("active", "active", "prospect", None)),
            updated_at=None if id_ in UNDATED else _when(random),
        )


def _company_name(id_: int, plain: str) -> str:
    if id_ == TOO_LONG:
        return f"{plain}, a joint venture of " + " and ".join(["the Unforeseeably Long Name Holding"] * 7)
    if id_ in WITH_EMOJI:
        return f"{plain} \N{ROCKET}"
    return f"  {plain} " if id_ % 23 == 0 else plain


def _company_emails(random: Random, id_: int, domain: str) -> tuple[str | None, str | None]:
    email = f"info@{domain}"
    if id_ in BAD_EMAIL:
        return f"info(at){domain}", None
    if id_ == UNTIDY:
        return email, email.upper()
    billing = random.choice((None, None, "", f"billing@{domain}", email.upper()))
    return _sometimes(random, email, 0.9), billing


def _contacts(random: Random, companies: list[_Company]) -> Iterator[tuple[_Value, ...]]:
    people = [person for company in companies for person in _people(random, company)]
    people += [people[index] for index in (20, 240, 430)]  # entered twice
    people.append((TOO_LONG + 1, None, "  ", "Sales", None, None, None))  # nobody
    people.append((None, "Ida", "Nirgendwo", None, "ida.nirgendwo@example.org", None, None))  # of no company
    for id_, person in enumerate(people, start=1):
        yield (id_, *person, _when(random))


def _people(random: Random, company: _Company) -> Iterator[tuple[_Value, ...]]:
    wanted = 2 if company.id == UNTIDY else random.choice((0, 1, 1, 2, 2, 2, 3, 3, 5))
    names = random.sample([(first, last) for first in FIRST_NAMES for last in LAST_NAMES], wanted)
    for first, last in names:
        mobile = _sometimes(random, _phone(random, MOBILES), 0.4)
        phone = mobile if random.random() < 0.1 else _sometimes(random, _phone(random, company.place.phones), 0.6)
        email = _sometimes(random, f"{_slug(first)}.{_slug(last)}@{company.domain}", 0.85)
        yield (company.id, first, last, random.choice(TITLES), email, phone, mobile)


def _phone(random: Random, patterns: tuple[str, ...]) -> str:
    pattern = random.choice(patterns)
    return pattern.format(random.randrange(100 if "{:02d}" in pattern else 1000))


def _sometimes(random: Random, value: _CellT, share: float = 0.75) -> _CellT | None:
    """Return the value with a probability of `share`, else NULL or empty text."""
    if random.random() < share:
        return value
    return random.choice((None, "")) if isinstance(value, str) else None


def _when(random: Random) -> str:
    return time_text(_FIRST_DAY + timedelta(minutes=random.randrange(_MINUTES)))


def _slug(text: str) -> str:
    """Reduce a text to ASCII letters, digits and hyphens, for e-mail addresses and domains."""
    # NFKD takes accents off letters, but leaves these letters whole.
    text = text.replace("ß", "ss").replace("Æ", "Ae").replace("Ł", "L").replace("ł", "l").replace("ø", "o")
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    kept = "".join(mark if mark.isalnum() else "-" for mark in plain.replace("'", ""))
    return "-".join(part for part in kept.split("-") if part)


# ---- the configuration


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
