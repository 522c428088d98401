"""Every answer that is none has one meaning, and no foreign exception leaves the connector."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
import simple_salesforce.exceptions as library
import urllib3.exceptions
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from connectors.salesforce.errors import fault_of
from connectors.salesforce.rest_client import Client
from connectors.salesforce.transport import connection_error
from sync.shared.errors import SourceRefused, SourceUnavailable
from sync.shared.words import Json
from tests.salesforce.sf_faults import Fault
from tests.salesforce.sf_proxy import Proxy
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_world import account, connect, log_in, on, poll, settle_down, stream

MEANINGS = [
    (401, "INVALID_SESSION_ID", "session"),
    (403, "API_DISABLED_FOR_ORG", "refused"),
    (403, "INSUFFICIENT_ACCESS", "refused"),
    (403, "API_CURRENTLY_DISABLED", "later"),
    (403, "", "refused"),
    (400, "INVALID_FIELD", "field"),
    (400, "INVALID_TYPE", "refused"),
    (400, "MALFORMED_QUERY", "refused"),
    (400, "INVALID_QUERY_FILTER_OPERATOR", "refused"),
    (400, "TXN_SECURITY_METERING_ERROR", "refused"),
    (400, "QUERY_TIMEOUT", "slow"),
    (400, "OPERATION_TOO_LARGE", "slow"),
    (400, "QUERY_TOO_COMPLICATED", "slow"),
    (400, "INVALID_QUERY_LOCATOR", "locator"),
    (400, "SOMETHING_NEW", "refused"),
    (404, "NOT_FOUND", "absent"),
    (410, "GONE", "refused"),
    (414, "", "long"),
    (431, "", "long"),
    *((status, "", "later") for status in (406, 408, 420, 429, 500, 502, 503, 504, 599)),
    (500, "UNKNOWN_EXCEPTION", "later"),
    (503, "SERVER_UNAVAILABLE", "later"),
    *((status, "", "refused") for status in (300, 301, 302, 304, 307)),
]


@pytest.mark.parametrize(("status", "code", "kind"), MEANINGS)
def test_each_answer_has_one_meaning_and_a_cure(status: int, code: str, kind: str) -> None:
    for body in ([{"errorCode": code, "message": "x"}], {"error": code} if code else "<html/>"):
        fault = fault_of(status, body)
        assert fault.kind == kind
        assert fault.what
        assert code in fault.what
        assert fault.hint or kind in {"later", "session", "slow", "locator", "long"}


@pytest.mark.parametrize("body", [None, "", "x", 5, [], [[]], [None], {}, [{"errorCode": ["x"]}], {"error": {"a": 1}}])
@pytest.mark.parametrize("status", [300, 400, 401, 403, 404, 500])
def test_no_body_is_too_odd(status: int, body: Any) -> None:
    assert fault_of(status, body).what


def subclasses(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


FOREIGN = sorted({requests.exceptions.RequestException, *subclasses(requests.exceptions.RequestException)}, key=str)


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: kind.__name__)
def test_every_exception_of_the_way_is_translated(stand_in: StandIn, kind: type[Any]) -> None:
    error = (
        kind("secret words", "{", 0) if issubclass(kind, requests.exceptions.JSONDecodeError) else kind("secret words")
    )
    client = Client(account(stand_in))

    def ask(_: Any) -> Json:
        raise error

    with pytest.raises((SourceUnavailable, SourceRefused)) as caught:
        client._ask(ask, "accounts")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert isinstance(connection_error(error, "sf", None), SourceUnavailable | SourceRefused)


@pytest.mark.parametrize("kind", sorted(subclasses(library.SalesforceError), key=str), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("status", [300, 400, 404, 500])
def test_every_exception_of_the_library_is_translated(stand_in: StandIn, kind: type[Any], status: int) -> None:
    if issubclass(kind, library.SalesforceAuthenticationFailed):
        return  # of logins alone: see there
    client = Client(account(stand_in))

    def ask(_: Any) -> Json:
        raise kind("https://secret", status, "secret", [{"errorCode": "X", "message": "secret"}])

    with pytest.raises((SourceUnavailable, SourceRefused)) as caught:
        client._ask(ask, "accounts")
    assert "secret" not in str(caught.value)


def test_errors_below_requests_do_not_get_through(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    connector = connect(stand_in)
    for error in (urllib3.exceptions.ProtocolError("x"), http.client.IncompleteRead(b"x"), ConnectionResetError(104)):

        def send(*_: Any, error: Exception = error, **__: Any) -> Any:
            raise error

        monkeypatch.setattr("urllib3.connectionpool.HTTPConnectionPool._make_request", send)
        with pytest.raises(SourceUnavailable):
            poll(connector, stream(), {})


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_nothing_is_asked_again_behind_our_back(stand_in: StandIn, status: int) -> None:
    """The engine backs off between polls; retries below it would only add up."""
    settle_down(stand_in)
    connector, lanes = connect(stand_in), dict[str, Json]()
    poll(connector, stream(), lanes)
    stand_in.forget()
    stand_in.faults = [Fault(status, "")]
    with pytest.raises(SourceUnavailable):
        poll(connector, stream(), lanes)
    assert len(stand_in.asked) == 1


def test_the_rest_of_an_answer_is_fetched_from_nowhere_else(stand_in: StandIn) -> None:
    rest = {"totalSize": 2, "done": False, "nextRecordsUrl": "@evil.example/x", "records": []}
    stand_in.faults = [Fault(200, rest, on=on("/query/?q="))]
    settle_down(stand_in)
    with pytest.raises(SourceUnavailable, match="the rest is elsewhere"):
        poll(connect(stand_in), stream(), {})


def test_windows_end_by_salesforces_clock_and_not_by_ours(stand_in: StandIn) -> None:
    """It is months behind this machine's."""
    connector, lanes = connect(stand_in), dict[str, Json]()
    poll(connector, stream(settle=5), lanes)
    now = stand_in.org.now().replace(microsecond=0)
    assert lanes["live"]["through"] == f"{now - timedelta(seconds=5):%Y-%m-%dT%H:%M:%S}.000000Z"
    assert connector.position(stream()) == f"{now:%Y-%m-%dT%H:%M:%S}.000000Z"


def test_answers_without_a_date_are_no_ground_to_read_on(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.salesforce.sf_server._Handler.date_time_string", lambda *_: "someday")
    with pytest.raises(SourceUnavailable, match="no date"):
        poll(connect(stand_in), stream(), {})


def test_a_signed_login_that_is_refused_blames_the_clock_where_it_is_wrong(stand_in: StandIn, proxy: Proxy) -> None:
    """The stand-in's clock is months behind this machine's."""
    key = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    auth = {"flow": "jwt", "client_id": "x", "username": "ann@example.com", "private_key": key}
    stand_in.login_fault = (400, {"error": "invalid_grant", "error_description": "expired authorization code"})
    with pytest.raises(SourceRefused) as caught:
        poll(log_in(stand_in, proxy, auth=auth), stream(), {})
    assert "clock is" in caught.value.hint
    assert "NTP" in caught.value.hint


def test_objects_are_described_anew_each_day_and_not_more_often(stand_in: StandIn) -> None:
    clock = [0.0]
    connector, lanes = connect(stand_in, lambda: clock[0]), dict[str, Json]()
    described = []
    for _ in range(50):
        stand_in.forget()
        clock[0] += 3600
        poll(connector, stream(), lanes)
        described.append(sum("describe" in asked.path for asked in stand_in.asked))
    assert described[0] == 2
    assert sum(described) == 4
