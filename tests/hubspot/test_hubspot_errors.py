"""Answers that are none are asked for again; refusals are told in an administrator's words."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from sync.shared.errors import SourceRefused, SourceUnavailable
from sync.shared.words import Wanted
from tests.hubspot.hubspot_answers import Answer, error
from tests.hubspot.hubspot_feed import Feed
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import Asked, Standin
from tests.hubspot.hubspot_world import failure, opened, poll, spec
from tests.logged import logged
from tests.sizes import sized

pytestmark = pytest.mark.usefixtures("one_company")


# ---- answers that are none


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, None, raw=b'{"results": [{"id": "1", "prop'),
        Answer(200, None, raw=b"<html><body>Just a moment</body></html>"),
        Answer(200, None, raw=b""),
        Answer(200, None, raw=b"[]"),
        Answer(200, {"status": "COMPLETE"}),
        Answer(200, {"results": None}),
        Answer(200, {"results": ["x"]}),
        Answer(200, {"results": [{"properties": {}}]}),
        Answer(200, {"results": [], "paging": {"next": {}}}),
        Answer(200, {"results": [], "paging": "x"}),
        Answer(204, None, raw=b""),
        Answer(500, None, raw=b"\xff\xfe not text"),
        Answer(502, None, raw=b"<html>Bad Gateway</html>"),
        Answer(423, {"message": "locked"}),
        None,
    ],
)
@pytest.mark.filterwarnings("error")
def test_an_answer_that_is_none_is_asked_for_again_and_is_never_an_empty_page(
    answer: Answer | None, standin: Standin
) -> None:
    """Of a broken 200 the vendor's client makes an empty success."""
    standin.contract.is_held = False  # no document has these
    standin.fail(answer, times=2, name="list")
    assert poll(opened(standin)) == ["1"]
    standin.fail(answer, times=99, name="list")
    told = failure(standin)
    assert isinstance(told, SourceUnavailable)
    assert "5 times in a row" in told.message
    assert (told.source, told.stream) == ("hub", "companies")


def test_a_search_without_a_total_is_no_search(standin: Standin) -> None:
    standin.contract.is_held = False  # no document has this
    standin.fail(Answer(200, {"results": []}), times=99, name="search")
    assert "without a total" in failure(standin).message


@pytest.mark.parametrize("name", ["list", "search", "owners"])
def test_a_page_that_leads_to_itself_is_not_read_for_ever(name: str, standin: Standin, portal: Portal) -> None:
    answer: Any = {"results": [], "total": 1, "paging": {"next": {"after": "7", "link": "x"}}}
    standin.fail(Answer(200, answer), times=10**6, name=name)
    portal.put("companies", 1, portal.now - 86_400_000, hubspot_owner_id="1")
    stream = spec(Wanted(frozenset({("hubspot_owner_id@label",)})))
    lane = {"through": portal.now - 90_000_000, "within": None}
    bin_ = {"since": 0, "due": 10**15, "began": None, "after": None}
    with pytest.raises(SourceUnavailable, match="without a next page that is another one"):
        list(opened(standin).read(stream, {"live": {"fast": lane, "settled": lane, "bin": bin_}}))


def test_associations_that_lead_to_themselves_end(standin: Standin, portal: Portal) -> None:
    link = {"from": {"id": "1"}, "to": [], "paging": {"next": {"after": "7", "link": "x"}}}
    times = {"startedAt": "2026-03-10T12:00:00Z", "completedAt": "2026-03-10T12:00:00Z", "status": "COMPLETE"}
    standin.fail(Answer(200, {"results": [link], **times}), times=10**6, name="associations")
    stream = spec(Wanted(frozenset({("name",)}), {"c": Wanted(None)}), children={"c": {"object": "contacts"}})
    assert poll(opened(standin), stream) == ["1"]
    assert standin.counted()["associations"] == 2


JUNK: list[Any] = [None, 0, -1, 1.5, True, "", "x", "9" * 40, [], [1], {}, {"id": None}, [[]], {"results": 1}]


def spoiled(value: Any, chance: random.Random) -> Any:
    """The answer with something in it replaced by junk, or missing."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        if chance.random() < 0.2:
            return {name: each for name, each in value.items() if name != key}
        return {**value, key: spoiled(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        at = chance.randrange(len(value))
        return [*value[:at], spoiled(value[at], chance), *value[at + 1 :]]
    return chance.choice(JUNK)


def test_no_rubbish_in_an_answer_is_a_defect_of_ours(
    standin: Standin, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong in it, the poll goes on or ends with an error that says so."""
    monkeypatch.setattr("connectors.hubspot.calls.ATTEMPTS", 1)
    standin.contract.is_held = False  # no document has these
    standin.limits = False
    for n in range(2, 5):
        portal.put("companies", n, portal.now - 86_400_000, name="Firm", industry="BANKING", hubspot_owner_id="1")
        portal.put("contacts", 10 + n, portal.now - 86_400_000, email="kim@example.com")
        portal.link("companies", n, "contacts", 10 + n, primary=True, labels=["Chef"])
    wanted = Wanted(
        frozenset({("name",), ("industry@label",), ("hubspot_owner_id@label",)}),
        {"contacts": Wanted(frozenset({("email",), ("association",)}))},
    )
    stream = spec(wanted, children={"contacts": {"object": "contacts"}})
    lane = {"fast": {"through": portal.now - 90_000_000, "within": None}}
    lane |= {"settled": lane["fast"], "bin": {"since": 0, "due": 0, "began": None, "after": None}}
    ended = set()
    for seed in range(sized(60, 1500, 10_000)):
        chance = random.Random(seed)
        name = chance.choice(["account", "search", "list", "batch", "associations", "properties", "owners", "one"])
        portal.forgetful = {"2"} if name == "one" else set()

        def spoil(asked: Asked, name: str = name, chance: random.Random = chance) -> Answer | None:
            if asked.name != name:
                return None
            places = {"object": asked.object, "to": asked.to, "id": "2"}
            answer = standin._call(asked, {key: each for key, each in places.items() if each})
            return Answer(200, spoiled(answer.body, chance))

        standin.faults[:] = [spoil]
        connector = opened(standin)
        try:
            for page in connector.read(stream, {"live": lane, "child:contacts": lane}):
                orjson.dumps([record.data for record in page.records])
            connector.fetch(stream, ["2", "3"])
            list(connector.sweep(stream, None))
            ended.add("well")
        except (SourceUnavailable, SourceRefused) as error:
            ended.add(type(error).__name__)
        finally:
            connector.close()
    assert ended == {"well", "SourceUnavailable", "SourceRefused"}


# ---- what a person must mend


def test_a_missing_scope_is_named(standin: Standin) -> None:
    scopes = {"requiredGranularScopes": ["crm.objects.companies.read"]}
    answer = error(403, "MISSING_SCOPES", "One or more of the following scopes are required.", context=scopes)
    standin.fail(answer, times=99, name="search")
    told = failure(standin)
    assert isinstance(told, SourceRefused)
    assert told.message == (
        "HubSpot: the token lacks a scope: crm.objects.companies.read "
        "(403; correlation id 019ce0f8-75e5-7fd1-a864-f149d8be2a55) (search companies)"
    )
    assert "add it" in told.hint


def test_a_missing_scope_in_the_errors_of_a_400_is_named_too(standin: Standin) -> None:
    scopes = {"message": "One or more …", "context": {"requiredGranularScopes": ["crm.schemas.deals.read"]}}
    standin.fail(error(400, "MISSING_SCOPES", "This app hasn't been granted …", errors=[scopes]), name="list")
    assert "lacks a scope: crm.schemas.deals.read" in failure(standin).message


def test_other_refusals_say_category_correlation_id_and_the_message_without_addresses(standin: Standin) -> None:
    standin.fail(error(400, "VALIDATION_ERROR", "Contact kim@corp.example is\nno good"), name="list")
    told = failure(standin)
    assert isinstance(told, SourceRefused)
    assert "400 VALIDATION_ERROR; correlation id 019ce0f8" in told.message
    assert "Contact … is no good" in told.message


def test_a_user_without_rights_is_told(standin: Standin) -> None:
    standin.fail(error(403, "USER_DOES_NOT_HAVE_PERMISSIONS", "no"), name="list")
    assert "super admin" in failure(standin).hint


@pytest.mark.parametrize("answer", [error(404, "OBJECT_NOT_FOUND", "no"), Answer(404, None, raw=b"<html>404</html>")])
def test_an_object_without_a_licence_refuses_its_stream_alone(answer: Answer, standin: Standin) -> None:
    def unlicensed(asked: Any) -> Answer | None:
        return answer if asked.object == "leads" else None

    standin.faults.append(unlicensed)
    connector = opened(standin)
    with pytest.raises(SourceRefused, match="404"):
        poll(connector, spec(Wanted(frozenset({("hs_lead_name",)})), "leads"))
    assert poll(connector) == ["1"]


def test_a_property_that_does_not_exist_is_named_with_the_nearest(standin: Standin) -> None:
    """HubSpot itself leaves it out without a word."""
    with pytest.raises(SourceRefused) as caught:
        poll(opened(standin), spec(Wanted(frozenset({("nmae",)}))))
    assert caught.value.field == "nmae"
    assert "did you mean 'name'?" in caught.value.hint


def test_a_property_that_is_renamed_later_is_noticed_within_a_day(
    tmp_path: Path, standin: Standin, portal: Portal
) -> None:
    feed = Feed(tmp_path, standin, lead={"kind": "company", "name": "name"}, children={})
    feed.turn()
    portal.definitions["companies"] = [each for each in portal.definitions["companies"] if each["name"] != "name"]
    feed.turn()
    feed.wait(86_500)
    with pytest.raises(SourceRefused, match="no property 'name'"):
        feed.turn()
    feed.close()


def test_an_object_that_does_not_exist_is_named(standin: Standin) -> None:
    with pytest.raises(SourceRefused) as caught:
        poll(opened(standin), spec(Wanted(frozenset({("name",)})), "carr"))
    assert caught.value.message == "there is no object 'carr'"
    assert "did you mean 'car'?" in caught.value.hint


def test_a_search_that_is_blind_is_refused_not_believed(standin: Standin, portal: Portal) -> None:
    portal.blind = True
    told = failure(standin)
    assert isinstance(told, SourceRefused)
    assert "finds nothing, although there are records" in told.message


def test_a_search_that_does_not_know_a_new_record_yet_is_not_blind(standin: Standin, portal: Portal) -> None:
    portal.clear()
    portal.put_late("companies", 1, 3_000_000, name="Fresh")
    assert poll(opened(standin)) == ["1"]


def test_a_redirect_is_not_followed(standin: Standin) -> None:
    standin.contract.is_held = False  # no document has this
    standin.fail(Answer(302, {}, {"Location": "https://elsewhere.example/"}), name="account")
    told = failure(standin)
    assert isinstance(told, SourceRefused)
    assert "302" in told.message


# ---- nothing is told that should not be


def test_the_log_holds_no_token_and_no_value(tmp_path: Path, standin: Standin, portal: Portal) -> None:
    out: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            out.append(record.getMessage())

    listener = Listener()
    logging.getLogger().addHandler(listener)
    portal.put("companies", 2, portal.now - 86_400_000, name="Canary Corp")
    portal.put("contacts", 3, portal.now - 86_400_000, email="canary@corp.example")
    portal.link("companies", 2, "contacts", 3)
    feed = Feed(tmp_path, standin)
    with logged() as events:
        feed.turn()
        standin.fail(error(500, "INTERNAL", "canary"), times=99)
        feed.wait(60)
        with pytest.raises(SourceUnavailable):
            feed.turn()
    logging.getLogger().removeHandler(listener)
    feed.close()
    assert events
    assert "canary" not in (json.dumps(events) + "".join(out)).lower()
