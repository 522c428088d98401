"""How long a mapping takes for one record: `python tests/bench/mapping.py`. Not a test."""

from __future__ import annotations

import gc
import time

from sync.config.schema import LeadTable, Wire
from sync.mapping.compile import LeadMapping, compile_mapping

PLAIN = {
    "kind": "company",
    "name": "name",
    "industry": "industry",
    "role": "segment",
    "employee_count": "employees",
    "emails": "[email, billing_email]",
    "phones": "[phone]",
    "socials": "[website]",
    "addresses": ["city"],
    "notes": "comment",
    "labels": ["'erp'", "country"],
}
CONTACT = {
    "from": "contacts",
    "name": "first_name",
    "last_name": "last_name",
    "role": "title",
    "emails": "[email]",
    "phones": "[phone]",
}
RECORD = {
    "id": 4711,
    "name": "Müller & Söhne GmbH",
    "industry": "Manufacturing",
    "segment": "mid-market",
    "employees": 250,
    "email": "info@mueller-soehne.de",
    "billing_email": "billing@mueller-soehne.de",
    "phone": "+49 30 1234567",
    "website": "https://www.mueller-soehne.de",
    "city": "Berlin",
    "comment": "met at the fair",
    "country": "DE",
    "status": "active",
    "contacts": [
        {
            "first_name": f"Person {n}",
            "last_name": "Muster",
            "title": "CTO",
            "email": f"p{n}@mueller-soehne.de",
            "phone": "030 1",
        }
        for n in range(3)
    ],
}


def mapping(**more: object) -> LeadMapping:
    table = LeadTable.model_validate(PLAIN | more)
    return compile_mapping(table, where="lead", children=["contacts"], wire=Wire(), lookups={})


def microseconds(run: object, rounds: int = 20_000) -> float:
    """The best of five runs: other processes only ever make it slower."""
    assert callable(run)
    best = float("inf")
    gc.collect()
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(rounds // 5):
            run(RECORD)
        best = min(best, (time.perf_counter() - start) / (rounds // 5))
    return best * 1e6


if __name__ == "__main__":
    for title, one in (
        ("plain fields", mapping()),
        ("plain fields and `where`", mapping(where="status != 'internal'")),
        ("plain fields and 3 contacts", mapping(contacts=[CONTACT])),
    ):
        print(f"{title:30} apply {microseconds(one.apply):6.1f} µs   project {microseconds(one.project):6.1f} µs")
