"""What may happen to companies and people of a HubSpot account, chapter by chapter, and to who reads it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.hubspot.hubspot_people import STREAMS

COMPANIES = st.integers(1, 3)
PEOPLE = st.integers(101, 104)
ADDRESSES = st.sampled_from(["x@x.example", "y@x.example", "x@x.example", "y@x.example", "z@x.example", None])
FLAGS = st.sampled_from([None, None, None, "false", None, None, "true"])
PLACES = st.sampled_from(
    [("companies", each) for each in ("do_not_sync", "tier", "hubspot_owner_id")]
    + [("contacts", each) for each in ("blocked", "role", "email")]
)
GOES = st.sampled_from(["archive", "hide", "hide in part"])
CALLS = st.sampled_from(
    [("owners", ""), ("pipelines", "companies"), ("search", "companies"), ("search", "contacts"), ("batch", "contacts")]
)


def reads(*verdicts: str) -> Any:
    orders = st.lists(st.sampled_from(STREAMS), min_size=1, max_size=2, unique=True)
    return st.tuples(st.just("read"), orders, st.sampled_from(verdicts), st.booleans())


def persons(companies: Any = COMPANIES) -> Any:
    return st.tuples(st.just("person"), PEOPLE, ADDRESSES, companies, FLAGS, st.integers(0, 3))


def firms() -> Any:
    return st.tuples(st.just("put"), COMPANIES, FLAGS, st.integers(0, 5), st.just(0))


BEGINNING = st.tuples(firms(), persons(st.none() | COMPANIES), firms(), persons(), persons(st.none()))
RECORDS = st.one_of(
    firms(),
    persons(),
    persons(st.none()),
    st.tuples(st.just("link"), PEOPLE, COMPANIES, st.booleans()),
    st.tuples(st.just("merge")),
    st.tuples(st.just("people merge"), PEOPLE, PEOPLE),
    st.tuples(st.sampled_from(["delete", "restore"]), COMPANIES | PEOPLE),
    st.tuples(st.sampled_from(["delete", "restore"]), PEOPLE),
    st.tuples(st.sampled_from(["join", "leave"]), PEOPLE),
)
SETTINGS = st.one_of(
    st.tuples(st.just("new name"), COMPANIES, st.sampled_from(["tier", "owner", "stage", "role"])),
    st.tuples(st.just("renamed")),
    st.tuples(st.just("deactivated")),
    st.tuples(GOES, PLACES),
    st.tuples(st.just("deny"), CALLS),
    st.tuples(st.just("gone at once"), COMPANIES, st.just(("companies", "do_not_sync")), GOES),
    st.tuples(st.just("gone at once"), PEOPLE, st.just(("contacts", "blocked")), GOES),
)
PROGRAM = st.one_of(
    reads("created"),
    reads("created"),
    reads("created", "refused", "in_doubt"),
    st.tuples(st.just("wait"), st.sampled_from([1, 61, 3601, 90_000])),
    st.tuples(st.sampled_from(["settle", "reopen"])),
)
CHAPTERS = st.lists(
    st.tuples(
        st.lists(RECORDS, min_size=1, max_size=3),
        st.lists(SETTINGS, max_size=1),
        PROGRAM,
        st.sampled_from([[("all back",)], [("all back",)], []]),
        PROGRAM,
    ),
    min_size=3,
    max_size=8,
)
"""Of each: what happens to records and settings, what the program does then; and mostly, once all is given back."""
