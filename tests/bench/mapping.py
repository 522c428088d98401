"""What a record costs between a connector's page and the ledger, in µs of CPU: `python -m tests.bench.mapping`. Not a
test."""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

from state.diagram import Version
from state.key_files import Hasher
from state.rows import Stored
from sync.config.schema import LeadTable, Wire
from sync.mapping.compile import LeadMapping, compile_mapping
from sync.polling.judge import NotedReading, Rules, judge, read_record
from sync.shared.words import Record

COMPANY = {
    "kind": "company",
    "name": "name",
    "industry": "industry",
    "employee_count": "employees",
    "socials": ["join('', ['https://', domain])"],
    "addresses": ["join(', ', [city, country])"],
    "labels": ["lookup('status', status)"],
    "notes": "join(' ', [owner_email, to_string(annual_revenue)])",
}
PERSON = {
    "from": "contacts",
    "name": "first_name",
    "last_name": "last_name",
    "role": "title",
    "emails": "[email]",
    "phones": "[phone]",
}
FUNCTIONS = {
    "name": "title(trim(not_null(trade_name, name)))",
    "where": "status != 'lost' && !contains(['XX', 'YY'], country)",
    "industry": "if(employees > `500`, upper(industry), industry)",
    "role": "substring(status, `0`, `3`)",
    "emails": ["lower(owner_email)"],
    "notes": "replace(to_string(annual_revenue), '.', ',')",
    "date": "format_date(created_at, '%Y-%m-%d')",
}
STATUSES = {"new": "NEW", "open": "OPEN", "qualified": "QUALIFIED", "customer": "WON", "lost": "LOST"}
PLACES = [("DE", "Berlin"), ("DE", "München"), ("US", "Austin"), ("NO", "Tromsø"), ("PL", "Łódź"), ("IT", "Torino")]
NAMES = ["Müller", "Smith", "O'Brien", "Dubois", "Nowak", "García", "Yamada", "Øvergård", "Rossi", "Kaya"]
HASHER = Hasher(b"k" * 32)
NOW = "2026-09-01T12:30:00.000000Z"


def company(n: int) -> dict[str, Any]:
    """Return a row of twelve columns, as a connector gives it."""
    country, city = PLACES[n % len(PLACES)]
    return {
        "id": n,
        "name": f"{NAMES[n % 10]} Manufacturing {n:06d} GmbH & Co. KG",
        "domain": f"firma-{n:06d}.example",
        "industry": ["Manufacturing", "Software", "Retail"][n % 3],
        "employees": 1 + n * 7 % 20_000,
        "annual_revenue": n * 1234.56,
        "country": country,
        "city": city,
        "status": list(STATUSES)[n % 5],
        "owner_email": f"owner{n % 40}@vendor.example",
        "created_at": "2026-01-31T12:30:00.000000Z",
        "updated_at": NOW,
    }


def contact(n: int) -> dict[str, Any]:
    return {
        "first_name": ["Anna", "Bjørn", "Chloé"][n % 3],
        "last_name": NAMES[n % 10],
        "title": "Head of Sales",
        "email": f"c{n}@firma-{n:06d}.example",
        "phone": f"+49 30 {1_000_000 + n}",
    }


def mapping(**more: object) -> LeadMapping:
    table = LeadTable.model_validate(COMPANY | more)
    return compile_mapping(table, where="lead", children=["contacts"], wire=Wire(), lookups={"status": STATUSES})


def microseconds(run: Callable[[], object], count: int, rounds: int) -> float:
    """Return the best of some rounds over `count` records: other processes only ever make it slower."""
    best = float("inf")
    gc.collect()
    for _ in range(rounds):
        start = time.thread_time()
        run()
        best = min(best, time.thread_time() - start)
    return best * 1e6 / count


def stored(read: NotedReading) -> Stored:
    version: Version = read.reading.version
    return Stored(1, read.reading.id, "delivered", "yes", version, version, "b", False, nested=0)


def measure(title: str, one: LeadMapping, records: Sequence[Record], *, inside: bool, rounds: int) -> None:
    """Print the cost of a record that is new, of the parts of that, and of one that is read again unchanged."""

    def read_all() -> list[NotedReading]:
        return [read_record(each, one, 1, HASHER, None, inside=inside) for each in records]

    known = [stored(read) for read in read_all()]
    rules = Rules("resend")
    readings = [read.reading for read in read_all()]
    parts: dict[str, Callable[[], object]] = {
        "new": read_all,
        "project": lambda: [one.project(each.data) for each in records],
        "apply": lambda: [one.apply(each.data) for each in records],
        "judge": lambda: [judge(each, None, rules) for each in readings],
        "unchanged": lambda: [
            judge(read_record(each, one, 1, HASHER, was, inside=inside).reading, was, rules)
            for each, was in zip(records, known, strict=True)
        ],
    }
    figures = (f"{name} {microseconds(run, len(records), rounds):6.2f}" for name, run in parts.items())
    print(f"{title:22}", "   ".join(figures), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=500, help="of a page, which is kept until all are read")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    flat = [Record(str(n), company(n), NOW) for n in range(options.records)]
    whole = [
        Record(str(n), company(n) | {"contacts": [contact(2 * n), contact(2 * n + 1)]}, NOW)
        for n in range(options.records)
    ]
    measure("12 columns", mapping(), flat, inside=False, rounds=options.rounds)
    measure("two contacts", mapping(contacts=[PERSON]), whole, inside=False, rounds=options.rounds)
    measure("two contacts, matched", mapping(contacts=[PERSON]), whole, inside=True, rounds=options.rounds)
    measure("functions", mapping(**FUNCTIONS), flat, inside=False, rounds=options.rounds)


if __name__ == "__main__":
    main()
