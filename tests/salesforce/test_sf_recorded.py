"""What a real Salesforce answered: the connector understands it, and the stand-in answers alike."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from connectors.salesforce.access import login_fault
from connectors.salesforce.descriptions import ObjectSchema
from connectors.salesforce.errors import fault_of
from connectors.salesforce.quota import parse_usage
from connectors.salesforce.soql import canonical, seconds_of
from sync.shared.errors import SourceRefused
from tests.salesforce.sf_faults import Fault
from tests.salesforce.sf_proxy import Proxy
from tests.salesforce.sf_recorded import answers, packed
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_world import CREDENTIALS, connect, fields, firms, log_in, on, poll, stream

ERRORS = [
    ("error_400_invalid_field_sobject", "field", "Account.AccountNumer"),
    ("error_400_invalid_type", "refused", "Accout"),
    ("error_400_malformed_id_with_position", "refused", "cannot be compared"),
    ("error_400_query_timeout", "slow", "took too long"),
    ("error_401_invalid_session_id", "session", "has ended"),
    ("error_403_request_limit_exceeded", "daily", "24 hours"),
    ("error_500_empty_body", "later", "HTTP 500"),
    ("get_contact_404_not_found", "absent", "nothing there"),
    ("html_down_for_maintenance", "later", "not available"),
]


@pytest.mark.parametrize(("name", "kind", "words"), ERRORS)
def test_recorded_errors_are_understood(name: str, kind: str, words: str) -> None:
    answer = answers()[name]
    fault = fault_of(answer["status"], answer["body"])
    assert fault.kind == kind
    assert words in fault.what
    assert "somethingwonky" not in fault.what + fault.hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("oauth_error_invalid_password", "is not accepted"),
        ("oauth_error_unsupported_grant_type", "not enabled"),
        ("oauth_error_user_hasnt_approved", "pre-authorised"),
    ],
)
def test_recorded_refusals_of_logins_are_understood(name: str, words: str) -> None:
    body = answers()[name]["body"]
    fault = login_fault(body["error"], body["error_description"])
    assert (fault.kind, words in fault.what) == ("refused", True)


@pytest.mark.parametrize(
    ("name", "words"),
    [("soap_login_fault_invalid_login", "locked"), ("soap_login_fault_login_disabled", "switched off")],
)
def test_recorded_soap_faults_are_understood(stand_in: StandIn, proxy: Proxy, name: str, words: str) -> None:
    answer = answers()[name]
    stand_in.login_fault = (answer["status"], answer["body"])
    auth = {"flow": "password", "username": "ann@example.com", "password": "x"}
    with pytest.raises(SourceRefused, match=words):
        poll(log_in(stand_in, proxy, auth=auth), stream(), {})


@pytest.mark.parametrize(
    ("name", "session", "host"),
    [
        ("soap_login_success_v42", "00D000000000000!DUMMY_SESSION_ID_REDACTED", "d4s000000oz4euaa-dev-ed.my"),
        ("oauth_token_success_password_grant", "DUMMY_access_token_REDACTED", "openstax-example.my"),
    ],
)
def test_recorded_logins_open_a_session(stand_in: StandIn, proxy: Proxy, name: str, session: str, host: str) -> None:
    stand_in.login_fault = (200, answers()[name]["body"])
    stand_in.sessions.add(session)
    password = {"flow": "password", "username": "ann@example.com", "password": "x"}
    poll(log_in(stand_in, proxy, auth=password if "soap" in name else CREDENTIALS), stream(), {})
    assert proxy.asked[-1] == f"{host}.salesforce.com:443"


def test_recorded_descriptions_are_understood() -> None:
    names = ("account", "contact", "lead")
    account, contact, lead = (ObjectSchema.of(packed(f"describe_{name}")["body"]) for name in names)
    assert {schema.cursor for schema in (account, contact, lead)} == {"SystemModstamp"}
    assert (account.prefix, contact.prefix, lead.prefix) == ("001", "003", "00Q")
    assert account.relations["Owner"].refers_to == ("User",)
    assert set(lead.relations["Owner"].refers_to) == {"Group", "User"}
    assert contact.fields["AccountId"].type == "reference"
    assert lead.has("IsConverted")
    assert not account.has("IsPersonAccount")
    assert account.nearest("Indusrty") == "the nearest is Industry"


def test_recorded_times_are_read_to_the_second() -> None:
    rows = packed("accounts")["rows"] + packed("contacts")["rows"]
    times = {row["SystemModstamp"] for row in rows}
    assert all(time.endswith(".000+0000") for time in times)
    assert canonical("2026-05-01T07:25:37.000+0000") == "2026-05-01T07:25:37.000000Z"
    kept = answers()["records_rest_vs_bulk"]["body"]
    by_bulk = kept["bulk_lead_history"][0]["CreatedDate"]
    assert seconds_of(by_bulk) == seconds_of(by_bulk.replace("Z", "+0000"))


def test_recorded_accounts_share_their_times_and_come_out_of_the_order_of_ids() -> None:
    rows = packed("accounts")["rows"]
    by_time: dict[str, list[str]] = {}
    for row in rows:
        by_time.setdefault(row["SystemModstamp"], []).append(row["Id"])
    ties = [ids for ids in by_time.values() if len(ids) > 1]
    assert (len(rows), len(by_time)) == (2086, 423)
    assert len(ties) == 415
    assert sum(ids != sorted(ids) for ids in ties) == 394
    assert sum(row["SystemModstamp"] != row["LastModifiedDate"] for row in rows) == 7


# ---- the stand-in answers alike


def asked(stand_in: StandIn, path: str, **params: str) -> requests.Response:
    return requests.get(
        f"https://{stand_in.host}/services/data/v64.0/{path}",
        params=params,
        headers={"Authorization": "Bearer open-session"},
        verify=str(stand_in.authority.ca_file),
        timeout=10,
    )


def shape(value: Any, depth: int = 3) -> Any:
    """Keys and types; of a list the first item's; null is like anything."""
    if isinstance(value, dict) and depth:
        return {key: shape(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0], depth)] if value and depth else []
    return None if value is None else type(value).__name__


def test_pages_of_rows_look_alike(stand_in: StandIn) -> None:
    firms(stand_in, 3)
    stand_in.batch_size = 2
    recorded = answers()["query_paging_tiny_page1"]["body"]
    page = asked(stand_in, "query/", q="SELECT Id, Name FROM Account").json()
    assert shape(page) == shape(recorded)
    last = asked(stand_in, page["nextRecordsUrl"].split("/", 4)[-1]).json()
    assert shape(last) == shape(answers()["query_paging_tiny_page2"]["body"])
    assert page["nextRecordsUrl"].rsplit("-", 1)[1] == "2"
    empty = asked(stand_in, "query/", q="SELECT Id FROM Lead").json()
    assert empty == answers()["query_empty"]["body"]


def test_parents_and_nested_children_look_alike(stand_in: StandIn) -> None:
    firm, lone = firms(stand_in, 2)
    for number in range(5):
        stand_in.org.put("Contact", number, AccountId=firm, LastName="Doe")
    found = asked(stand_in, "query/", q="SELECT Name, (SELECT LastName FROM Contacts) FROM Account ORDER BY Id").json()
    by_id = {row["attributes"]["url"][-18:]: row["Contacts"] for row in found["records"]}
    full, none = (row["Contacts"] for row in answers()["query_account_nested_contacts"]["body"]["records"])
    assert by_id[lone] is none is None
    cut = answers()["query_nested_child_truncated_with_nextRecordsUrl"]["body"]["records"][0]["Comments_r"]
    assert set(by_id[firm]) == set(cut)
    assert shape(by_id[firm]["records"]) == shape(full["records"])
    owner = asked(stand_in, "query/", q="SELECT Owner.Name FROM Account").json()["records"][0]["Owner"]
    recorded = answers()["query_user_parent_relationship_null"]["body"]["records"][0]["Profile"]
    assert owner is recorded is None


def test_errors_headers_and_logins_look_alike(stand_in: StandIn, proxy: Proxy) -> None:
    wrong = asked(stand_in, "query/", q="SELECT Nmae FROM Account")
    assert (wrong.status_code, shape(wrong.json())) == (
        400,
        shape(answers()["error_400_invalid_field_sobject"]["body"]),
    )
    stand_in.sessions.clear()
    ended = asked(stand_in, "query/", q="SELECT Id FROM Account")
    assert (ended.status_code, ended.json()) == (401, answers()["error_401_invalid_session_id"]["body"])
    for headers in (ended.headers, answers()["query_user_parent_relationship_null"]["headers"]):
        assert parse_usage(headers["Sforce-Limit-Info"]) is not None
    versions = asked(stand_in, "../").json()
    assert {"version", "url"} <= set(answers()["versions_list_31_to_66"]["body"][0])
    assert {"version", "url"} == set(versions[0])
    opened = requests.post(
        f"https://{stand_in.host}/services/oauth2/token",
        {"grant_type": "client_credentials"},
        auth=stand_in.client,
        verify=str(stand_in.authority.ca_file),
        timeout=10,
    )
    assert shape(opened.json()) == shape(answers()["oauth_token_success_password_grant"]["body"])


def test_a_fault_inside_a_composite_is_one_although_its_answer_is_a_200(stand_in: StandIn) -> None:
    inner = answers()["composite_200_with_inner_404"]["body"]
    connector = connect(stand_in)
    connector._account.longest_uri = 10
    stand_in.faults.append(Fault(200, inner, on=on("/composite")))
    with pytest.raises(SourceRefused, match="nothing there"):
        poll(connector, stream(fields("Name"), children={}), {})
