"""Every answer and every failure has its verdict: statuses times bodies, and all exceptions of the HTTP client."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import get_args

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.rows import Verdict
from sync.delivery.outcome import Answer, Outcome, of_answer, of_failure, retry_after_seconds

CREATED = {"succeeded": True, "statusCode": 200, "statusCodeDescription": "NONE", "message": None}
KEY = {"succeeded": False, "statusCode": 401, "statusCodeDescription": "NONE", "message": "Invalid API key."}


def vendor(status: int, message: str) -> dict[str, object]:
    return {"succeeded": False, "statusCode": status, "statusCodeDescription": "NONE", "message": message}


TOO_MANY = vendor(400, "The maximum amount of leads to create at once is 100, but was 101.")
FREE_PLAN = vendor(400, "Reached the maximum limit of leads on the free plan.")
OVER_200 = vendor(400, "Can not have more than 200 leads on the free plan.")
OVER_5 = vendor(400, "Can not have more than 5 leads on the free plan.")
SLOWER = vendor(429, "Too many requests. Please try again later.")
ODD_LEAD = vendor(400, "Name is too long.")
PROBLEM = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "The JSON value is wrong."}

BODIES: dict[str, bytes] = {
    **{
        name: json.dumps(body).encode()
        for name, body in {
            "created": CREATED,
            "created, other case": {"Succeeded": True},
            "key": KEY,
            "too many": TOO_MANY,
            "free plan": FREE_PLAN,
            "over 200": OVER_200,
            "over 5": OVER_5,
            "slower": SLOWER,
            "odd lead": ODD_LEAD,
            "problem": PROBLEM,
            "not true": {"succeeded": 1},
            "text true": {"succeeded": "true"},
            "null": None,
            "list": [CREATED],
            "empty object": {},
            "message no text": {"succeeded": False, "message": {"x": 1}},
        }.items()
    },
    "empty": b"",
    "page": b"<html><body>free lunch</body></html>",
    "half": json.dumps(CREATED).encode()[:-3],
    "twice": json.dumps(CREATED).encode() * 2,
    "no utf-8": b'{"succeeded": true, "message": "\xff"}',
    "deep": b"[" * 5000,
    "bom": b"\xef\xbb\xbf" + json.dumps(CREATED).encode(),
}
PLAN = {"free plan", "over 200", "over 5"}
JSON_OBJECTS = (
    {"created", "created, other case", "key", "too many", "slower", "odd lead", "problem", "not true"}
    | {
        "text true",
        "message no text",
    }
    | PLAN
)


def expected(status: int, name: str) -> tuple[Verdict, str | None]:
    """The table, said a second time: verdict and the kind of pause."""
    if status == 200:
        return ("created", None) if name in {"created", "created, other case"} else ("in_doubt", None)
    if status in {400, 413, 422}:
        if name in PLAN:
            return "paused", "plan"
        if status == 400 and name not in JSON_OBJECTS:
            return "paused", "address"
        return "rejected", None
    if status == 401:
        return "paused", "credentials"
    if status in {429, 503}:
        return "refused", None
    if status == 408 or status < 300 or status >= 500:
        return "in_doubt", None
    return "paused", "address"


@pytest.mark.parametrize("name", BODIES)
def test_every_status_with_every_body(name: str) -> None:
    for status in range(200, 600):
        outcome = of_answer(Answer(status, BODIES[name], 7.0))
        assert (outcome.verdict, outcome.pause) == expected(status, name), (status, name)
        assert outcome.status == status
        assert outcome.retry_after == 7.0
        assert outcome.cause


def test_only_one_answer_of_all_says_created() -> None:
    created = {
        (status, name)
        for status in range(100, 1000)
        for name, body in BODIES.items()
        if of_answer(Answer(status, body)).verdict == "created"
    }
    assert created == {(200, "created"), (200, "created, other case")}


@pytest.mark.parametrize("status", [400, 413, 422])
def test_on_rejected_hold_puts_the_batch_in_doubt_but_documented_answers_stay_what_they_are(status: int) -> None:
    for name, body in BODIES.items():
        held = of_answer(Answer(status, body), on_rejected="hold")
        verdict = expected(status, name)[0]
        documented = name == "too many"
        assert held.verdict == ("in_doubt" if verdict == "rejected" and not documented else verdict), name


def test_more_statuses_may_be_unknown_but_a_clear_created_stays_created() -> None:
    for status in range(300, 600):
        for name, body in BODIES.items():
            outcome = of_answer(Answer(status, body), unknown_statuses=[status])
            assert (outcome.verdict, outcome.pause) == ("in_doubt", None), name
    assert of_answer(Answer(200, BODIES["created"]), unknown_statuses=[503]).verdict == "created"


@pytest.mark.parametrize("name", ["key", "too many", "free plan", "slower", "odd lead"])
def test_the_servers_message_is_kept_for_people(name: str) -> None:
    assert of_answer(Answer(400, BODIES[name])).message == json.loads(BODIES[name])["message"]
    assert of_answer(Answer(400, BODIES["problem"])).message == PROBLEM["detail"]


def test_a_long_message_is_cut_and_a_cause_never_quotes_it() -> None:
    outcome = of_answer(Answer(400, json.dumps(vendor(400, "jane@example.com " * 100)).encode()))
    assert len(outcome.message or "") == 500
    assert "jane" not in outcome.cause


# -- failures of the transport


def _subclasses(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _subclasses(each)


def httpx_errors() -> list[type[Exception]]:
    roots: tuple[type[Exception], ...] = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict)
    found = {each for root in roots for each in _subclasses(root) if each.__module__.split(".")[0] == "httpx"}
    public = {
        each for name in httpx.__all__ if isinstance(each := getattr(httpx, name), type) and issubclass(each, Exception)
    }
    assert public <= found
    return sorted((each for each in found if issubclass(each, Exception)), key=lambda each: each.__name__)


def made(kind: type[Exception]) -> Exception:
    if issubclass(kind, httpx.HTTPStatusError):
        request = httpx.Request("POST", "http://x")
        return kind("secret detail", request=request, response=httpx.Response(500, request=request))
    if kind in {httpx.StreamConsumed, httpx.ResponseNotRead, httpx.RequestNotRead, httpx.StreamClosed}:
        return kind()
    return kind("secret detail")


HARMLESS = {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "InvalidURL"}


@pytest.mark.parametrize("kind", httpx_errors(), ids=lambda kind: kind.__name__)
def test_every_exception_of_the_client_has_a_verdict(kind: type[Exception]) -> None:
    error = made(kind)
    before = of_failure(error, began_writing=False)
    assert before.verdict == ("refused" if kind.__name__ in HARMLESS else "in_doubt")
    after = of_failure(error, began_writing=True)
    assert after.verdict == "in_doubt", "once a byte may be on the wire, nobody can know"
    for outcome in (before, after):
        assert kind.__name__ in outcome.cause
        assert "secret" not in outcome.cause
        assert (outcome.status, outcome.message) == (None, None)


def test_there_are_exceptions_to_speak_of() -> None:
    names = {kind.__name__ for kind in httpx_errors()}
    assert names >= HARMLESS | {"ReadTimeout", "WriteError", "RemoteProtocolError", "TooManyRedirects", "DecodingError"}


# -- Retry-After

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60.0),
        ("Fri, 02 Jan 2026 04:04:05 +0100", 0.0),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 0.0),
        ("Friday, 02-Jan-26 03:05:05 GMT", 60.0),
        ("Fri, 32 Jan 2026 03:05:05 GMT", None),
        ("Fri, 02 Jan 2026 03:05:05 +99999999999999999999", None),
        ("Fri, 02 Jan 99999 03:05:05 GMT", None),
    ],
)
def test_retry_after_in_both_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


def test_an_absurd_retry_after_does_not_rest_the_workspace_for_years() -> None:
    a_day = timedelta(days=1).total_seconds()
    for header in ("9" * 400, "99999999", "Fri, 02 Jan 2099 03:05:05 GMT"):
        assert retry_after_seconds(header, NOW) == a_day


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=40)
    | st.from_regex(r"\A(Fri, )?[0-9]{1,3} [JF][ae][nb] [0-9]{1,6} [0-9]{1,3}:[0-9]{1,3}(:[0-9]{1,3})? [+-]?\w{0,9}\Z")
)
def test_no_header_can_do_harm(header: str) -> None:
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


@settings(max_examples=200, deadline=None)
@given(status=st.integers(100, 999), body=st.binary(max_size=60))
def test_no_answer_can_do_harm(status: int, body: bytes) -> None:
    outcome = of_answer(Answer(status, body))
    assert isinstance(outcome, Outcome)
    assert outcome.verdict in get_args(Verdict)
    assert outcome.verdict != "created"


def test_a_lead_that_quotes_the_plan_s_name_is_not_a_plan_s_limit() -> None:
    body = b'{"succeeded":false,"statusCode":400,"message":"The lead \'Free Plan GmbH\' has no valid e-mail."}'
    assert of_answer(Answer(400, body)).verdict == "rejected"
