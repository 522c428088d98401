"""A source's record becomes a reading: what is fingerprinted, what is kept, what cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.diagram import Version
from state.key_files import Hasher
from state.rows import Contact, Origin, Reading, Stored
from sync.mapping.identity import Identity
from sync.mapping.result import Filtered, Lead, Note, Unfit
from sync.polling.judge import SOURCE_LIMIT, NotedReading, read_record
from sync.shared.words import Json, Record

HASHER = Hasher(b"k" * 32)
WHEN, LATER = "2026-01-01T00:00:00.000000Z", "2026-01-02T00:00:00.000000Z"


@dataclass
class Names:
    """A mapping that reads `name`, `skip` and `more`; it counts how often it was asked for a lead."""

    asked: list[Mapping[str, Json]] = field(default_factory=list)
    needs_contacts: bool = False
    codes: dict[str, Json] | None = None

    def fingerprinted(self, projected: dict[str, Json]) -> dict[str, Json]:
        return projected if self.codes is None else self.codes

    def project(self, data: Mapping[str, Json]) -> dict[str, Json]:
        return {key: data.get(key) for key in ("name", "skip", "more")}

    def apply(self, data: Mapping[str, Json]) -> Filtered | Lead | Unfit:
        self.asked.append(data)
        if data.get("skip"):
            return Filtered()
        name = str(data.get("name") or "")
        if len(name) > 10:
            return Unfit((Note("name", "is longer than 10 characters", len(name), "shorten it"),))
        document: dict[str, Json] = {"name": name.strip()}
        return Lead(orjson.dumps(document), (Note("emails", "is no address"),), document, lost=(("emails", "none"),))

    def identities(self, document: Mapping[str, Json]) -> list[Identity]:
        return [("email", str(document["name"]).lower())]

    def identities_of_contacts(self, document: Mapping[str, Json]) -> list[list[Identity]]:
        return [[("email", f"{name}@x.example")] for name in str(document["name"]).lower().split()]


def read(
    data: Mapping[str, Json], modified: str | None = WHEN, stored: Stored | None = None, **options: Any
) -> NotedReading:
    return read_record(Record("7", data, modified, **options), Names(), 3, HASHER, stored)


def known(version: Version) -> Stored:
    return Stored(1, "7", "delivered", "yes", version, version, "b", False)


def test_a_lead_keeps_its_values_and_its_wire_until_it_is_sent() -> None:
    got = read({"name": " Acme ", "unread": 1})
    assert got.reading.version.fit == "eligible"
    assert got.reading.version.mapping == 3
    assert got.reading.version.modified == WHEN
    assert got.reading.payload == b'{"name":"Acme"}'
    assert got.reading.fields == ("name",)
    assert got.reading.version.wire_fp == HASHER.digest("wire", b'{"name":"Acme"}')
    assert got.problems == ()
    assert got.reading.source == b'{"more":null,"name":" Acme ","skip":null}'
    assert got.reading.reason is None
    assert [str(note) for note in got.warnings] == ["emails: is no address"]
    assert got.lost == (("emails", "none"),)
    assert got.reading.values == [("email", HASHER.digest("email", b"acme"))]


def test_fingerprints_are_keyed_and_see_just_what_the_mapping_reads() -> None:
    one, other = read({"name": "Acme", "unread": 1}), read({"unread": 2, "name": "Acme"})
    assert one.reading.version == other.reading.version
    trimmed = read({"name": "Acme "})
    assert trimmed.reading.version.source_fp != one.reading.version.source_fp
    assert trimmed.reading.version.wire_fp == one.reading.version.wire_fp
    elsewhere = read_record(Record("7", {"name": "Acme"}, WHEN), Names(), 3, Hasher(b"j" * 32), None)
    assert elsewhere.reading.version.source_fp != one.reading.version.source_fp
    assert b"Acme" not in (one.reading.version.source_fp or b"") + (one.reading.version.wire_fp or b"")


def test_in_which_order_a_source_lists_the_keys_of_a_value_is_no_change() -> None:
    one, other = read({"name": {"b": 1, "a": 2}}), read({"name": {"a": 2, "b": 1}})
    assert one.reading.version.source_fp == other.reading.version.source_fp
    assert one.reading.source == other.reading.source


def test_a_label_that_is_renamed_is_no_change_of_its_record_and_another_code_is_one() -> None:
    def coded(label: str, codes: dict[str, Json]) -> Reading:
        return read_record(Record("7", {"name": label}, WHEN), Names(codes=codes), 3, HASHER, None).reading

    before, renamed = coded("Customer", {"name": "c", "skip": None}), coded("Client", {"skip": None, "name": "c"})
    assert before.version.source_fp == renamed.version.source_fp
    assert before.source != renamed.source, "the mapping reads labels"
    assert before.version.source_fp != coded("Customer", {"name": "d", "skip": None}).version.source_fp


def test_the_same_fingerprint_is_not_the_same_for_source_and_wire() -> None:
    """Equal bytes of different kinds are never mistaken for each other."""
    assert HASHER.digest("source", b"x") != HASHER.digest("wire", b"x")


def test_an_unchanged_record_is_not_mapped_again() -> None:
    first = read({"name": "Acme"}).reading.version
    names = Names()
    got = read_record(Record("7", {"name": "Acme"}, WHEN), names, 3, HASHER, known(first))
    assert got.reading.version == first
    assert names.asked == []


@pytest.mark.parametrize(
    "changed", [{"modified": LATER}, {"number": 4}, {"data": {"name": "Other"}}, {"data": {"name": "Acme", "skip": 1}}]
)
def test_anything_else_is_mapped(changed: dict[str, Any]) -> None:
    first = read({"name": "Acme"}).reading.version
    names = Names()
    record = Record("7", changed.get("data", {"name": "Acme"}), changed.get("modified", WHEN))
    got = read_record(record, names, changed.get("number", 3), HASHER, known(first))
    assert len(names.asked) == 1
    assert got.reading.version != first
    assert got.reading.version.fit == ("filtered" if record.data.get("skip") else "eligible")


ORIGIN = Origin(("former",))
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "eligible": ({"name": "Acme"}, {}),
    "filtered": ({"skip": True}, {}),
    "unfit": ({"name": "Secret Holdings"}, {}),
    "no JSON": ({"name": 2**70}, {}),
    "a connector's problem": ({"name": "Acme"}, {"problem": "its date is no date"}),
    "deleted": ({}, {"deleted": True, "merged_into": "8"}),
    "unchanged": ({"name": "Acme"}, {}),
}


@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_reading_names_its_record_its_origin_and_if_the_source_says_that_it_moved(kind: str, moved: bool) -> None:
    data, marks = KINDS[kind]
    stored = known(read(data).reading.version) if kind == "unchanged" else None
    record = Record("7", data, WHEN, moved=moved, **marks)
    reading = read_record(record, Names(), 3, HASHER, stored, origin=ORIGIN).reading
    assert (reading.id, reading.moved, reading.origin) == ("7", moved, ORIGIN)
    assert (reading.version.modified, reading.version.mapping) == (WHEN, 3)
    assert reading.merged_into == marks.get("merged_into")
    assert reading.mapped is (kind != "unchanged")


def test_contacts_are_looked_at_only_where_something_is_matched_by_them() -> None:
    def look(stored: Stored | None = None, *, inside: bool) -> Reading:
        return read_record(Record("7", {"name": "Ann Bob"}, WHEN), Names(), 3, HASHER, stored, inside=inside).reading

    seen = look(inside=True)
    assert seen.contacts == [
        Contact(place, [("email", HASHER.digest("email", f"{name}@x.example".encode()))])
        for place, name in enumerate(("ann", "bob"))
    ]
    unseen = look(inside=False)
    assert unseen.contacts is None
    # matching of contacts was switched on afterwards
    stored = known(unseen.version)
    assert look(stored, inside=True).contacts == seen.contacts
    assert look(stored, inside=False).mapped is False
    assert look(replace(stored, nested=2), inside=True).mapped is False


def test_what_cannot_be_a_lead_is_not_mapped_again_for_its_contacts() -> None:
    unfit = known(read({"name": "Secret Holdings"}).reading.version)
    record = Record("7", {"name": "Secret Holdings"}, WHEN)
    assert read_record(record, Names(), 3, HASHER, unfit, inside=True).reading.mapped is False


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("needs", [True, False])
def test_a_lead_may_need_the_contacts_that_it_has(inside: bool, needs: bool) -> None:
    names = Names(needs_contacts=needs)
    reading = read_record(Record("7", {"name": "Ann"}, WHEN), names, 3, HASHER, None, inside=inside).reading
    assert reading.needs_contacts is (inside and needs)


def test_what_is_to_be_judged_again_is_mapped_though_nothing_changed() -> None:
    names, again = Names(), replace(known(read({"name": "Acme"}).reading.version), again="judge")
    assert read_record(Record("7", {"name": "Acme"}, WHEN), names, 3, HASHER, again).reading.mapped
    assert len(names.asked) == 1


def test_what_is_filtered_keeps_no_values() -> None:
    got = read({"name": "Acme", "skip": True})
    assert got.reading.version.fit == "filtered"
    assert got.reading.version.source_fp is not None
    assert (got.reading.source, got.reading.payload, got.reading.reason) == (None, None, None)


def test_what_is_unfit_says_why_without_its_values() -> None:
    got = read({"name": "Secret Holdings"})
    assert got.reading.version.fit == "unfit"
    assert got.reading.version.wire_fp is None
    assert got.reading.payload is None
    assert got.reading.source is not None  # so that an edited mapping can try again
    assert orjson.loads(got.reading.reason or "") == [
        {"field": "name", "rule": "is longer than 10 characters", "length": 15, "hint": "shorten it"}
    ]
    assert [note.field for note in got.problems] == ["name"]


def test_a_tombstone_needs_no_data() -> None:
    got = read({}, LATER, deleted=True)
    assert got.reading.version == Version("deleted", LATER, 3, None, None)
    assert (got.reading.source, got.reading.payload) == (None, None)


def test_a_record_that_comes_back_from_the_dead_is_mapped() -> None:
    gone = read({}, WHEN, deleted=True).reading.version
    assert read({"name": "Acme"}, WHEN, known(gone)).reading.version.fit == "eligible"


@pytest.mark.parametrize(
    "data",
    [{"name": "\ud800 lone"}, {"name": 2**70}, {"name": {1: "a key that is no text"}}, {"name": {"\ud800": 1}}],
    ids=["lone surrogate", "huge number", "key no text", "key with a surrogate"],
)
def test_values_that_json_cannot_carry_make_a_record_unusable(data: dict[str, Any]) -> None:
    got = read(data)
    assert got.reading.version == Version("unfit", WHEN, 3, None, None)
    assert got.problems == (Note("", "holds text or nesting that JSON cannot carry"),)
    assert orjson.loads(got.reading.reason or "") == [got.problems[0].as_json()]


def test_a_record_that_its_connector_cannot_use_is_unfit_with_its_reason() -> None:
    got = read({"name": "Acme"}, problem="column born holds a date before the year 1")
    assert got.reading.version == Version("unfit", WHEN, 3, None, None)
    assert orjson.loads(got.reading.reason or "") == [{"rule": "column born holds a date before the year 1"}]
    assert got.problems == (Note("", "column born holds a date before the year 1"),)


def test_a_record_nested_too_deeply_is_unusable() -> None:
    deep: Json = "x"
    for _ in range(5000):
        deep = [deep]
    assert read({"name": deep}).reading.version.fit == "unfit"


@pytest.mark.parametrize("name", ["Acme", "Secret Holdings"], ids=["eligible", "unfit"])
def test_values_over_the_limit_are_not_kept_beside_the_record(name: str) -> None:
    size = len(read({"name": name, "more": ""}).reading.source or b"")
    assert read({"name": name, "more": "x" * (SOURCE_LIMIT - size)}).reading.source is not None
    assert read({"name": name, "more": "x" * (SOURCE_LIMIT - size + 1)}).reading.source is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(one=json_values, other=json_values)
def test_source_fingerprints_are_equal_exactly_where_the_values_are(one: Json, other: Json) -> None:
    a, b = read({"name": [one]}).reading.version, read({"name": [other]}).reading.version
    same = orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)
    assert (a.source_fp == b.source_fp) == same
