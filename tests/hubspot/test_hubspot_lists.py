"""A list as a stream's filter: only members are wanted, whoever joins comes, and no failure opens or empties it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connectors.hubspot.api_paths import FAMILIES
from connectors.hubspot.lists import packed, unpacked
from state.streams import DeclaredStream
from sync.cli import main
from sync.polling.sweep import ask_reread
from sync.shared.errors import SourceRefused, SourceUnavailable
from sync.shared.words import Wanted
from sync.trial.configuration import Values, source_table, stream_tables, workspace_tables
from tests.hubspot.hubspot_answers import Answer, error
from tests.hubspot.hubspot_feed import Feed, emails, fill
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import TOKEN, Standin
from tests.hubspot.hubspot_world import opened, source, spec
from tests.sizes import sized

NAME_ONLY = {"kind": "company", "name": "name"}
VIP = "VIP & friends / 2026? 100 %"


@pytest.fixture
def vip(standin: Standin, portal: Portal) -> Any:
    """Six companies of the day before, of which two are in the list."""
    fill(portal, 6)
    return standin.lists.add("9", VIP, 2, 5)


def turn(feed: Feed, seconds: float = 700) -> None:
    """As the engine does it: what an edit left behind first, then the poll, after so long a time."""
    feed.wait(seconds)
    if feed.poller().has_to_judge_again():
        feed.poller().remap(feed.connector)
    feed.turn()


def states(feed: Feed) -> dict[str, str]:
    return {id_: row["state"] for id_, row in sorted(feed.records().items())}


def orphans(feed: Feed) -> list[str]:
    return sorted(id_ for id_, row in feed.records().items() if row["orphaned"] is not None)


# ---- who is wanted


@pytest.mark.parametrize("family", list(FAMILIES), indirect=True)
@pytest.mark.parametrize("named", ["9", VIP])
def test_only_members_are_sent_by_id_and_by_name(named: str, tmp_path: Path, standin: Standin, vip: Any) -> None:
    standin.lists.add("8", VIP, 101, object_type="0-1")  # the same name, for contacts
    feed = Feed(tmp_path, standin, list=named)
    turn(feed)
    assert sorted(feed.ids()) == ["2", "5"]
    assert {id_: emails(lead) for id_, lead in feed.sent} == {
        "2": ["c2.0@corp.example"],
        "5": ["c5.0@corp.example"],
    }
    assert states(feed) == {**dict.fromkeys("1346", "filtered"), **dict.fromkeys("25", "delivered")}
    feed.close()


def test_who_joins_is_sent_although_nothing_of_it_moved_and_who_leaves_is_not_wanted(
    tmp_path: Path, standin: Standin, portal: Portal, vip: Any
) -> None:
    feed = Feed(tmp_path, standin, list="9")
    turn(feed)
    vip.ids[:] = [5, 1, 6]
    turn(feed)
    assert sorted(feed.ids()) == ["1", "2", "5", "6"]
    assert states(feed)["2"] == "delivered"
    assert orphans(feed) == ["2"]
    vip.ids.append(2)
    turn(feed)
    assert sorted(feed.ids()) == ["1", "2", "5", "6"]
    assert orphans(feed) == []
    portal.put("companies", 3, name="Changed, and no member")
    turn(feed)
    assert states(feed)["3"] == "filtered"
    feed.close()


def test_who_leaves_before_it_was_sent_is_not_sent(tmp_path: Path, standin: Standin, vip: Any) -> None:
    feed = Feed(tmp_path, standin, list="9")
    feed.wait(700)
    feed.poller().poll(feed.connector)
    assert states(feed)["2"] == "pending"
    vip.ids.remove(2)
    turn(feed)
    assert feed.ids() == ["5"]
    feed.close()


@pytest.mark.parametrize("start", ["all", "now", "2026-03-10T00:00:00.000000Z"])
@pytest.mark.parametrize("edited", [False, True], ids=["as_it_was", "mapping_edited"])
def test_whoever_joins_later_is_sent_whatever_the_start(
    start: str, edited: bool, tmp_path: Path, standin: Standin, vip: Any
) -> None:
    """Also where the mapping was edited since the record was last read: joining is news, and no effect of the edit."""
    feed = Feed(tmp_path, standin, list="9", start=start, lead=NAME_ONLY, children={})
    turn(feed)
    before = feed.ids()
    assert sorted(before) == (["2", "5"] if start == "all" else [])
    if edited:
        feed.lead = {**NAME_ONLY, "labels": ["'edited'"]}
        feed.edited()
        turn(feed)
        assert feed.ids() == before
    vip.ids.append(4)
    turn(feed)
    assert feed.ids() == [*before, "4"]
    feed.close()


def test_outsiders_cost_no_children_and_their_contacts_change_nothing(
    tmp_path: Path, standin: Standin, portal: Portal, vip: Any
) -> None:
    feed = Feed(tmp_path, standin, list="9")
    turn(feed)
    asked = [[each["id"] for each in call.body["inputs"]] for call in standin.calls if call.name == "associations"]
    assert sorted(id_ for ids in asked for id_ in ids) == ["2", "5"]
    portal.put("contacts", 100, email="new@corp.example")
    portal.put("contacts", 200, email="other@corp.example")
    turn(feed)
    assert [id_ for id_, row in feed.records().items() if row["drift"]] == ["2"]
    feed.close()


def test_a_join_is_read_whole_though_the_poll_stops_after_each_page(tmp_path: Path, standin: Standin, vip: Any) -> None:
    feed = Feed(tmp_path, standin, list="9", page_size=1)
    turn(feed)
    vip.ids[:] = [1, 3, 4, 6]
    for _ in range(9):
        feed.wait(700)
        feed.turn(1)
        feed.reopen()
    assert sorted(feed.ids()) == ["1", "2", "3", "4", "5", "6"]
    assert orphans(feed) == ["2", "5"]
    feed.close()


def test_members_are_asked_for_once_in_list_every_and_over_all_pages(
    tmp_path: Path, standin: Standin, portal: Portal, vip: Any
) -> None:
    standin.lists.most = 2
    vip.ids[:] = [1, 2, 3, 4, 5]
    feed = Feed(tmp_path, standin, list="9", options={"list_every": "10m"})
    turn(feed)
    assert sorted(feed.ids()) == ["1", "2", "3", "4", "5"]
    standin.calls.clear()
    for _ in range(20):
        turn(feed, 60)
    assert standin.counted()["members"] == 2 * 3
    assert standin.counted()["segment_by_id"] == 2
    feed.close()


# ---- what never opens it, and never empties it


Spoil = Callable[[Standin, Any], None]


def failing(answer: Answer, name: str = "members") -> Spoil:
    return lambda standin, _: standin.fail(answer, times=10**6, name=name)


def shown_short(standin: Standin, vip: Any) -> None:
    """A page that ends the listing too early."""
    short = standin.lists.members("9", {"limit": "1"})
    short.body.pop("paging")
    standin.fail(short, times=10**6, name="members")


SCOPES = {"requiredGranularScopes": ["crm.lists.read"]}
SPOILT: dict[str, tuple[Spoil, type, str]] = {
    "missing": (lambda standin, _: standin.lists.held.clear(), SourceRefused, f"there is no list {VIP!r} of companies"),
    "archived": (lambda _, vip: setattr(vip, "deleted", True), SourceRefused, f"there is no list {VIP!r}"),
    "renamed": (lambda _, vip: setattr(vip, "name", "Other"), SourceRefused, f"there is no list {VIP!r}"),
    "empty": (lambda _, vip: vip.ids.clear(), SourceRefused, f"the list {VIP!r} has no members"),
    "cut": (shown_short, SourceUnavailable, f"shows 1 of the 2 members of the list {VIP!r}"),
    "scope": (
        failing(error(403, "MISSING_SCOPES", "no", context=SCOPES)),
        SourceRefused,
        f"crm.lists.read (403; correlation id 019ce0f8-75e5-7fd1-a864-f149d8be2a55) (members of the list {VIP!r}",
    ),
    "down": (failing(Answer(502, None, raw=b"<html>")), SourceUnavailable, f"members of the list {VIP!r}"),
    "page": (failing(Answer(404, None, raw=b"<html>")), SourceRefused, f"members of the list {VIP!r}"),
    "name's page": (failing(Answer(404, None, raw=b"<html>"), "segment_by_name"), SourceRefused, f"the list {VIP!r}"),
    "gone between": (failing(error(404, "OBJECT_NOT_FOUND", "no")), SourceRefused, "404"),
    "no results": (failing(Answer(200, {})), SourceUnavailable, "without a list of results"),
    "null results": (failing(Answer(200, {"results": None})), SourceUnavailable, "without a list of results"),
    "odd rows": (failing(Answer(200, {"results": [{"recordId": "x"}]})), SourceUnavailable, "readable recordId"),
    "no ids": (failing(Answer(200, {"results": [{}]})), SourceUnavailable, "readable recordId"),
    "odd list": (failing(Answer(200, {"list": None}), "segment_by_name"), SourceUnavailable, "without an object"),
    "itself": (
        failing(Answer(200, {"results": [{"recordId": "2"}], "paging": {"next": {"after": "7"}}})),
        SourceUnavailable,
        "next page that is another one",
    ),
}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("later", [False, True], ids=["at_first", "later"])
def test_what_fails_neither_opens_the_list_nor_takes_anything_away(
    how: str, later: bool, tmp_path: Path, standin: Standin, portal: Portal, vip: Any
) -> None:
    spoil, kind, words = SPOILT[how]
    feed = Feed(tmp_path, standin, list=VIP, lead=NAME_ONLY, children={})
    if later:
        turn(feed)
        feed.reopen()
    kept, before = states(feed), feed.ids()
    ids = list(vip.ids)
    spoil(standin, vip)
    portal.put("companies", 7, name="New, and no member")
    for _ in range(2):
        with pytest.raises(kind) as caught:
            turn(feed)
        assert words in str(caught.value)
        with pytest.raises(kind):
            feed.connector.fetch(feed.job().spec, ["1"])
        feed.reopen()
    assert (states(feed), feed.ids()) == (kept, before)
    standin.faults.clear()
    standin.lists.held["9"] = vip
    vip.ids[:], vip.name, vip.deleted, vip.status = ids, VIP, False, "COMPLETE"
    turn(feed)
    turn(feed)
    assert sorted(feed.ids()) == ["2", "5"]
    assert states(feed)["7"] == "filtered"
    feed.close()


def test_a_list_that_is_being_filled_is_waited_for_at_first_and_read_later(
    tmp_path: Path, standin: Standin, portal: Portal, vip: Any
) -> None:
    """Under "now" whoever comes into it later would be taken for news, and sent."""
    vip.status, members = "PROCESSING", list(vip.ids)
    vip.ids[:] = [2]
    feed = Feed(tmp_path, standin, list="9", start="now", lead=NAME_ONLY, children={})
    for _ in range(2):
        with pytest.raises(SourceUnavailable, match="still filling the list '9'"):
            turn(feed)
        assert not feed.records()
        feed.reopen()
    vip.status, vip.ids[:] = "COMPLETE", members
    turn(feed)
    vip.status = "PROCESSING"
    vip.ids.append(1)
    turn(feed)
    assert feed.ids() == ["1"]
    assert states(feed)["5"] == "known"
    feed.close()


def test_a_list_that_people_fill_is_never_waited_for(tmp_path: Path, standin: Standin, vip: Any) -> None:
    vip.status, vip.processing = "PROCESSING", "MANUAL"
    feed = Feed(tmp_path, standin, list="9", lead=NAME_ONLY, children={})
    turn(feed)
    assert sorted(feed.ids()) == ["2", "5"]
    feed.close()


def test_a_list_of_other_records_or_an_archived_one_is_refused_by_its_id(standin: Standin, vip: Any) -> None:
    stream = spec(Wanted(frozenset({("name",)})), list="9")
    vip.object_type = "0-1"
    with pytest.raises(SourceRefused, match="holds objects of the type 0-1, not companies"):
        list(opened(standin).read(stream, {}))
    vip.object_type, vip.deleted = "0-2", True
    with pytest.raises(SourceRefused, match="was deleted in HubSpot") as caught:
        list(opened(standin).read(stream, {}))
    assert caught.value.field == "list"


def test_custom_objects_have_lists_too(standin: Standin, portal: Portal) -> None:
    for n in (1, 2):
        portal.put("2-3465404", n, portal.now - 86_400_000, vin=f"V{n}")
    standin.lists.add("4", "Cars", 2, object_type="2-3465404")
    stream = spec(Wanted(frozenset({("vin",), ("@list",)})), "car", list="Cars")
    found = {each.id: each.data for page in opened(standin).read(stream, {}) for each in page.records}
    assert found == {"1": {"@list": False}, "2": {"vin": "V2", "@list": True}}


def test_check_says_which_list_it_is_and_what_is_wrong_with_it(standin: Standin, vip: Any) -> None:
    stream = spec(Wanted(frozenset({("name",)})), list=VIP)

    def said(level: str) -> list[str]:
        return [each.text for each in opened(standin).check(stream) if each.level == level]

    (told,) = [text for text in said("ok") if "crm.lists.read" in text]
    assert told.startswith(f"crm.lists.read: granted; only members of the list {VIP!r} are read (GET /crm/")
    assert not said("error")
    vip.status = "PROCESSING"
    assert said("warning") == [f"HubSpot is still filling the list {VIP!r}"]
    vip.ids.clear()
    assert said("error") == [f"the list {VIP!r} has no members"]
    standin.fail(error(403, "MISSING_SCOPES", "no", context=SCOPES), name="segment_by_name")
    (told,) = said("error")
    assert told.startswith("crm.lists.read: HubSpot: the token lacks a scope: crm.lists.read")


def test_an_operator_sees_who_is_left_out_by_the_list(tmp_path: Path, standin: Standin, vip: Any) -> None:
    standin.limits = False  # by a clock that stands still
    path = tmp_path / "config.toml"
    values: Values = {"token": TOKEN, "base_url": standin.url, "searches_per_second": 5}
    lead = {"kind": "company", "where": "name != 'Firm 5'", "name": "name", "notes": "rest()"}
    path.write_text(
        workspace_tables("http://127.0.0.1:9")
        + source_table("hub", "hubspot", values)
        + stream_tables("hub.companies", {"object": "companies", "list": VIP, "start": "now"}, lead)
    )
    path.chmod(0o600)

    def shown(*words: str) -> Any:
        found = CliRunner().invoke(main, [*words, "--json", "-c", str(path)])
        assert found.exit_code == 0, found.output
        return json.loads(found.stdout)["streams"]

    (stream,) = shown("preview", "hub.companies", "--id", "2", "--id", "3", "--id", "5")
    assert {row["id"]: (row["fate"], row["where"]) for row in stream["records"]} == {
        "2": ("lead", {}),
        "3": ("filtered", {"@list": False}),
        "5": ("filtered", {"name": "Firm 5"}),
    }
    assert "@list" not in stream["records"][0]["lead"]["notes"]
    assert CliRunner().invoke(main, ["once", "-c", str(path)]).exit_code == 0
    assert shown("status")["hub.companies"]["lanes"]["list"] == "2 records"


# ---- edits


@pytest.mark.parametrize("start", ["all", "now"])
def test_a_list_that_comes_or_goes_sends_nothing_of_what_was_there(
    start: str, tmp_path: Path, standin: Standin, portal: Portal, vip: Any
) -> None:
    standin.lists.add("7", "Others", 1, 2, 3)
    feed = Feed(tmp_path, standin, list="9", start=start, lead=NAME_ONLY, children={})
    turn(feed)
    before = feed.ids()
    for named in (None, "9", "7", None, "Others", VIP, "9"):
        feed.list = named
        feed.edited()
        for _ in range(2):
            turn(feed)
        assert feed.ids() == before, named
    assert [id_ for id_, row in feed.records().items() if row["drift"]] == []
    vip.ids.append(6)
    turn(feed)
    assert feed.ids() == [*before, "6"]
    feed.close()


def test_what_waits_is_not_sent_once_a_list_leaves_it_out(tmp_path: Path, standin: Standin, vip: Any) -> None:
    feed = Feed(tmp_path, standin, lead=NAME_ONLY, children={})
    feed.wait(700)
    feed.poller().poll(feed.connector)
    assert set(states(feed).values()) == {"pending"}
    feed.list = "9"
    feed.edited()
    turn(feed)
    assert sorted(feed.ids()) == ["2", "5"]
    feed.close()


def test_reread_holds_what_an_edited_list_lets_in(tmp_path: Path, standin: Standin, vip: Any) -> None:
    feed = Feed(tmp_path, standin, list="9", lead=NAME_ONLY, children={})
    turn(feed)
    feed.list = None
    feed.edited()
    turn(feed)
    stream = feed.job().row.id
    assert ask_reread(feed.ledger, stream) == 4
    feed.poller().reread(feed.connector)
    feed.deliver()
    assert sorted(feed.ids()) == ["2", "5"]
    assert [id_ for id_, state in states(feed).items() if state == "held"] == ["1", "3", "4", "6"]
    feed.close()


def test_another_list_of_the_same_name_sends_nothing_of_what_was_there(
    tmp_path: Path, standin: Standin, vip: Any
) -> None:
    """Who is no longer in it is told; who is in it now comes once it changes, joins, or is read again."""
    feed = Feed(tmp_path, standin, list=VIP, lead=NAME_ONLY, children={})
    turn(feed)
    vip.deleted = True
    again = standin.lists.add("10", VIP, 5, 1)
    turn(feed)
    assert sorted(feed.ids()) == ["2", "5"]
    assert orphans(feed) == ["2"]
    again.ids.append(3)
    turn(feed)
    assert feed.ids()[2:] == ["3"]
    feed.close()


def test_a_list_is_no_part_of_what_a_stream_is(standin: Standin) -> None:
    one, other = (opened(standin).identity(spec(Wanted(), list=named)) for named in (None, "9"))
    assert one == other
    assert DeclaredStream("hub.companies", one, "main", "hold", "v")


# ---- as it is kept


@given(st.frozensets(st.integers(0, 2**63), max_size=50))
def test_ids_are_kept_as_they_are(ids: frozenset[int]) -> None:
    assert unpacked(packed(ids)) == ids


def test_a_hundred_thousand_ids_are_kept_in_half_a_megabyte() -> None:
    ids = frozenset(range(40_000_000_000, 40_000_000_000 + 97_003 * 100_000, 97_003))
    assert len(packed(ids)) < 500_000


# ---- any history


ANCHOR = 99
"""A member that never leaves: an empty list is refused."""
ACTIONS = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 4)),
    st.tuples(st.just("join"), st.integers(1, 4)),
    st.tuples(st.just("leave"), st.integers(1, 4)),
    st.tuples(st.just("turn"), st.sampled_from([None, None, 1, 2])),
    st.tuples(st.just("wait"), st.sampled_from([1, 61, 700, 90_000])),
    st.tuples(st.just("reopen")),
    st.tuples(st.just("label")),
    st.tuples(st.just("down")),
)


def test_any_history_sends_whoever_was_a_member_when_it_was_looked_at(standin: Standin, portal: Portal) -> None:
    """The oracle: nobody is sent twice; nobody who never was a member is sent; whoever is one at the end was sent; the
    leads of those who left, and of no others, are orphaned."""

    def act(feed: Feed, action: Any, members: set[int], ever: set[int]) -> None:
        match action:
            case "put", n:
                portal.put("companies", n, name=f"Firm {n}")
            case "join", n if n in portal.things["companies"]:
                members.add(n)
                ever.add(n)
            case "leave", n:
                members.discard(n)
            case "turn", pages:
                if feed.poller().has_to_judge_again():
                    feed.poller().remap(feed.connector)
                feed.turn(pages)
            case "wait", seconds:
                feed.wait(seconds)
            case ("reopen",):
                feed.reopen()
            case ("label",):
                feed.lead = {**NAME_ONLY, "labels": [f"'{len(feed.sent)}'"]}
                feed.edited()
            case ("down",):
                standin.fail(Answer(502, None, raw=b""), times=5, name="members")
                feed.reopen()
                with pytest.raises(SourceUnavailable):
                    feed.turn()
                feed.reopen()
        standin.lists.held["9"].ids[:] = sorted({ANCHOR, *members})

    @settings(
        max_examples=sized(7, 200, 2000),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(st.lists(ACTIONS, min_size=8, max_size=25), st.sampled_from([1, 1000]), st.sampled_from(["all", "now"]))
    def run(actions: list[Any], size: int, start: str) -> None:
        portal.clear()
        standin.faults.clear()
        portal.put("companies", ANCHOR, portal.now - 86_400_000, name="Anchor")
        standin.lists.add("9", "VIP", ANCHOR)
        members: set[int] = set()
        ever: set[int] = set()
        with tempfile.TemporaryDirectory() as folder:
            feed = Feed(Path(folder), standin, list="9", lead=NAME_ONLY, children={}, page_size=size, start=start)
            feed.options = source(standin, list_every="1m")
            try:
                turn(feed)
                for action in actions:
                    act(feed, action, members, ever)
                for _ in range(2):
                    turn(feed, 4000)
                sent = feed.ids()
                assert len(sent) == len(set(sent)), "a record was sent twice"
                assert set(sent) <= {str(n) for n in (*ever, ANCHOR)}, "somebody was sent who never was a member"
                assert {str(n) for n in members} <= set(sent), "a member was not sent"
                assert set(orphans(feed)) == set(sent) - {str(n) for n in (*members, ANCHOR)}
            finally:
                feed.close()

    run()
