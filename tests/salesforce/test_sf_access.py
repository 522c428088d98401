"""Who is refused, and why: every code of the login and of later answers calls for its own cure."""

from __future__ import annotations

from datetime import date

import pytest

from connectors.interface import Ages
from connectors.salesforce.access import ACCESS
from sync.shared.errors import SourceRefused, SourceUnavailable, SyncError
from tests.salesforce.sf_faults import Fault, error
from tests.salesforce.sf_proxy import Proxy
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_world import CREDENTIALS, connect, log_in, poll, source, stream

PASSWORD = {
    "flow": "password",
    "username": "ann@example.com",
    "password": "the-password",
    "security_token": "the-token",
}
LATER, PERSON = SourceUnavailable, SourceRefused

SOAP = [
    ("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded.", LATER, "at this moment", "long queries"),
    ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", LATER, "24 hours are used up", "Company Information"),
    ("ORGANIZATION_IN_MAINTENANCE", "…", LATER, "in maintenance", "status.salesforce.com"),
    ("API_CURRENTLY_DISABLED", "…", LATER, "closed the API", ""),
    ("ORG_LOCKED", "…", LATER, "organisation is locked", "Company Information"),
    ("SERVER_UNAVAILABLE", "…", LATER, "not available", "status.salesforce.com"),
    ("PASSWORD_EXPIRED", "…", PERSON, "password has expired", "Password Never Expires"),
    ("PASSWORD_LOCKOUT", "…", PERSON, "locked out", "Unlock"),
    ("INVALID_NEW_PASSWORD", "…", PERSON, "choose a new password", "browser"),
    ("LOGIN_DURING_RESTRICTED_TIME", "…", PERSON, "at this hour", "Login Hours"),
    ("LOGIN_DURING_RESTRICTED_DOMAIN", "…", PERSON, "from this address", "Login IP Ranges"),
    ("INVALID_LOGIN_IP", "…", PERSON, "from this address", "Login IP Ranges"),
    ("LOGIN_RESTRICTED", "…", PERSON, "from this address", "Login IP Ranges"),
    ("API_DISABLED_FOR_ORG", "…", PERSON, "API is not open", "API Enabled"),
    ("LOGIN_RATE_EXCEEDED", "…", PERSON, "logged in too often", "wait an hour"),
    ("LOGIN_CHALLENGE_ISSUED", "…", PERSON, "verify this machine", "Network Access"),
    ("TRIAL_EXPIRED", "…", PERSON, "trial has ended", ""),
    ("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.", PERSON, "is wrong", "Users"),
    ("INVALID_OPERATION", "SOAP API login() is disabled by default in this org.", PERSON, "off", "Use Any API Auth"),
    ("INVALID_OPERATION", "the permission Use Any API Auth is missing", PERSON, "off", "Use Any API Auth"),
    ("UNSUPPORTED_API_VERSION", "…", PERSON, "gone from this version", "api_version"),
    ("SOMETHING_NEW", "…", PERSON, r"is not accepted \(SOMETHING_NEW\)", "Login History"),
]


@pytest.mark.parametrize(("code", "message", "kind", "words", "cure"), SOAP)
def test_each_fault_of_a_soap_login_calls_for_the_right_thing(
    stand_in: StandIn, proxy: Proxy, code: str, message: str, kind: type[SyncError], words: str, cure: str
) -> None:
    body = f"<a xmlns:sf='urn:x'><sf:exceptionCode>{code}</sf:exceptionCode>"
    stand_in.login_fault = (500, f"{body}<sf:exceptionMessage>{message}</sf:exceptionMessage></a>")
    with pytest.raises(kind, match=words) as caught:
        poll(log_in(stand_in, proxy, auth=PASSWORD), stream(), {})
    assert cure in caught.value.hint
    assert message not in str(caught.value)


OAUTH = [
    ("rate_limit_exceeded", "number of logins has been exceeded", LATER, "no more logins", ""),
    ("too_many_requests", "…", LATER, "no more logins", ""),
    ("server_error", "…", LATER, "does not answer", "status"),
    ("temporarily_unavailable", "…", LATER, "does not answer", "status"),
    ("invalid_grant", "login rate exceeded", PERSON, "logged in too often", "wait an hour"),
    ("invalid_grant", "LOGIN_RATE_EXCEEDED", PERSON, "logged in too often", "wait an hour"),
    ("invalid_grant", "ip restricted or invalid login hours", PERSON, "from this address", "Login IP Ranges"),
    ("invalid_grant", "expired password", PERSON, "has expired", "Never Expires"),
    ("inactive_user", "user is inactive", PERSON, "not active", "Users"),
    ("inactive_org", "organization is locked, closed, or suspended", PERSON, "closed", "Company Information"),
    ("OAUTH_APP_BLOCKED", "…", PERSON, "blocked", "OAuth Usage"),
    ("OAUTH_APP_ACCESS_DENIED", "…", PERSON, "approved applications", "API Access Control"),
    ("unauthorized_client", "…", PERSON, "not enabled for the app", "OAuth Flows"),
    ("invalid_scope", "…", PERSON, "lacks a scope", '"api"'),
    ("invalid_client_id", "…", PERSON, "client_id", "OAuth Settings"),
    ("request_limit_exceeded", "TotalRequests Limit exceeded.", LATER, "24 hours", "Company Information"),
]


@pytest.mark.parametrize(("code", "description", "kind", "words", "cure"), OAUTH)
def test_each_refusal_of_an_oauth_login_calls_for_the_right_thing(
    stand_in: StandIn, proxy: Proxy, code: str, description: str, kind: type[SyncError], words: str, cure: str
) -> None:
    stand_in.login_fault = (400, {"error": code, "error_description": description})
    with pytest.raises(kind, match=words) as caught:
        poll(log_in(stand_in, proxy), stream(), {})
    assert cure in caught.value.hint


@pytest.mark.parametrize("code", sorted(ACCESS))
def test_the_same_code_means_the_same_in_a_later_answer(stand_in: StandIn, code: str) -> None:
    fault = ACCESS[code]
    stand_in.faults = [error(403, code)]
    with pytest.raises(PERSON if fault.kind == "refused" else LATER) as caught:
        poll(connect(stand_in), stream(), {})
    assert caught.value.message.startswith(fault.what)
    assert caught.value.hint == fault.hint


def test_a_soap_fault_without_details_is_known_by_its_faultcode(stand_in: StandIn, proxy: Proxy) -> None:
    stand_in.login_fault = (500, "<e><faultcode>sf:UNSUPPORTED_API_VERSION</faultcode><faultstring>x</faultstring></e>")
    with pytest.raises(SourceRefused, match="gone from this version"):
        poll(log_in(stand_in, proxy, auth=PASSWORD), stream(), {})


def test_where_logins_are_limited_nobody_asks_for_a_while(stand_in: StandIn, proxy: Proxy) -> None:
    clock = [0.0]
    connector = log_in(stand_in, proxy, lambda: clock[0])
    stand_in.login_fault = (400, {"error": "rate_limit_exceeded", "error_description": "…"})
    for _ in range(3):
        with pytest.raises(SourceUnavailable):
            poll(connector, stream(), {})
    assert len(stand_in.logins) == 1
    stand_in.login_fault = None
    clock[0] += 121
    poll(connector, stream(), {})


def test_a_field_that_cannot_be_searched_by_is_named(stand_in: StandIn) -> None:
    """The description said that it can."""
    words = "\nWHERE SystemModstamp >= …\nfield 'SystemModstamp' can not be filtered in a query call"
    stand_in.faults = [Fault(400, [{"errorCode": "INVALID_FIELD", "message": words}], on=lambda a: bool(a.soql))]
    with pytest.raises(SourceRefused, match="SystemModstamp cannot be searched or sorted by"):
        poll(connect(stand_in), stream(), {})


@pytest.mark.parametrize(
    ("domain", "host"),
    [
        ("acme.my.salesforce.mil", "acme.my.salesforce.mil"),
        ("https://acme--uat.sandbox.my.salesforce.mil/x", "acme--uat.sandbox.my.salesforce.mil"),
        ("acme.my.sfcrmproducts.cn", "acme.my.sfcrmproducts.cn"),
    ],
)
@pytest.mark.parametrize("auth", [CREDENTIALS, PASSWORD], ids=["client_credentials", "password"])
def test_the_vendors_other_clouds_are_logged_in_to(
    stand_in: StandIn, proxy: Proxy, domain: str, host: str, auth: dict[str, str]
) -> None:
    connector = log_in(stand_in, proxy, auth={**auth}, domain=domain)
    assert connector.identity(stream())["organisation"] == host
    stand_in.instance = host
    poll(connector, stream(), {})
    assert set(proxy.asked) == {f"{host}:443"}


@pytest.mark.parametrize(
    ("version", "auth", "ends"),
    [
        ("64.0", CREDENTIALS, []),
        ("64.0", PASSWORD, [date(2027, 6, 1)]),
        ("40.0", CREDENTIALS, [date(2027, 6, 1), date(2028, 6, 1)]),
        ("31.0", PASSWORD, [date(2027, 6, 1), date(2027, 6, 1), date(2028, 6, 1)]),
        ("30.0", CREDENTIALS, [date(2025, 6, 1)]),
        ("41.0", CREDENTIALS, []),
        ("70.0", CREDENTIALS, []),
    ],
)
def test_what_ends_is_known_from_the_options_alone(
    stand_in: StandIn, version: str, auth: dict[str, str], ends: list[date]
) -> None:
    options = source(stand_in, domain="acme", auth=auth, api_version=version)
    assert isinstance(options, Ages)
    endings = options.endings()
    assert [each.date for each in endings] == ends
    for each in endings:
        assert ("SOAP login()" in each.what and "client_credentials" in each.cure) or "api_version" in each.cure
    assert not stand_in.asked
