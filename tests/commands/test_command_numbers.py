"""A record whose id says who somebody is has a number in the log, and every command takes that number."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from connectors.interface import GivesIds
from connectors.registry import connector_type
from sync.log import heard_by
from sync.shared.opaque import is_opaque, number_of
from sync.views.queue_listing_text import without_formula
from tests.commands.command_world import World, doubtful
from tests.commands.queue_world import change, rejected, unfit, work_list

KEYED = {'table = "companies"\nkey = "id"': 'table = "companies"\nkey = "email"'}


@pytest.mark.parametrize(
    ("id_", "opaque"),
    [
        ("7", True),
        ("-7", True),
        ("7/8", True),
        (str(uuid.UUID(int=2**127 + 12345)), True),
        (uuid.UUID(int=2**127 + 12345).hex.upper(), True),
        ("001dM00000123AbQAI", True),
        ("001dM00000123AbQAX", False),
        ("annabelle-schmitt1", False),
        ("annabelleschmitt01", False),
        ("ada@corp.example", False),
        ("acme/7", False),
        ("+4930231250", False),
        ("030231250", False),
        ("004930231250", False),
        ("\N{ARABIC-INDIC DIGIT SEVEN}", False),
        ("0", True),
        ("7.5", False),
        ("Ada", False),
        ("", False),
        ("999999", True),
        ("1234567", False),
        ("-1234567", False),
        ("7/2125551234", False),
        ("49170123456", False),
        ("999999999999999", False),
        ("1234567890123456", True),
        ("175928847299117063", True),
    ],
)
def test_an_id_is_said_only_if_it_says_nothing(id_: str, opaque: bool) -> None:
    assert is_opaque(id_) is opaque


def test_a_number_that_the_vendor_gave_is_nobodys_telephone_number() -> None:
    assert is_opaque("51234567890", given=True)
    assert not is_opaque("51234567890")
    assert not is_opaque("ada@corp.example", given=True)
    assert not is_opaque("030231250", given=True)


@pytest.mark.parametrize(("connector", "given"), [("hubspot", True), ("salesforce", True), ("sql", False)])
def test_a_connector_says_whether_its_vendor_gives_the_ids(connector: str, given: bool) -> None:
    assert isinstance(connector_type(connector), GivesIds) is given


def test_a_telephone_number_as_key_never_stands_in_the_log(world: World) -> None:
    """Whole and international, without a + or a 0 before it."""
    phones = ("49170123456", "2125551234")
    world.write_config(replace={'table = "companies"\nkey = "id"': 'table = "companies"\nkey = "email"'})
    world.companies([1], name="x" * 300)
    world.companies([2], industry="refuse-me")
    world.sql(*(f"UPDATE companies SET email = '{phone}' WHERE id = {n}" for n, phone in enumerate(phones, 1)))
    world.sandbox.set_faults({"refuse:refuse-me": 1.0})
    heard = said(lambda: world.run("once"))
    assert not any(phone in str(heard) for phone in phones)
    numbers = [str(heard["unmappable"]["example"]), str(heard["lead_rejected"]["record"])]
    assert [world.json("quarantine", "show", number)["id"] for number in numbers] == list(phones)


def test_a_number_is_told_from_an_id() -> None:
    assert [number_of(text) for text in ("#4711", "4711", "#", "#x", "erp.people:#1", "#" + "9" * 30)] == [
        4711,
        None,
        None,
        None,
        None,
        None,
    ]


def said(act: Callable[[], object]) -> dict[str, dict[str, object]]:
    """The events that name a record, by their names."""
    heard: dict[str, dict[str, object]] = {}
    with heard_by(lambda event, _level, fields: heard.update({event: dict(fields)})):
        act()
    assert "@" not in str(heard)
    return heard


def test_the_log_has_numbers_and_commands_take_them(world: World) -> None:
    """Of a key that is an e-mail: a name that breaks a limit, and a lead that the server refuses."""
    world.write_config(replace=KEYED)
    world.companies([1], name="x" * 300)
    world.companies([2], industry="refuse-me")
    world.sandbox.set_faults({"refuse:refuse-me": 1.0})
    heard = said(lambda: world.run("once"))
    numbers = [str(heard["unmappable"]["example"]), str(heard["lead_rejected"]["record"])]
    assert all(number_of(number) for number in numbers)
    for number, id_ in zip(numbers, ("f1@corp.example", "f2@corp.example"), strict=True):
        assert world.json("quarantine", "show", number)["id"] == id_
        assert f"\n  number      {number}\n" in world.run("drift", "show", f"erp.companies:{id_}").stdout
        (listed,) = world.json("quarantine", "list", "--id", number)["listed"]
        assert (listed["id"], f"#{listed['number']}") == (id_, number)
        (shown,) = world.json("preview", "erp.companies", "--id", number)["streams"]
        assert [each["id"] for each in shown["records"]] == [id_]
    both = world.json("quarantine", "list", "--id", numbers[0], "--stream", "erp.companies", "--id", "f2@corp.example")
    assert both["records"] == 2
    elsewhere = world.run("quarantine", "drop", "--yes", "--stream", "erp.people", "--id", numbers[0])
    assert (elsewhere.exit_code, "knows no record" in elsewhere.output) == (64, True)
    dropped = world.run("quarantine", "drop", "--yes", "--id", numbers[0])
    assert (dropped.exit_code, world.json("quarantine", "list")["records"]) == (0, 1)
    strangers = (("quarantine", "show", "#999"), ("held", "list", "--id", "x"), ("preview", "erp.people", "--id", "#9"))
    for words in strangers:
        assert world.run(*words).exit_code == 64


def test_what_is_opaque_is_said_as_it_is(world: World) -> None:
    assert said(lambda: unfit(world, [7]))["unmappable"]["example"] == "7"
    assert said(lambda: rejected(world, [8]))["lead_rejected"]["record"] == "8"


def test_an_id_that_looks_like_a_number_is_found_first(world: World) -> None:
    world.write_config(replace=KEYED)
    world.companies([1, 2], name="x" * 300)
    world.sql("UPDATE companies SET email = '#2' WHERE id = 1", "UPDATE companies SET email = 'b' WHERE id = 2")
    world.run("once")
    assert world.json("quarantine", "show", "erp.companies:#2")["id"] == "#2"
    assert world.json("quarantine", "show", "#2")["id"] == "b"


def test_a_lead_in_doubt_is_settled_by_its_number(world: World) -> None:
    batch = doubtful(world, 2)
    (first, second) = world.json("doubt", "show", batch)["records"]
    assert world.run("doubt", "resolve", batch, "--yes", "--landed", "--record", f"#{first['number']}").exit_code == 0
    shown = world.json("doubt", "show", batch)["records"]
    assert [each["word"] for each in shown] == ["landed", None]
    stranger = world.run("doubt", "resolve", batch, "--yes", "--landed", "--record", f"#{second['number'] + 9}")
    assert (stranger.exit_code, "holds no lead of #" in stranger.output) == (64, True)


def test_no_cell_of_the_work_list_is_a_formula(world: World) -> None:
    world.companies([1])
    world.run("once")
    evil = "=cmd|''/C calc''!A0"
    change(world, 1, f"name = '{evil}', industry = '-1+1'")
    world.run("once")
    plain = evil.replace("''", "'")
    assert [row[-1] for row in work_list(world)[1:]] == [f"'{plain}", "'-1+1"]
    assert [row[-1] for row in work_list(world, "--raw")[1:]] == [plain, "-1+1"]
    assert world.run("drift", "list", "--raw").exit_code == 64


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=1", "'=1"),
        (" +1", "' +1"),
        ("\t1", "'\t1"),
        ("\uff1d1", "'\uff1d1"),
        ("a;=1", "a;'=1"),
        ('a; "@x"', 'a;\' "@x"'),
        ("a-b; c = d", "a-b; c = d"),
        ("mail@x.example", "mail@x.example"),
        ("", ""),
    ],
)
def test_what_a_spreadsheet_may_calculate_has_an_apostrophe(cell: str, shown: str) -> None:
    assert without_formula(cell) == shown
