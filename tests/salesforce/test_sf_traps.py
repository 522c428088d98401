"""The twelve traps of Salesforce's API that bite hardest, each with a test that fails without the care it asks for.

Others are in the files of their topic: logging in, transport, quota, reading.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from sync.shared.errors import SourceRefused, SourceUnavailable
from sync.shared.words import Json
from tests.salesforce.sf_faults import Fault, error
from tests.salesforce.sf_proxy import Proxy
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_world import (
    CREDENTIALS,
    connect,
    fields,
    log_in,
    on,
    poll,
    records_of,
    settle_down,
    source,
    stream,
)

MINUTE = timedelta(minutes=1)


def test_a_session_refused_for_good_makes_two_logins_and_then_a_pause(stand_in: StandIn, proxy: Proxy) -> None:
    """By itself the library makes 982 of each over an object's description, then overflows the stack."""
    stand_in.sessions_are_good = False
    connector = log_in(stand_in, proxy)
    for _ in range(3):
        with pytest.raises(SourceRefused, match="so is one just opened"):
            poll(connector, stream(), {})
    assert len(stand_in.logins) == 2
    assert len(stand_in.asked) - len(stand_in.logins) <= 3


HANGS = {
    "the login": "/services/oauth2/token",
    "a description": "/describe",
    "a query": "/query/?q=",
    "the rest of a query": "/query/0r8",
    "a long query": "/composite",
}


@pytest.mark.parametrize(
    ("place", "how"), [*((place, "hang") for place in HANGS), ("the login", "trickle"), ("a query", "trickle")]
)
def test_a_hang_ends_within_its_time_out(stand_in: StandIn, proxy: Proxy, place: str, how: str) -> None:
    """The library has no time-out by default, and none at all for logins; a trickle defeats one of each byte."""
    for number in range(5):
        stand_in.org.put("Account", number, Name=f"Firm {number}")
    settle_down(stand_in)
    stand_in.batch_size = 2
    connector = log_in(stand_in, proxy, timeout="1.5s")
    connector._account.longest_uri = 10 if place == "a long query" else 10_000
    stand_in.faults.append(Fault(how=how, on=on(HANGS[place])))
    with pytest.raises(SourceUnavailable, match="did not answer in time"):
        poll(connector, stream(), {})
    assert not stand_in.faults


def test_passwords_are_warned_of_and_refused_where_they_cannot_work(stand_in: StandIn) -> None:
    password = {"flow": "password", "username": "ann@example.com", "password": "x"}
    said = list(source(stand_in, auth=password).cautions())
    assert any("new organisations" in what and "client_credentials" in cure for _, what, cure in said)
    with pytest.raises(ValidationError, match=r"ended with api_version 64\.0"):
        source(stand_in, auth=password, api_version="65.0")
    assert not list(source(stand_in, auth=CREDENTIALS, domain="acme").cautions())


@pytest.mark.parametrize("batch", [3, 2000])
def test_any_number_of_records_of_one_second_is_read_once(stand_in: StandIn, batch: int) -> None:
    """Salesforce gives ties in no order; every query asks for the order of ids, which has none."""
    at = stand_in.org.now()
    ids = [stand_in.org.put("Account", number, at, Name=f"Firm {number}") for number in range(40)]
    assert ids != sorted(ids)
    settle_down(stand_in)
    stand_in.batch_size = batch
    connector, lanes, seen = connect(stand_in), dict[str, Json](), list[str]()
    for stop in (2, 1, 3, None):
        for page in poll(connector, stream(page_size=7), lanes, stop):
            seen += [record.id for record in page.records]
    assert sorted(seen) == sorted(ids)
    assert all("ORDER BY Id" in soql for soql in stand_in.queries if "LIMIT 2000" in soql)


def test_a_record_committed_late_arrives(stand_in: StandIn) -> None:
    connector, lanes = connect(stand_in), dict[str, Json]()
    poll(connector, stream(), lanes)
    late = []
    for number, minutes in enumerate((1, 5, 9)):
        stand_in.org.advance(MINUTE)
        poll(connector, stream(), lanes)
        late.append(stand_in.org.put("Account", number, stand_in.org.now() - minutes * MINUTE, Name="late"))
        poll(connector, stream(), lanes)
    stand_in.org.advance(2 * MINUTE)
    found = records_of(poll(connector, stream(overlap=900), lanes))
    assert set(found) == set(late)


def test_a_time_that_moves_alone_makes_the_same_record_and_a_formula_is_read_by_the_sweep(stand_in: StandIn) -> None:
    id_ = stand_in.org.put("Account", 1, Name="Firm", Score__c=1.5)
    settle_down(stand_in)
    connector, lanes, spec = connect(stand_in), dict[str, Json](), stream(fields("Name", "Score__c"), children={})
    (first,) = records_of(poll(connector, spec, lanes)).values()
    stand_in.org.touch("Account", id_)
    settle_down(stand_in)
    (touched,) = records_of(poll(connector, spec, lanes)).values()
    assert touched.data == first.data
    assert touched.modified != first.modified
    stand_in.org.touch("Account", id_, stamp=False, Score__c=2.5)
    settle_down(stand_in)
    assert not records_of(poll(connector, spec, lanes))
    assert [row for listing in connector.sweep(spec, None) for row in listing.rows] == [(id_, touched.modified)]
    reread = stream(fields("Name", "Score__c"), children={}, reread=True)
    assert [row for listing in connector.sweep(reread, None) for row in listing.rows] == [(id_, None)]
    assert connector.fetch(reread, [id_])[0].data == {"Name": "Firm", "Score__c": 2.5}


def test_all_children_come_although_a_nested_query_is_cut(stand_in: StandIn) -> None:
    account = stand_in.org.put("Account", 1, Name="Firm")
    contacts = {stand_in.org.put("Contact", n, AccountId=account, Email=f"c{n}@x.example") for n in range(1200)}
    settle_down(stand_in)
    stand_in.batch_size = 499
    connector = connect(stand_in)
    nested = connector._client.one("SELECT Id, (SELECT Email FROM Contacts) FROM Account LIMIT 1", "accounts")
    assert nested is not None
    assert len(nested["Contacts"]["records"]) < nested["Contacts"]["totalSize"] == 1200
    stand_in.forget()
    (record,) = records_of(poll(connector, stream(), {})).values()
    assert set(record.children["contacts"]) == contacts
    assert len({contact["Email"] for contact in record.data["contacts"]}) == 1200
    assert not any("(SELECT" in soql for soql in stand_in.queries)


def test_no_address_is_longer_than_salesforce_or_a_proxy_takes(stand_in: StandIn) -> None:
    ids = [stand_in.org.put("Account", number, Name=f"Firm {number}") for number in range(900)]
    wide = [f"Custom_field_of_a_very_long_name_{number}__c" for number in range(400)]
    stand_in.org.fields["Account"] += [
        {**stand_in.org.fields["Account"][0], "name": name, "type": "string"} for name in wide
    ]
    connector = connect(stand_in)
    assert len(connector.fetch(stream(), ids)) == 900
    assert max(len(asked.path) for asked in stand_in.asked) < 8_000
    stand_in.forget()
    assert len(connector.fetch(stream(fields("Name", *wide), children={}), ids)) == 900
    assert {asked.method for asked in stand_in.asked if asked.soql} == {"POST"}
    stand_in.longest_uri = 2_000
    for stand_in.too_long in (414, 431):
        stand_in.forget()
        assert len(connect(stand_in).fetch(stream(), ids)) == 900
        too_long = [asked for asked in stand_in.asked if len(asked.path) > 2_000]
        assert len(too_long) <= 3  # each shorter kind of query once; from then on they travel in bodies


def test_a_field_that_the_user_may_not_see_is_named_with_the_line_that_wants_it(stand_in: StandIn) -> None:
    stand_in.org.put("Account", 1, Name="Firm", Industry="Steel")
    settle_down(stand_in)
    line = "sources.sf.streams.accounts.lead.industry"
    spec = stream(fields("Name", "Industry"), children={}, readers={("Industry",): [line]})
    connector, lanes = connect(stand_in), dict[str, Json]()
    poll(connector, spec, lanes)
    stand_in.org.hidden_fields.add(("Account", "Industry"))  # after it was described
    with pytest.raises(SourceRefused, match=rf"Account\.Industry \(read by {line}\)"):
        poll(connector, spec, lanes)
    poll(connector, stream(fields("Name"), children={}), lanes)


def test_records_that_sharing_hid_come_by_the_sweep(stand_in: StandIn) -> None:
    shown, hidden = (stand_in.org.put("Account", number, Name="Firm") for number in range(2))
    stand_in.org.hidden_rows.add(hidden)
    settle_down(stand_in)
    connector, lanes = connect(stand_in), dict[str, Json]()
    assert set(records_of(poll(connector, stream(), lanes))) == {shown}
    settle_down(stand_in)
    stand_in.org.hidden_rows.clear()
    assert not records_of(poll(connector, stream(), lanes))
    assert {id_ for listing in connector.sweep(stream(), None) for id_, _ in listing.rows} == {shown, hidden}


def test_a_403_of_limits_is_no_refusal_of_the_user(stand_in: StandIn) -> None:
    daily = error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    concurrent = error(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.")
    clock = [0.0]
    for fault, words, rest in ((daily, "of 24 hours are used up", 900), (concurrent, "at this moment", 120)):
        connector = connect(stand_in, lambda: clock[0])
        stand_in.faults.append(fault)
        with pytest.raises(SourceUnavailable, match=words):
            poll(connector, stream(), {})
        stand_in.forget()
        clock[0] += 25
        with pytest.raises(SourceUnavailable, match=f"pauses.*{words}"):
            poll(connector, stream(), {})
        assert not stand_in.asked  # nobody asks while it rests
        clock[0] += rest
        poll(connector, stream(), {})
    stand_in.faults.append(error(403, "INSUFFICIENT_ACCESS"))
    with pytest.raises(SourceRefused, match="may not read"):
        poll(connect(stand_in), stream(), {})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, "<html>We are down for maintenance.</html>"),
        (200, "<html>We are down for maintenance.</html>"),
        (200, {"unexpected": True}),
        (200, []),
        (200, {"totalSize": 5, "done": True, "records": []}),
        (200, {"totalSize": 1, "done": False, "records": [{}]}),
        (502, ""),
        (500, ""),
        (406, ""),
        (420, "<html>setting things up</html>"),
        (429, "{}"),
    ],
)
def test_a_page_instead_of_an_answer_is_tried_again_later(stand_in: StandIn, status: int, body: object) -> None:
    connector, lanes = connect(stand_in), dict[str, Json]()
    poll(connector, stream(), lanes)
    for place in ("queryAll", "describe"):
        connector._account.forget_schemas()
        stand_in.faults.append(Fault(status, body, on=on(place)))
        with pytest.raises(SourceUnavailable):
            poll(connector, stream(), lanes)
        assert not stand_in.faults
    poll(connector, stream(), lanes)


@pytest.mark.parametrize("body", [{"error": "invalid"}, [], "", "<html>no</html>", [{"errorCode": None}], "null"])
def test_a_401_of_any_shape_renews_the_session_once(stand_in: StandIn, proxy: Proxy, body: object) -> None:
    """The library falls over all of these."""
    connector = log_in(stand_in, proxy)
    poll(connector, stream(), {})
    stand_in.faults.append(Fault(401, body))
    poll(connector, stream(), {})
    assert len(stand_in.logins) == 2
    assert not stand_in.faults


def test_hosts_are_taken_in_every_spelling(stand_in: StandIn) -> None:
    """What the library calls instance_url is a prefix for one flow and a whole URL for another."""
    for spelling in (stand_in.host, f"https://{stand_in.host}", f"https://{stand_in.host}/services/data"):
        auth = {"flow": "session", "session_id": "open-session", "instance": spelling}
        poll(connect(stand_in, auth=auth), stream(), {})
    for spelling in ("acme", "acme.my", "ACME.my.salesforce.com", "https://acme.my.salesforce.com/lightning/page"):
        assert source(stand_in, auth=CREDENTIALS, domain=spelling).domain == "acme.my"
