"""Every failure as a client sees it over a real socket, and what the server kept."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from sync.trial.sandbox.running import RunningSandbox
from tests.patience import PATIENCE
from tests.proof.harness import until
from tests.sandbox.conftest import Post

LEADS = [{"isContact": False, "name": f"Company {n}"} for n in range(3)]
IMPATIENT = httpx.Timeout(PATIENCE, read=0.3)


@pytest.mark.parametrize(
    ("fault", "error", "created"),
    [
        ("timeout-before", httpx.ReadTimeout, 0),
        ("timeout-after", httpx.ReadTimeout, 3),
        ("timeout-before:50ms", httpx.RemoteProtocolError, 0),
        ("timeout-after:50ms", httpx.RemoteProtocolError, 3),
        ("reset-before", httpx.ReadError, 0),
        ("reset-after", httpx.ReadError, 3),
        ("half", httpx.RemoteProtocolError, 3),
    ],
)
def test_failures_without_an_answer(
    sandbox: RunningSandbox, post: Post, fault: str, error: type[Exception], created: int
) -> None:
    sandbox.set_faults(script=[fault])
    with pytest.raises(error):
        post(sandbox, LEADS, timeout=IMPATIENT if error is httpx.ReadTimeout else PATIENCE)
    (row,) = until(sandbox.requests, "the request")
    assert [row["lead"] for row in sandbox.leads()] == LEADS[:created]
    assert row["fault"] == fault.partition(":")[0]
    assert row["status"] == (200 if fault == "half" else None)
    assert (row["leads"], row["created"]) == (3, created)
    assert post(sandbox, LEADS).status_code == 200, "the script is used up"


@pytest.mark.parametrize("status", [408, 413, 422, 401, 403, 404, 301, 500, 502, 503, 504, 599])
@pytest.mark.parametrize("after", [False, True])
def test_statuses(sandbox: RunningSandbox, post: Post, status: int, after: bool) -> None:
    sandbox.set_faults(script=[f"{status}{'-after' if after else ''}:7"])
    answer = post(sandbox, LEADS)
    assert answer.status_code == status
    assert answer.headers["retry-after"] == "7"
    assert len(sandbox.leads()) == (3 if after else 0)


def test_a_429_on_purpose_is_the_documented_one(sandbox: RunningSandbox, post: Post) -> None:
    sandbox.set_faults(script="429,429:3")
    first, second = post(sandbox, LEADS), post(sandbox, LEADS)
    message = "Too many requests. Please try again later."
    assert first.json() == {
        "succeeded": False,
        "statusCode": 429,
        "statusCodeDescription": "NONE",
        "message": message,
    }
    assert "retry-after" not in first.headers
    assert second.headers["retry-after"] == "3"
    figures = sandbox.stats()
    assert (figures["too_many_requests"], figures["limited"], figures["created_leads"]) == (2, 0, 0)


def test_half_of_the_answer_really_arrives(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(script=["half"])
    head, _, body = raw(sandbox.url).partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b'{"succeeded":true,"statusCode":200,"statusCodeDescription":"NONE","message":null}'[: length // 2]


def test_a_reset_is_a_reset_on_the_wire(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(script=["reset-after"])
    with pytest.raises(ConnectionResetError):
        raw(sandbox.url)


def test_malformed(sandbox: RunningSandbox, post: Post) -> None:
    sandbox.set_faults(script=["malformed"])
    answer = post(sandbox, LEADS)
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert len(sandbox.leads()) == 3


@pytest.mark.parametrize(("fault", "created"), [("not-succeeded", 0), ("not-succeeded-after", 3)])
def test_not_succeeded(sandbox: RunningSandbox, post: Post, fault: str, created: int) -> None:
    sandbox.set_faults(script=[fault])
    answer = post(sandbox, LEADS)
    assert (answer.status_code, answer.json()["succeeded"]) == (200, False)
    assert len(sandbox.leads()) == created


def test_a_lead_that_contains_a_text_is_refused_until_it_is_gone(sandbox: RunningSandbox, post: Post) -> None:
    sandbox.set_faults({"refuse:Company 1": 1})
    answer = post(sandbox, LEADS)
    assert (answer.status_code, answer.json()["statusCode"]) == (400, 400)
    assert answer.json()["message"].startswith("[1] ")
    assert post(sandbox, [LEADS[0], LEADS[2]]).status_code == 200
    assert post(sandbox, [LEADS[1]]).status_code == 400
    assert [row["fault"] for row in sandbox.requests()] == ["refuse", None, "refuse"]


@pytest.mark.parametrize("bad", [{"isContact": False, "name": "Company 1", "employeeCount": -1}, LEADS[1]])
def test_a_batch_with_a_bad_lead_may_be_created_in_part(
    sandbox: RunningSandbox, post: Post, bad: dict[str, Any]
) -> None:
    sandbox.set_faults({"refuse:Company 1": 1}, script=["partly"])
    answer = post(sandbox, [LEADS[0], bad, LEADS[2]])
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("[1]")
    assert [row["lead"] for row in sandbox.leads()] == [LEADS[0], LEADS[2]]
    (row,) = sandbox.requests()
    assert (row["fault"], row["status"], row["leads"], row["created"]) == ("partly", 400, 3, 2)


def test_of_good_leads_alone_or_bad_ones_alone_none_are_created_in_part(sandbox: RunningSandbox, post: Post) -> None:
    sandbox.set_faults(script=["partly*"])
    assert post(sandbox, LEADS).status_code == 200
    assert post(sandbox, [{}]).status_code == 400
    assert [row["lead"] for row in sandbox.leads()] == LEADS
    assert [row["fault"] for row in sandbox.requests()] == [None, None]


def test_a_failure_after_creation_cannot_strike_where_nothing_is_created(sandbox: RunningSandbox, post: Post) -> None:
    sandbox.set_faults(script=["timeout-after*"])
    assert post(sandbox, [{}]).status_code == 400
    assert sandbox.requests()[0]["fault"] is None
    with pytest.raises(httpx.ReadTimeout):
        post(sandbox, LEADS, timeout=IMPATIENT)


def test_failures_strike_only_what_has_a_valid_key(sandbox: RunningSandbox, post: Post) -> None:
    sandbox.set_faults(script=["500"])
    assert post(sandbox, LEADS, key="wrong").status_code == 401
    assert post(sandbox, LEADS).status_code == 500


def test_rates_repeat_with_their_seed(sandbox: RunningSandbox, post: Post) -> None:
    runs = []
    for _ in range(2):
        sandbox.set_faults({"503": 0.3, "422": 0.3}, seed=11)
        runs.append([post(sandbox, LEADS).status_code for _ in range(20)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 422, 503}


def test_a_client_that_goes_away_in_the_delay_is_judged_all_the_same(sandbox: RunningSandbox, post: Post) -> None:
    sandbox.set_faults(latency="300ms-300ms")
    with pytest.raises(httpx.ReadTimeout):
        post(sandbox, LEADS, timeout=httpx.Timeout(PATIENCE, read=0.1))
    sandbox.set_faults(latency="0s")
    until(sandbox.requests, "the request")
    assert len(sandbox.leads()) == 3


def test_a_client_that_goes_away_before_its_body_creates_nothing(sandbox: RunningSandbox, post: Post) -> None:
    place = urlsplit(sandbox.url)
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(request_bytes(json.dumps(LEADS).encode())[:-10])
    assert post(sandbox, LEADS).status_code == 200
    assert len(sandbox.requests()) == 1


def request_bytes(body: bytes) -> bytes:
    head = f"POST /api/v1/leads HTTP/1.1\r\nHost: x\r\nX-API-Key: sandbox-key\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: application/json\r\n\r\n".encode() + body


def raw(url: str) -> bytes:
    """All that the server sends until it closes the connection."""
    place = urlsplit(url)
    received = b""
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(request_bytes(json.dumps(LEADS).encode()))
        while part := connection.recv(65536):
            received += part
    return received
