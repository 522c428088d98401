"""What HubSpot no longer shows: a property, a custom object, a scope. Nothing is made of rows that lack what was asked
for; the refusal names it, and goes when it is given back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sync.shared.errors import SourceRefused, SourceUnavailable, SyncError
from tests.hubspot.hubspot_answers import Answer
from tests.hubspot.hubspot_feed import CONTACTS, Feed
from tests.hubspot.hubspot_portal import Portal, prop
from tests.hubspot.hubspot_server import Asked, Standin

MINUTE = 60
LEAD = {"kind": "company", "name": "name", "where": "do_not_sync != `true`", "labels": ["tier"]}
NESTED = {**LEAD, "contacts": [{"from": "contacts", "where": "!blocked", "emails": "[email]", "role": "role"}]}
READ_BY = "hub.companies."


@pytest.fixture
def fill(portal: Portal) -> None:
    """Company 1 may be sent, with contact 11; 2 and 3 may not, nor contact 12."""
    portal.definitions["companies"] += [prop("do_not_sync", "bool", "booleancheckbox"), prop("tier")]
    portal.definitions["contacts"] += [prop("blocked", "bool", "booleancheckbox"), prop("role")]
    at = portal.now - 86_400_000
    for n in (1, 2, 3):
        portal.put("companies", n, at, name=f"Firm {n}", do_not_sync=None if n == 1 else "true", tier="gold")
    for n in (11, 12):
        portal.put("contacts", n, at, email=f"c{n}@corp.example", role="boss", blocked=None if n == 11 else "true")
        portal.link("companies", 1, "contacts", n)


@pytest.fixture
def feed(tmp_path: Path, standin: Standin, fill: None) -> Iterator[Feed]:
    made = Feed(tmp_path, standin, lead=NESTED, children=CONTACTS)
    yield made
    made.close()


def refused(feed: Feed, kind: type[SyncError] = SourceRefused, *, sweep: bool = False) -> SyncError:
    """How a turn fails; nothing is sent by it."""
    before = list(feed.sent)
    with pytest.raises(kind) as caught:
        feed.turn(sweep=sweep)
    feed.deliver()
    assert feed.sent == before
    assert (caught.value.source, caught.value.stream) == ("hub", "companies")
    return caught.value


WANTED = [
    ("companies", "do_not_sync", "where"),
    ("companies", "tier", "labels"),
    ("contacts", "blocked", "contacts[0].where"),
    ("contacts", "role", "contacts[0].role"),
]


@pytest.mark.parametrize(("object_", "name", "key"), WANTED)
@pytest.mark.parametrize("kept", [True, False], ids=["same connector", "after a restart"])
def test_a_property_that_was_deleted_refuses_the_stream_until_it_is_given_back(
    object_: str, name: str, key: str, kept: bool, feed: Feed, portal: Portal, standin: Standin
) -> None:
    feed.turn()
    assert feed.ids() == ["1"]
    feed.wait(MINUTE)
    gone = portal.take_away(object_, name)
    for n in (1, 2, 4):
        portal.put("companies", n, name=f"Firm {n} anew", do_not_sync=None if n == 1 else "true")
    portal.put("contacts", 13, email="c13@corp.example", blocked="true")
    portal.link("companies", 1, "contacts", 13)
    feed.wait(MINUTE)
    for _ in range(3):
        before = standin.counted()["properties"]
        error = refused(feed)
        assert error.message.startswith(f"{object_} has no property {name!r} (read by {READ_BY}{key}")
        assert error.hint
        feed.wait(MINUTE)
        if not kept:
            feed.reopen()
        assert standin.counted()["properties"] - before <= 2  # of companies and of contacts
    portal.give_back(object_, gone)
    feed.turn()
    feed.wait(MINUTE)
    feed.turn()
    assert feed.ids() == ["1"]
    records = feed.records()
    assert {id_: records[id_]["state"] for id_ in ("2", "3", "4")} == dict.fromkeys(("2", "3", "4"), "filtered")
    assert feed.sent[0][1]["contacts"] == [{"email": [{"Address": "c11@corp.example"}], "role": "boss"}]


@pytest.mark.parametrize(("object_", "name"), [(object_, name) for object_, name, _ in WANTED])
def test_a_property_whose_values_are_hidden_refuses_the_stream(
    object_: str, name: str, feed: Feed, portal: Portal, standin: Standin
) -> None:
    """As for sensitive data, or a scope that was taken away, where the definition stays."""
    feed.turn()
    feed.wait(MINUTE)
    portal.hidden.add((object_, name))
    portal.put("companies", 1, name="Firm 1 anew")
    feed.wait(MINUTE)
    for _ in range(3):
        before = standin.counted()["properties"]
        error = refused(feed)
        assert error.message.startswith(f"HubSpot leaves out the property {name!r} of {object_} (read by ")
        assert "sensitive" in error.hint
        feed.reopen()
        feed.wait(MINUTE)
        assert standin.counted()["properties"] - before <= 2
    portal.hidden.clear()
    feed.turn(sweep=False)
    assert feed.ids() == ["1"]


@pytest.mark.parametrize("way", ["backfill", "sweep", "fetch", "child"])
def test_each_way_of_reading_refuses_them(way: str, feed: Feed, portal: Portal) -> None:
    if way == "backfill":
        portal.hidden.add(("companies", "do_not_sync"))
        refused(feed)
        return
    feed.turn()
    feed.wait(MINUTE)
    portal.take_away("companies", "do_not_sync")
    if way == "sweep":
        portal.things["companies"][3].archived = portal.now
        feed.wait(2 * 86_400)
        portal.put_late("companies", 2, 10**9, portal.now - 86_400_000, name="Late")
        with pytest.raises(SourceRefused):
            feed.turn()
        assert feed.ids() == ["1"]
    elif way == "fetch":
        with pytest.raises(SourceRefused, match="do_not_sync"):
            feed.connector.fetch(feed.job().spec, ["2"])
    else:
        portal.put("contacts", 11, email="other@corp.example")
        feed.wait(MINUTE)
        refused(feed)


def _without(rows: list[Any], name: str, which: Callable[[Any], bool]) -> None:
    for row in rows:
        if which(row):
            row["properties"].pop(name, None)


@pytest.mark.parametrize("lack", ["one row", "no properties"])
def test_an_answer_of_which_some_rows_lack_a_property_is_read_again_later(
    lack: str, feed: Feed, portal: Portal, standin: Standin
) -> None:
    """The property may have gone, or come, in the middle of a page."""

    def fault(asked: Asked) -> Answer | None:
        if asked.name not in ("list", "batch") or asked.object != "companies":
            return None
        call = standin.answers.list if asked.name == "list" else standin.answers.batch
        answer = call("companies", asked.query if asked.name == "list" else asked.body)
        first, *_ = answer.body["results"] or [{}]
        if lack == "one row":
            _without([first], "do_not_sync", bool)
        else:
            first.pop("properties", None)
        return Answer(200, None, raw=json.dumps(answer.body).encode())

    standin.faults.append(fault)
    error = refused(feed, SourceUnavailable)
    assert "'do_not_sync' of companies (read by hub.companies.where), in 1 of 3 records" in error.message
    standin.faults.clear()
    feed.turn()
    assert feed.ids() == ["1"]


def test_a_record_that_is_read_whole_needs_what_is_read_by_name(
    tmp_path: Path, standin: Standin, portal: Portal, fill: None
) -> None:
    """It goes on without a property that no key of the mapping names. One that is named refuses the stream."""
    feed = Feed(tmp_path, standin, lead={**LEAD, "notes": "rest()"}, children={})
    feed.turn()
    feed.wait(MINUTE)
    portal.take_away("companies", "city")
    portal.put("companies", 4, name="Firm 4")
    feed.wait(MINUTE)
    feed.turn(sweep=False)
    assert feed.ids() == ["1", "4"]
    portal.take_away("companies", "do_not_sync")
    portal.put("companies", 2, name="Firm 2 anew")
    feed.wait(MINUTE)
    assert refused(feed).message.startswith("companies has no property 'do_not_sync' (read by hub.companies.where)")
    feed.close()


@pytest.mark.parametrize(("object_", "name", "key"), WANTED)
def test_check_looks_at_a_record_whether_the_properties_come(
    object_: str, name: str, key: str, feed: Feed, portal: Portal
) -> None:
    assert not [each for each in feed.connector.check(feed.job().spec) if each.level == "error"]
    portal.hidden.add((object_, name))
    (told,) = [each for each in feed.connector.check(feed.job().spec) if each.level == "error"]
    assert f"HubSpot leaves out the property {name!r} of {object_} (read by {READ_BY}{key}" in told.text
    assert told.hint


def test_associations_that_may_not_be_read_are_none_that_are_not_there(
    feed: Feed, portal: Portal, standin: Standin
) -> None:
    """A part of an answer may fail: a company without its contacts would be another lead."""

    def fault(asked: Asked) -> Answer | None:
        if asked.name != "associations":
            return None
        answer = standin.answers.associations("companies", "contacts", {"inputs": []})
        errors = [
            {"status": "error", "category": "MISSING_SCOPES", "message": "no", "context": {"fromObjectId": ["1"]}}
        ]
        return Answer(207, {**answer.body, "errors": errors, "numErrors": 1})

    standin.faults.append(fault)
    assert "associations" in refused(feed, SourceUnavailable).message
    standin.faults.clear()
    feed.turn()
    assert len(feed.sent[0][1]["contacts"]) == 1


def test_an_archived_definition_is_none(feed: Feed, portal: Portal) -> None:
    for each in portal.definitions["companies"]:
        if each["name"] == "tier":
            each.update(archived=True, archivedAt="2026-03-10T00:00:00Z")
    assert refused(feed).message.startswith("companies has no property 'tier'")


# ---- objects


CARS = {"kind": "company", "name": "vin"}


@pytest.mark.parametrize("name", ["car", "Cars", "p147893286_car", "2-3465404", "Car"])
def test_a_custom_object_by_any_of_its_names_that_is_deleted_is_named(
    name: str, tmp_path: Path, standin: Standin, portal: Portal
) -> None:
    feed = Feed(tmp_path, standin, lead=CARS, object_=name, children={})
    portal.put("2-3465404", 5, vin="W1")
    feed.turn()
    assert feed.ids() == ["5"]
    feed.wait(MINUTE)
    (schema, things) = portal.schemas.pop(), portal.things.pop("2-3465404")
    for _ in range(2):
        with pytest.raises(SourceRefused) as caught:
            feed.turn()
        assert caught.value.message.startswith(f"there is no object {name!r}")
        feed.wait(MINUTE)
    portal.schemas.append(schema)
    portal.things["2-3465404"] = things
    portal.put("2-3465404", 6, vin="W2")
    feed.wait(MINUTE)
    feed.turn()
    assert feed.ids() == ["5", "6"]
    feed.close()


def test_a_custom_object_made_since_is_found(tmp_path: Path, standin: Standin, portal: Portal) -> None:
    feed = Feed(tmp_path, standin, lead=CARS, object_="cars", children={})
    schema = portal.schemas.pop()
    for _ in range(2):
        with pytest.raises(SourceRefused, match="there is no object 'cars'"):
            feed.turn()
    portal.schemas.append(schema)
    portal.put("2-3465404", 5, vin="W1")
    feed.turn()
    assert feed.ids() == ["5"]
    feed.close()


def test_a_name_that_two_custom_objects_share_is_no_name(tmp_path: Path, standin: Standin, portal: Portal) -> None:
    portal.schemas.append({**portal.schemas[0], "objectTypeId": "2-9", "name": "truck"})
    feed = Feed(tmp_path, standin, lead=CARS, object_="cars", children={})
    with pytest.raises(SourceRefused) as caught:
        feed.turn()
    assert caught.value.message == "'cars' may be 2-3465404 or 2-9"
    assert "type id" in caught.value.hint
    feed.close()


@pytest.mark.parametrize("call", ["list", "batch", "search", "associations", "properties"])
@pytest.mark.parametrize("object_", ["companies", "contacts"])
def test_a_scope_that_is_taken_away_is_named(
    call: str, object_: str, feed: Feed, portal: Portal, standin: Standin
) -> None:
    feed.turn()
    feed.wait(MINUTE)
    feed.reopen()
    scope = f"crm.objects.{object_}.read"
    portal.denied[call, object_] = scope
    portal.put("companies", 1, name="Firm 1 anew")
    portal.put("contacts", 11, email="other@corp.example")
    feed.wait(2 * 86_400)
    with pytest.raises(SourceRefused) as caught:
        feed.turn()
    assert scope in caught.value.message
    assert object_ in caught.value.message
    portal.denied.clear()
    feed.reopen()
    feed.turn()
    assert feed.ids() == ["1"]
