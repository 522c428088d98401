"""The sample: always the same, invented throughout, and untidy in every way that the demo speaks of."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sync.trial.demo.edits import edit_sample
from sync.trial.demo.sample import write_sample

AT = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)

# What ICANN, the Bundesnetzagentur, Ofcom and the NANPA keep free for documents and films.
RESERVED_HOST = re.compile(r"(?:[a-z0-9-]+\.)*(?:example|example\.(?:com|net|org))")
FREE_NUMBER = re.compile(r"4930(23125\d{3})|4940(66969\d{3})|49221(4710\d{3})|4989(99998\d{3})|49171(39200\d\d)")
FREE_ABROAD = re.compile(r"4420(79460\d{3})|1212(55501\d\d)")


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def count(path: Path, query: str) -> int:
    found: int = rows(path, query)[0][0]
    return found


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.db"
    write_sample(path)
    return path


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return list(database.iterdump())


def test_the_same_seed_gives_the_same_sample(sample: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "again.db")
    write_sample(tmp_path / "other.db", seed=1)
    assert dump(tmp_path / "again.db") == dump(sample)
    assert dump(tmp_path / "other.db") != dump(sample)


def test_it_has_about_as_many_rows_as_it_says(sample: Path) -> None:
    assert count(sample, "SELECT count(*) FROM companies") == 300
    assert 600 <= count(sample, "SELECT count(*) FROM contacts") <= 700


def test_every_address_is_at_a_domain_that_can_never_exist(sample: Path) -> None:
    texts = rows(
        sample,
        "SELECT email FROM companies UNION SELECT billing_email FROM companies UNION SELECT website FROM companies"
        " UNION SELECT linkedin_url FROM companies UNION SELECT email FROM contacts",
    )
    hosts = {re.split(r"@|\(at\)|://", text.lower())[-1].partition("/")[0] for (text,) in texts if text}
    assert len(hosts) > 200
    assert [host for host in hosts if not RESERVED_HOST.fullmatch(host)] == []


def test_every_telephone_number_is_one_kept_free_for_fiction(sample: Path) -> None:
    texts = rows(
        sample, "SELECT phone FROM companies UNION SELECT phone FROM contacts UNION SELECT mobile FROM contacts"
    )
    digits = {re.sub(r"\D", "", text.replace("(0)", "")) for (text,) in texts if text}
    numbers = {"49" + number[1:] if number.startswith("0") else number for number in digits}
    assert len(numbers) > 300
    assert [one for one in numbers if not (FREE_NUMBER.fullmatch(one) or FREE_ABROAD.fullmatch(one))] == []


EMPLOYERS = "SELECT company_id FROM contacts WHERE company_id IS NOT NULL"
TWICE = "SELECT 1 FROM contacts GROUP BY company_id, first_name, last_name, email, phone, mobile HAVING count(*) > 1"
TIME = "2025-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
TIMES = "SELECT updated_at FROM companies WHERE updated_at IS NOT NULL UNION SELECT updated_at FROM contacts"


@pytest.mark.parametrize(
    ("what", "query"),
    [
        ("a name over the limit", "SELECT count(*) = 1 FROM companies WHERE length(name) > 256"),
        ("internal ones", "SELECT count(*) > 1 FROM companies WHERE status = 'internal'"),
        ("no status", "SELECT count(*) > 1 FROM companies WHERE status IS NULL"),
        ("no date", "SELECT count(*) > 1 FROM companies WHERE updated_at IS NULL"),
        ("an address that is none", "SELECT count(*) > 1 FROM companies WHERE email NOT LIKE '%@%' AND email <> ''"),
        ("one address twice", "SELECT count(*) > 9 FROM companies WHERE upper(email) = billing_email"),
        ("empty text", "SELECT count(*) > 9 FROM companies WHERE phone = ''"),
        ("nothing", "SELECT count(*) > 9 FROM companies WHERE phone IS NULL"),
        ("umlauts", "SELECT count(*) > 9 FROM companies WHERE name LIKE '%ü%' OR name LIKE '%Ü%'"),
        ("apostrophes", "SELECT count(*) > 9 FROM companies WHERE name LIKE '%''%'"),
        ("emoji", "SELECT count(*) > 1 FROM companies WHERE name LIKE '%\N{ROCKET}'"),
        ("blanks around", "SELECT count(*) > 1 FROM companies WHERE name <> trim(name)"),
        ("companies without contacts", f"SELECT count(*) > 9 FROM companies WHERE id NOT IN ({EMPLOYERS})"),
        ("people entered twice", f"SELECT count(*) = 3 FROM ({TWICE})"),
        ("one number twice", "SELECT count(*) > 9 FROM contacts WHERE phone = mobile AND phone <> ''"),
        ("contacts of no company", "SELECT count(*) = 1 FROM contacts WHERE company_id IS NULL"),
        ("names that differ", "SELECT count(DISTINCT trim(name)) = 300 FROM companies"),
        ("times as they say", f"SELECT min(updated_at GLOB '{TIME}') FROM ({TIMES})"),
    ],
)  # fmt: skip
def test_it_is_untidy(sample: Path, what: str, query: str) -> None:
    assert count(sample, query) == 1, what


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        write_sample(path)
    assert path.read_text() == "mine"


def test_the_edits_are_what_they_say(sample: Path, tmp_path: Path) -> None:
    path = tmp_path / "edited.db"
    path.write_bytes(sample.read_bytes())
    edits = edit_sample(path, at=AT)
    before, after = set(dump(sample)), set(dump(path))
    touched = {line for line in after - before if line.startswith("INSERT")}
    assert len(before - after) == 2
    assert len(touched) == 4
    assert all("2026-05-06 07:08:09" in line for line in touched)
    company_of = f"SELECT company_id FROM contacts WHERE id = {edits.contact}"
    assert (count(sample, company_of), count(path, company_of)) == (int(edits.left), int(edits.joined))
    assert count(path, f"SELECT count(*) FROM contacts WHERE company_id = {edits.added}") == 1
    assert len({edits.changed, edits.added, edits.left, edits.joined}) == 4
