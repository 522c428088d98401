"""Every answer and every failure has its verdict: statuses times bodies, and all exceptions of the HTTP client."""

from __future__ import annotations

import errno
import json
import math
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import get_args

import h11
import httpcore
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.rows import Verdict
from sync.delivery.outcome import (
    FAILURES,
    ApiResponse,
    Outcome,
    of_answer,
    of_failure,
    retry_after_seconds,
    server_time,
)
from sync.delivery.wire_trace import RequestProgress, account_of, how

CREATED = {"succeeded": True, "statusCode": 200, "statusCodeDescription": "NONE", "message": None}
KEY = {"succeeded": False, "statusCode": 401, "statusCodeDescription": "NONE", "message": "Invalid API key."}


def vendor(status: int, message: str) -> dict[str, object]:
    return {"succeeded": False, "statusCode": status, "statusCodeDescription": "NONE", "message": message}


TOO_MANY = vendor(400, "The maximum amount of leads to create at once is 100, but was 101.")
FREE_PLAN = vendor(400, "Reached the maximum limit of leads on the free plan.")
FREE_PLAN_SHOUTED = vendor(400, "REACHED  the maximum limit of LEADS\non the free plan")
OVER_200 = vendor(400, "Can not have more than 200 leads on the free plan.")
OVER_5 = vendor(400, "Can not have more than 5 leads on the free plan.")
OVER_MANY = vendor(400, "cannot have More Than 1,000,000 leads on the Free Plan")
SLOWER = vendor(429, "Too many requests. Please try again later.")
ODD_LEAD = vendor(400, "Name is too long.")
PROBLEM = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "The JSON value is wrong."}
VALIDATION = {
    "title": "One or more validation errors occurred.",
    "errors": {"[3].Name": ["is too long", "is odd"], "[4]": "is no lead"},
}

BODIES: dict[str, bytes] = {
    **{
        name: json.dumps(body).encode()
        for name, body in {
            "created": CREATED,
            "created, other case": {"Succeeded": True},
            "key": KEY,
            "too many": TOO_MANY,
            "free plan": FREE_PLAN,
            "free plan, shouted": FREE_PLAN_SHOUTED,
            "over 200": OVER_200,
            "over 5": OVER_5,
            "over many": OVER_MANY,
            "slower": SLOWER,
            "odd lead": ODD_LEAD,
            "problem": PROBLEM,
            "validation": VALIDATION,
            "of somebody else": {"error": "blocked", "request": 17},
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
    "no utf-8, refused": b'{"message": "Gr\xfc\xdfe: can not have more than 9 leads on the free plan."}',
    "two ways": b'{"succeeded": false, "Succeeded": true}',
    "two ways, one spelling": b'{"succeeded": false, "succeeded": true}',
    "said twice": b'{"succeeded": true, "statusCode": 200, "statusCode": 200}',
    "another status inside": json.dumps({**CREATED, "statusCode": 400}).encode(),
    "another status inside, as text": b'{"succeeded": true, "StatusCode": "500"}',
    "no status inside": json.dumps({**CREATED, "statusCode": None}).encode(),
    "more than is documented": json.dumps({**CREATED, "data": [{"a": 1}, {"a": 2}], "traceId": "x"}).encode(),
    "deep": b"[" * 5000,
    "bom": b"\xef\xbb\xbf" + json.dumps(CREATED).encode(),
    "bom twice": b"\xef\xbb\xbf" * 2 + json.dumps(CREATED).encode(),
    "utf-16": json.dumps(CREATED).encode("utf-16"),
}
CREATED_BODIES = {
    "created",
    "created, other case",
    "bom",
    "no utf-8",
    "no status inside",
    "more than is documented",
}
SAYS_CREATED = CREATED_BODIES | {"another status inside", "another status inside, as text"}
EMPTY = {"empty"}
PLAN = {"free plan", "free plan, shouted"}
ROOM = {"over 200", "over 5", "over many", "no utf-8, refused"}
OF_THE_API = {"key", "too many", "slower", "odd lead", "problem", "validation", "not true", "text true"} | {
    "message no text",
    *CREATED_BODIES,
}


def expected(status: int, name: str) -> tuple[Verdict, str | None]:
    """The table, said a second time: verdict and the kind of pause."""
    if status == 200:
        return ("created", None) if name in CREATED_BODIES else ("in_doubt", None)
    if name in SAYS_CREATED:
        return "in_doubt", None
    if status in {400, 413, 422}:
        if name in PLAN | ROOM:
            return "paused", "plan" if name in PLAN else "room"
        if status != 413 and name not in OF_THE_API:
            return "paused", "address"
        return "rejected", None
    if status == 401 or (status == 403 and name in OF_THE_API | PLAN | ROOM | EMPTY):
        return "paused", "credentials"
    if status in {429, 503}:
        return "refused", None
    if status == 408 or status < 300 or status >= 500:
        return "in_doubt", None
    return "paused", "address"


@pytest.mark.parametrize("name", BODIES)
def test_every_status_with_every_body(name: str) -> None:
    for status in range(200, 600):
        outcome = of_answer(ApiResponse(status, BODIES[name], 7.0))
        assert (outcome.verdict, outcome.pause) == expected(status, name), (status, name)
        assert outcome.status == status
        assert outcome.retry_after == 7.0
        assert outcome.cause


@pytest.mark.parametrize(
    ("status", "name", "cause"),
    [
        (200, "created", "created"),
        (201, "created", "the answer says that the leads were created, but its status is 201"),
        (200, "another status inside", "the answer is a 200 whose body names another status"),
        (200, "not true", "the server's answer does not say that the leads were created (200)"),
        (401, "key", "the API key is not valid (401)"),
        (403, "key", "the API key has no access to this workspace (403)"),
        (408, "empty", "the server timed out, and the leads may have been created (408)"),
        (429, "slower", "too many requests (429)"),
        (503, "page", "the server is unavailable (503)"),
        (400, "over 5", "the plan has room for fewer leads"),
        (400, "free plan", "the plan's limit of leads is reached"),
        (400, "too many", "too many leads in one batch"),
        (400, "page", "a 400 that did not come from the API"),
        (413, "page", "the server rejected the batch (413)"),
        (403, "page", "a 403 that did not come from the API"),
    ],
)
def test_an_outcome_says_what_it_is_in_fixed_words(status: int, name: str, cause: str) -> None:
    assert of_answer(ApiResponse(status, BODIES[name])).cause == cause


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_413_and_the_documented_limit_blame_the_size_of_the_batch_and_nothing_else_does(status: int) -> None:
    for name, body in BODIES.items():
        outcome = of_answer(ApiResponse(status, body))
        if outcome.verdict == "rejected":
            assert outcome.by_size is (status == 413 or name == "too many"), name


@pytest.mark.parametrize(
    "member", ["succeeded", "statusCode", "statusCodeDescription", "message", "title", "detail", "errors"]
)
def test_one_member_of_the_api_s_own_tells_its_rejection_from_a_page_of_somebody_in_between(member: str) -> None:
    for body, verdict in (({member: None}, "rejected"), ({f"{member}s": None}, "paused")):
        assert of_answer(ApiResponse(400, json.dumps(body).encode())).verdict == verdict


def test_only_a_200_that_says_so_is_created() -> None:
    created = {
        (status, name)
        for status in (100, 101, 103, 199, 200, 600, 999)
        for name, body in BODIES.items()
        if of_answer(ApiResponse(status, body)).verdict == "created"
    }
    assert created == {(200, name) for name in CREATED_BODIES}


@pytest.mark.parametrize("status", [400, 413, 422])
def test_on_rejected_hold_puts_the_batch_in_doubt_but_documented_answers_stay_what_they_are(status: int) -> None:
    for name, body in BODIES.items():
        held = of_answer(ApiResponse(status, body), on_rejected="hold")
        verdict = expected(status, name)[0]
        documented = name == "too many"
        assert held.cause == of_answer(ApiResponse(status, body)).cause
        assert held.verdict == ("in_doubt" if verdict == "rejected" and not documented else verdict), name


def test_more_statuses_may_be_unknown_but_a_clear_created_stays_created() -> None:
    for status in (300, 400, 401, 403, 404, 408, 413, 422, 429, 499, 500, 503, 599):
        for name, body in BODIES.items():
            outcome = of_answer(ApiResponse(status, body), unknown_statuses=[status])
            assert (outcome.verdict, outcome.pause) == ("in_doubt", None), name
            assert name in SAYS_CREATED or str(status) in outcome.cause
    assert of_answer(ApiResponse(200, BODIES["created"]), unknown_statuses=[503]).verdict == "created"


@pytest.mark.parametrize("name", ["key", "too many", "free plan", "slower", "odd lead"])
def test_the_servers_message_is_kept_for_people(name: str) -> None:
    assert of_answer(ApiResponse(400, BODIES[name])).message == json.loads(BODIES[name])["message"]
    assert of_answer(ApiResponse(400, BODIES["problem"])).message == PROBLEM["detail"]


def test_a_message_says_also_which_field_of_which_lead_was_refused() -> None:
    assert of_answer(ApiResponse(400, BODIES["validation"])).message == (
        "One or more validation errors occurred. [3].Name: is too long [3].Name: is odd [4]: is no lead"
    )
    assert of_answer(ApiResponse(400, b'{"title": "Bad", "errors": [1]}')).message == "Bad"
    assert of_answer(ApiResponse(400, b'{"message": "  ", "detail": "Why"}')).message == "Why"
    assert of_answer(ApiResponse(400, b'{"errors": {"": ["odd"], "[2]": []}}')).message == "odd [2]: "


def test_a_long_message_is_cut_and_a_cause_never_quotes_it() -> None:
    outcome = of_answer(ApiResponse(400, json.dumps(vendor(400, "jane@example.com " * 100)).encode()))
    assert len(outcome.message or "") == 500
    assert "jane" not in outcome.cause


# -- failures of the transport


def _public(module: ModuleType) -> set[type[Exception]]:
    found = (getattr(module, name) for name in getattr(module, "__all__", dir(module)))
    return {each for each in found if isinstance(each, type) and issubclass(each, Exception)}


def _descendants(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _descendants(each)


def all_errors() -> list[type[Exception]]:
    """Every public exception of the HTTP client and of what lies below it, and what descends from them in it."""
    modules = (httpx, httpcore, h11, ssl, socket)
    public = {each for module in modules for each in _public(module)} | {OSError, UnicodeError}
    homes = {*(module.__name__ for module in modules), "builtins", "sync"}
    found = {each for root in public for each in _descendants(root) if each.__module__.split(".")[0] in homes}
    return sorted(found - {h11.ProtocolError}, key=lambda each: (each.__module__, each.__name__))  # that is abstract


def made(kind: type[Exception]) -> Exception:
    if issubclass(kind, httpx.HTTPStatusError):
        request = httpx.Request("POST", "http://x")
        return kind("secret detail", request=request, response=httpx.Response(500, request=request))
    if kind in {httpx.StreamConsumed, httpx.ResponseNotRead, httpx.RequestNotRead, httpx.StreamClosed}:
        return kind()
    if issubclass(kind, UnicodeEncodeError):
        return kind("ascii", "secret", 0, 1, "detail")
    if issubclass(kind, UnicodeDecodeError):
        return kind("ascii", b"secret", 0, 1, "detail")
    if issubclass(kind, UnicodeTranslateError):
        return kind("secret", 0, 1, "detail")
    return kind("secret detail")


HARMLESS = {
    *("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "InvalidURL"),
    *("ConnectionNotAvailable", "gaierror", "ConnectionRefusedError", "SSLCertVerificationError"),
    *("UnicodeError", "UnicodeEncodeError", "UnicodeDecodeError", "UnicodeTranslateError"),
}


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_exception_of_the_client_has_a_verdict(kind: type[Exception]) -> None:
    assert issubclass(kind, FAILURES), "the client must catch it"
    error = made(kind)
    before = of_failure(error, began_writing=False)
    assert before.verdict == ("refused" if kind.__name__ in HARMLESS else "in_doubt")
    after = of_failure(error, began_writing=True)
    assert after.verdict == "in_doubt", "once a byte may be on the wire, nobody can know"
    for outcome in (before, after):
        assert kind.__name__ in outcome.cause
        assert "secret" not in outcome.cause
        assert (outcome.status, outcome.message) == (None, None)


@pytest.mark.parametrize(
    ("error", "began_writing", "timed_out", "expected"),
    [
        (httpx.ReadError("x"), True, True, Outcome("in_doubt", "no answer within the timeout")),
        (httpx.ConnectError("x"), True, True, Outcome("in_doubt", "no answer within the timeout")),
        (
            httpx.ConnectTimeout("x"),
            False,
            True,
            Outcome("refused", "no connection: the connection failed (ConnectTimeout)"),
        ),
        (
            httpx.ReadTimeout("x"),
            False,
            True,
            Outcome(
                "in_doubt", "the connection failed after the request was begun: the connection failed (ReadTimeout)"
            ),
        ),
        (
            ConnectionRefusedError(111, "x"),
            False,
            False,
            Outcome("refused", "no connection: the connection was refused (ConnectionRefusedError)"),
        ),
        (
            ConnectionResetError(104, "x"),
            True,
            False,
            Outcome(
                "in_doubt",
                "the connection failed after the request was begun: the connection was reset (ConnectionResetError)",
            ),
        ),
    ],
)
def test_our_own_deadline_proves_nothing_once_writing_began(
    error: Exception, began_writing: bool, timed_out: bool, expected: Outcome
) -> None:
    assert of_failure(error, began_writing=began_writing, timed_out=timed_out) == expected


def test_there_are_exceptions_to_speak_of() -> None:
    names = {kind.__name__ for kind in all_errors()}
    assert names >= HARMLESS | {"ReadTimeout", "WriteError", "RemoteProtocolError", "TooManyRedirects", "DecodingError"}
    assert names >= {"SSLEOFError", "LocalProtocolError", "BrokenPipeError", "AnswerTooLong"}


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (socket.gaierror(-2, "secret"), "its name cannot be resolved"),
        (ConnectionRefusedError(111, "secret"), "the connection was refused"),
        (ConnectionResetError(104, "secret"), "the connection was reset"),
        (BrokenPipeError(32, "secret"), "the connection was closed"),
        (ssl.SSLCertVerificationError(1, "secret"), "its certificate is not trusted"),
        (ssl.SSLEOFError(8, "secret"), "TLS failed"),
        (TimeoutError("secret"), "timed out"),
        (OSError(errno.ENETUNREACH, "secret"), "the network failed (ENETUNREACH)"),
        (OSError("secret"), "the connection failed"),
        (h11.RemoteProtocolError("secret"), "the answer broke off or was not HTTP"),
        (ValueError("secret"), "the connection failed"),
    ],
)
def test_what_went_wrong_is_told_by_the_error_nearest_to_the_wire(origin: Exception, words: str) -> None:
    """As httpcore and httpx wrap it: with a cause, and without one that is shown."""
    for hides in (False, True):
        with pytest.raises(httpx.ReadError) as caught:
            raise_wrapped(origin, hides=hides)
        assert how(caught.value) == words


def raise_wrapped(origin: Exception, *, hides: bool) -> None:
    try:
        try:
            raise origin
        except type(origin) as error:
            wrapped = httpcore.ReadError(error)
            raise wrapped from (None if hides else error)
    except httpcore.ReadError as error:
        raise httpx.ReadError(str(error)) from error


@pytest.mark.parametrize(
    ("progress", "seconds", "end", "said"),
    [
        (RequestProgress(35), 0.0124, "X", "no connection; nothing written; X after 12 ms"),
        (RequestProgress(35, True), 2.0, "X", "connected; nothing written; X after 2.0 s"),
        (RequestProgress(48213, True, 0), 60.04, "X", "0 of 48,213 bytes written; no response; X after 60.0 s"),
        (
            RequestProgress(9, True, 9, 200, 37, 90),
            1.0,
            "X",
            "status 200 and 37 of 90 bytes of its body; X after 1.0 s",
        ),
        (RequestProgress(9, True, 9, 200, 37), 0.5, "X", "status 200 and 37 bytes of its body; X after 500 ms"),
        (RequestProgress(9, True, 9, 500, 1234, 1234), 0.5, "", "status 500 and 1,234 bytes of its body after 500 ms"),
        (RequestProgress(9, True, 9, 204, 0, 0), 1200.0, "", "status 204 and 0 bytes of its body after 1,200.0 s"),
    ],
)
def test_the_account_of_the_wire(progress: RequestProgress, seconds: float, end: str, said: str) -> None:
    before = "connected; 9 of 9 bytes written; " if progress.status else "connected; " if progress.began_writing else ""
    assert account_of(progress, seconds, end) == before + said


def test_an_answer_hands_its_account_on() -> None:
    assert of_answer(ApiResponse(500, b"", None, "as it was")).account == "as it was"


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


@pytest.mark.parametrize("date", [None, "", "soon", "Fri, 32 Jan 2026 03:05:05 GMT", "Fri, 02 Jan 2026 03:05:05"])
def test_a_server_that_does_not_say_its_time_is_taken_to_have_ours(date: str | None) -> None:
    assert server_time(date, NOW) == NOW


def test_the_servers_time() -> None:
    assert server_time("Thu, 01 Jan 2026 00:00:00 GMT", NOW) == datetime(2026, 1, 1, tzinfo=UTC)


def test_an_absurd_retry_after_does_not_rest_the_workspace_for_years() -> None:
    a_day = timedelta(days=1).total_seconds()
    for header in ("9" * 400, "99999999", "Fri, 02 Jan 2099 03:05:05 GMT"):
        assert retry_after_seconds(header, NOW) == a_day


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=40)
    | st.from_regex(
        r"\A(Fri, )?[0-9]{1,3} [JF][ae][nb] [0-9]{1,6} [0-9]{1,3}:[0-9]{1,3}(:[0-9]{1,3})? [+-]?[0-9A-Za-z]{0,9}\Z"
    )
)
def test_no_header_can_do_harm(header: str) -> None:
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


@settings(max_examples=200, deadline=None)
@given(status=st.integers(100, 999), body=st.binary(max_size=60))
def test_no_answer_can_do_harm(status: int, body: bytes) -> None:
    outcome = of_answer(ApiResponse(status, body))
    assert isinstance(outcome, Outcome)
    assert outcome.verdict in get_args(Verdict)
    assert outcome.verdict != "created"


@pytest.mark.parametrize(
    "message",
    [
        "The lead 'Free Plan GmbH' has no valid e-mail.",
        "A lead can not have more than 5 leads of its own.",
        "The maximum amount of contacts is 50.",
    ],
)
def test_what_only_resembles_a_documented_limit_is_a_rejection_like_any_other(message: str) -> None:
    answer = ApiResponse(400, json.dumps(vendor(400, message)).encode())
    assert (of_answer(answer).verdict, of_answer(answer).cause) == ("rejected", "the server rejected the batch (400)")
    assert of_answer(answer, on_rejected="hold").verdict == "in_doubt"


def test_a_200_before_all_was_written_creates_nothing_for_certain() -> None:
    early = ApiResponse(200, BODIES["created"], whole=False)
    assert of_answer(early).verdict == "in_doubt"
    assert "before" in of_answer(early).cause


def test_a_403_is_told_from_a_401_and_from_a_page_of_somebody_in_between() -> None:
    of_key, of_access = (of_answer(ApiResponse(status, json.dumps(KEY).encode())) for status in (401, 403))
    page = of_answer(ApiResponse(403, BODIES["page"]))
    assert (of_key.pause, of_access.pause, page.pause) == ("credentials", "credentials", "address")
    assert len({of_key.cause, of_access.cause, page.cause}) == 3


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (VALIDATION, (3, 4)),
        ({"errors": {"$[7].employeeCount": ["no int"], "leads": ["is required"]}}, (7,)),
        ({"errors": {"leads[12].Contacts[3].Name": ["is too long"], "$.Leads[13]": []}}, (12, 13)),
        ({"errors": {"Contacts": ["x"], "": ["Path: $[8].date | LineNumber: 0"]}}, (8,)),
        (vendor(400, "[3].Name must not be empty."), (3,)),
        ({"title": "Bad Request", "detail": "The value at $[0].Name is null. Path: $[0].Name"}, (0,)),
        (vendor(400, "Name is too long (see [1])."), (1,)),
        (vendor(400, "Name is too long ([1])."), (1,)),
        (vendor(400, "'[2].Name' is too long; so is '$[6].date'."), (2, 6)),
        ({"title": "Wrong: [5].Name"}, (5,)),
        (ODD_LEAD, ()),
        ({"errors": {"[-1]": [], "[x]": [], "[1234567]": [], "[]": []}}, ()),
        ({"errors": ["[3].Name"], "message": None}, (3,)),
    ],
)
def test_the_leads_that_a_rejection_names_are_known(body: dict[str, object], named: tuple[int, ...]) -> None:
    assert of_answer(ApiResponse(400, json.dumps(body).encode())).named == named
    assert of_answer(ApiResponse(200, json.dumps(body).encode())).named == ()


def test_a_rejection_is_read_for_the_leads_that_it_names_up_to_a_length() -> None:
    for before, named in ((9_990, (3,)), (10_000, ())):
        body = json.dumps(vendor(400, " " * before + "[3].Name is odd.")).encode()
        assert of_answer(ApiResponse(400, body)).named == named


def test_members_of_an_answer_that_are_not_documented_are_named_without_their_values() -> None:
    assert of_answer(ApiResponse(200, BODIES["created"])).members == ()
    assert of_answer(ApiResponse(200, BODIES["more than is documented"])).members == ("data", "traceId")
    odd = {**CREATED, "jane@example.com": 1, "4930123456": 2, "x" * 41: 3, **{f"m{n}": n for n in range(40)}}
    members = of_answer(ApiResponse(200, json.dumps(odd).encode())).members
    assert members == tuple(f"m{n}" for n in range(10)), "what is no plain name may be a value"
