"""A CSV of leads that exist: columns, delimiters and cells as people and programs write them."""

from __future__ import annotations

import itertools
from pathlib import Path

import click
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sync.commands.leads_csv import layout_of, rows_of
from sync.mapping.identity import Identity, IdentityKind
from tests.sizes import sized

ADA: Identity = ("email", "ada@acme.example")
ACME: Identity = ("domain", "acme.example")
PHONE: Identity = ("phone", "49301234567")


def read(
    folder: Path, content: str | bytes, named: dict[IdentityKind, list[str]] | None = None
) -> list[tuple[int, tuple[Identity, ...]]]:
    """The rows of a file with this content: where each begins, and what it holds."""
    path = folder / "leads.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(row.line, row.identities) for row in rows_of(path, layout_of(path, named or {}))]


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("email", "ada@acme.example", ADA),
        ("Email", " Ada@Acme.Example ", ADA),
        ("E-MAIL", "ada@acme.example", ADA),
        ("E-mail address 2", "ada@acme.example", ADA),
        ("emails[0].Address", "ada@acme.example", ADA),
        ("Website", "https://www.acme.example/en?x=1", ACME),
        ("Web", "acme.example", ACME),
        ("URL", "http://acme.example", ACME),
        ("domain", "WWW.ACME.EXAMPLE", ACME),
        ("Domain", "müller.example", ("domain", "xn--mller-kva.example")),
        ("Phone Number", "+49 30 1234567", PHONE),
        ("Mobile", "0049 30 1234567", PHONE),
        ("email", "nobody", None),
        ("email", "", None),
        ("domain", "gmail.com", None),
        ("domain", "linkedin.com/company/acme", None),
        ("phone", "030 1234567", None),
        ("web", "none", None),
    ],
)
def test_columns_are_found_by_their_names_and_values_are_made_plain(
    tmp_path: Path, name: str, value: str, found: Identity | None
) -> None:
    assert read(tmp_path, f'Company,{name}\nAcme,"{value}"\n') == [(2, (found,) if found else ())]


def test_any_way_of_writing(tmp_path: Path) -> None:
    table = [["Name", "E-mail", "Website"]] + [[f"Firm {n}", f"f{n}@x{n}.example", f"x{n}.example"] for n in range(9)]
    expected = [(n + 2, (("email", f"f{n}@x{n}.example"), ("domain", f"x{n}.example"))) for n in range(9)]
    ways = itertools.product([",", ";", "\t", "|", "^"], ["\n", "\r\n"], [b"", b"\xef\xbb\xbf"], ["", '"'])
    for delimiter, end, mark, quote in ways:
        text = end.join(delimiter.join(f"{quote}{cell}{quote}" for cell in cells) for cells in table)
        assert read(tmp_path, mark + text.encode()) == expected, (delimiter, end, mark, quote)


def test_several_values_in_one_cell_and_several_columns(tmp_path: Path) -> None:
    text = 'Email,Email 2,Web\n"a@x.example; b@x.example,c@x.example;;",d@x.example,"x.example, y.example"\n'
    ((_, found),) = read(tmp_path, text)
    emails = [("email", f"{each}@x.example") for each in "abcd"]
    assert found == (*emails, ("domain", "x.example"), ("domain", "y.example"))


def test_an_address_says_nothing_of_its_domain(tmp_path: Path) -> None:
    """Who has it may be a person there: only a column of domains speaks of companies."""
    assert read(tmp_path, "email\nada@acme.example\n") == [(2, (ADA,))]
    assert read(tmp_path, "web\nada@acme.example\n") == [(2, (ACME,))]


def test_rows_are_named_by_the_line_on_which_they_begin(tmp_path: Path) -> None:
    text = 'name,email\n\n"two\nlines",a@x.example\n,\nshort\n"x","b@x.example"\n'
    assert read(tmp_path, text) == [
        (3, (("email", "a@x.example"),)),
        (6, ()),
        (7, (("email", "b@x.example"),)),
    ]


def test_columns_can_be_named(tmp_path: Path) -> None:
    text = "Kontakt;Adresse;email\nada@acme.example;acme.example;other@acme.example\n"
    assert read(tmp_path, text, {"email": ["KONTAKT"], "domain": ["Adresse"]}) == [(2, (ADA, ACME))]
    assert read(tmp_path, text, {"domain": ["Adresse"]}) == [(2, (ACME, ("email", "other@acme.example")))]


@pytest.mark.parametrize(
    ("content", "named", "says"),
    [
        ("", {}, "names no column with e-mail addresses"),
        ("ada@acme.example\nbob@acme.example\n", {}, "names no column with e-mail addresses"),
        ("email\n", {"domain": ["web"]}, r"names no column 'web' \(--column domain=web\)"),
        ('email\n"' + "x" * 200_000, {}, "is not valid CSV from line 2 on"),
        ("email\n".encode("utf-16"), {}, "is not UTF-8 text"),
    ],
)
def test_what_cannot_be_read_is_said_without_a_value(
    tmp_path: Path, content: str | bytes, named: dict[IdentityKind, list[str]], says: str
) -> None:
    with pytest.raises(click.UsageError, match=says) as caught:
        read(tmp_path, content, named)
    assert "@" not in str(caught.value)


def test_other_encodings_spoil_only_their_own_cells(tmp_path: Path) -> None:
    text = "Name;E-mail\nMüller;ada@acme.example\nX;müller@acme.example\n"
    assert read(tmp_path, text.encode("latin-1")) == [(2, (ADA,)), (3, ())]


@given(st.one_of(st.binary(max_size=300), st.text('email,;"\n\r\0@.x \t', max_size=200).map(str.encode)))
@example(b'email\r"\n\r"')
@settings(max_examples=sized(60, 600, 6_000), derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_in_a_file_it_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    try:
        rows = read(tmp_path, b"email,web\n" + content)
    except click.UsageError:
        return
    lines = [line for line, _ in rows]
    assert lines == sorted(set(lines))
    assert all(line >= 2 for line in lines)
