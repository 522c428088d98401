"""Each answer of HubSpot's and what it calls for, row by row; what only a record's own 404 may say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.hubspot.replies import Reply
from connectors.hubspot.response_rules import (
    TABLE,
    AccountPause,
    Denied,
    Done,
    Gone,
    NotFound,
    ResponseClass,
    RetryLater,
    Unauthorised,
    backoff,
    judge,
    zone_of,
)
from sync.shared.errors import SourceRefused, SourceUnavailable
from tests.hubspot.hubspot_answers import Answer, error
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import Standin
from tests.hubspot.hubspot_world import COMPANIES, opened

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
NEW_YORK = ZoneInfo("US/Eastern")
TO_MIDNIGHT = 16 * 3600.0
PAGE = None
"""The body of an answer that is no JSON object: a page, a list, nothing."""


def said(category: str = "", message: str = "no", **more: Any) -> dict[str, Any]:
    """An error's body; everything in it is optional."""
    body = {"status": "error", "message": message, "correlationId": "c033cdaa-2c40", **more}
    return {**body, "category": category} if category else body


def limit(policy: str, message: str = "You have reached your limit.") -> dict[str, Any]:
    return said(message=message, errorType="RATE_LIMIT", **({"policyName": policy} if policy else {}))


SCOPES = {"requiredGranularScopes": ["crm.objects.companies.read", "crm.objects.contacts.read"]}

ROWS: list[tuple[int, Any, dict[str, str], type, float | None, str]] = [
    # done, or an answer that is none
    (200, {"results": []}, {}, Done, None, ""),
    (207, {"results": []}, {}, Done, None, ""),
    (200, PAGE, {}, RetryLater, 1, "not the JSON"),
    (204, PAGE, {}, RetryLater, 1, "not the JSON"),
    # limits: by the policy's name, or where there is none by the message
    (429, limit("DAILY"), {}, AccountPause, TO_MIDNIGHT, "calls of the day are used up"),
    (429, limit("DAILY"), {"retry-after": "7200"}, AccountPause, 7200, "calls of the day"),
    (429, limit("", "You have reached your daily limit."), {}, AccountPause, TO_MIDNIGHT, "calls of the day"),
    (429, limit("TEN_SECONDLY_ROLLING"), {}, RetryLater, 10, "ten_secondly limit"),
    (429, limit("", "You have reached your ten_secondly_rolling limit."), {}, RetryLater, 10, "ten_secondly limit"),
    (429, limit("TEN_SECONDLY_ROLLING"), {"retry-after": "20"}, RetryLater, 20, "ten_secondly"),
    (429, limit("SECONDLY"), {}, RetryLater, 1, "secondly limit"),
    (429, limit("", "You have reached your secondly limit."), {}, RetryLater, 1, "secondly limit"),
    (429, limit("SECONDLY"), {"retry-after": "90"}, AccountPause, 90, "secondly limit"),
    (429, limit("SECONDLY"), {"retry-after": "90000"}, AccountPause, 3600, "secondly limit"),
    (429, limit("SECONDLY"), {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, RetryLater, 1, "secondly limit"),
    (429, limit("HOURLY_BY_APP"), {}, RetryLater, 10, "hourly_by_app limit"),
    (429, limit("kim@corp.example"), {}, RetryLater, 10, "its rate limit"),
    (429, PAGE, {}, RetryLater, 10, "its rate limit"),
    # later
    (477, said(), {"retry-after": "7200"}, AccountPause, 7200, "another place"),
    (477, PAGE, {}, AccountPause, 3600, "another place"),
    (423, said(), {}, RetryLater, 2, "423"),
    (423, said(), {"retry-after": "9"}, RetryLater, 9, "423; correlation id c033cdaa-2c40"),
    (408, PAGE, {}, RetryLater, 1, "408"),
    (425, PAGE, {}, RetryLater, 1, "425"),
    *(
        (status, PAGE, {}, RetryLater, 1, str(status))
        for status in (500, 501, 502, 503, 504, 505, 511, *range(520, 530))
    ),
    (599, said("INTERNAL"), {}, RetryLater, 1, "599"),
    (503, PAGE, {"retry-after": "600"}, AccountPause, 600, "503"),
    # the token
    (401, said("INVALID_AUTHENTICATION"), {}, Unauthorised, None, "token is refused (401 INVALID_AUTHENTICATION"),
    (401, said("EXPIRED_AUTHENTICATION"), {}, Unauthorised, None, "token has expired"),
    (401, said("SOMETHING_NEW"), {}, Unauthorised, None, "token is refused (401 SOMETHING_NEW"),
    (401, said(), {}, Unauthorised, None, "token is refused (401 without a category"),
    (530, PAGE, {}, Unauthorised, None, "malformed token"),
    # a person
    (403, said("MISSING_SCOPES", context=SCOPES), {}, Denied, None, "crm.objects.companies.read or crm.objects.conta"),
    (403, said("MISSING_SCOPES"), {}, Denied, None, "lacks a scope: HubSpot does not say which"),
    (403, said(errors=[{"context": SCOPES}]), {}, Denied, None, "lacks a scope: crm.objects.companies.read"),
    (400, said("MISSING_SCOPES", context=SCOPES), {}, Denied, None, "lacks a scope: crm.objects.companies.read"),
    (403, said("USER_DOES_NOT_HAVE_PERMISSIONS"), {}, Denied, None, "the token's user may not do this"),
    (403, said("FORBIDDEN", subCategory="USER_DOES_NOT_HAVE_PERMISSIONS"), {}, Denied, None, "user may not"),
    (403, said("ACCOUNT_TIER"), {}, Denied, None, "refuses the call (403 ACCOUNT_TIER"),
    (
        400,
        said("VALIDATION_ERROR", "kim@corp.example is\nwrong"),
        {},
        Denied,
        None,
        "correlation id c033cdaa-2c40): … ",
    ),
    (405, said(), {}, Denied, None, "405 without a category"),
    (407, PAGE, {}, Denied, None, "proxy wants a name"),
    (409, said("CONFLICT"), {}, Denied, None, "409 CONFLICT"),
    (414, PAGE, {}, Denied, None, "too long (414)"),
    (414, said(), {}, Denied, None, "too long (414)"),
    (301, PAGE, {}, Denied, None, "not an answer of the API"),
    (304, PAGE, {}, Denied, None, "not an answer of the API"),
    (100, PAGE, {}, Denied, None, "refuses the call (100"),
    # a record that is gone, and every other 404
    (404, said("OBJECT_NOT_FOUND"), {}, Gone, None, "no such record"),
    (404, said(message="Object not found. objectId is usually positive."), {}, Gone, None, "no such record"),
    (404, said(message="resource not found"), {}, Gone, None, "no such record"),
    (
        404,
        {"message": "no", "category": "OBJECT_NOT_FOUND", "correlationId": "c0-1"},
        {},
        Gone,
        None,
        "correlation id c0-1",
    ),
    (404, {"category": "OBJECT_NOT_FOUND"}, {"x-hubspot-correlation-id": "c0-2"}, Gone, None, "correlation id c0-2"),
    (404, PAGE, {"x-hubspot-correlation-id": "c0-2"}, NotFound, None, "404"),
    (404, said("VALIDATION_ERROR", "Object not found"), {}, NotFound, None, "404 VALIDATION_ERROR"),
    (404, said(message="no route found"), {}, NotFound, None, "404"),
    (404, {"message": "Object not found"}, {}, NotFound, None, "404"),
    (404, {"status": "error", "category": "OBJECT_NOT_FOUND"}, {}, NotFound, None, "404"),
    (404, PAGE, {}, NotFound, None, "404"),
    # a page from what stands between says nothing of token, scopes or rights
    *((status, PAGE, {}, RetryLater, 1, f"answers {status} with a page") for status in (400, 401, 403, 405, 410, 451)),
]


def judged(status: int, body: Any, headers: dict[str, str], attempt: int = 1) -> ResponseClass:
    return judge(Reply(status, headers, body), attempt, now=NOON, zone=NEW_YORK, interval=10.0)


@pytest.mark.parametrize(
    ("status", "body", "headers", "verdict", "seconds", "words"),
    ROWS,
    ids=[f"{row[0]}-{number}" for number, row in enumerate(ROWS)],
)
def test_each_answer_calls_for_its_verdict(
    status: int, body: Any, headers: dict[str, str], verdict: type, seconds: float | None, words: str
) -> None:
    found = judged(status, body, headers)
    assert type(found) is verdict
    assert getattr(found, "seconds", None) == seconds
    assert words in getattr(found, "why", "")
    assert "kim@" not in getattr(found, "why", "")


def test_every_row_of_the_table_is_tried() -> None:
    tried = set()
    for status, body, headers, *_ in ROWS:
        reply = Reply(status, headers, body)
        tried.add(next(n for n, row in enumerate(TABLE) if status in row.statuses and row.holds(reply)))
    assert tried == set(range(len(TABLE)))


def test_every_status_has_a_verdict_with_and_without_json() -> None:
    for status in range(100, 1000):
        for body in (PAGE, {}, said("X"), {"category": 1, "message": [], "policyName": None, "errors": [7]}):
            assert judged(status, body, {})


def test_only_limits_make_all_calls_wait() -> None:
    assert [judged(429, limit("SECONDLY"), {}), judged(423, said(), {}), judged(502, PAGE, {})] == [
        RetryLater(1.0, "says that its secondly limit is reached: others use it too", whole=True),
        RetryLater(2.0, "answers 423; correlation id c033cdaa-2c40"),
        RetryLater(1.0, "answers 502"),
    ]


def test_each_attempt_waits_longer() -> None:
    waits = [judged(502, PAGE, {}, attempt) for attempt in range(1, 8)]
    assert [getattr(each, "seconds", 0) for each in waits] == [1, 2, 4, 8, 16, 16, 16]
    assert backoff(5) == 16


@pytest.mark.parametrize("offset", [None, "x", 10**40, -(10**40), 86_400_000, True])
def test_an_account_without_a_usable_zone_has_utc(offset: Any) -> None:
    zone = zone_of({"timeZone": "", "utcOffsetMilliseconds": offset})
    assert NOON.astimezone(zone).utcoffset() in (UTC.utcoffset(None), zone.utcoffset(None))
    found = zone.utcoffset(NOON)
    assert found is not None
    assert abs(found.total_seconds()) < 1


# ---- one record


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, None, raw=b"<html>404</html>"),
        Answer(404, None, raw=b""),
        Answer(404, {"message": "no Route matched with those values"}),
        Answer(404, {"error": "Object not found"}),
    ],
)
def test_a_404_that_is_not_hubspots_own_is_no_record_that_is_gone(
    answer: Answer, standin: Standin, portal: Portal
) -> None:
    """A proxy's page on one record would withdraw it, or take it out of its parent's lead."""
    standin.contract.is_held = False  # no document has these
    portal.put("companies", 1, portal.now - 86_400_000, name="Firm")
    portal.forgetful = {"1"}
    connector = opened(standin)
    standin.fail(answer, times=99, name="one")
    with pytest.raises(SourceUnavailable) as caught:
        connector.fetch(COMPANIES, ["1"])
    assert "404" in caught.value.message
    assert "proxy" in caught.value.hint
    standin.faults.clear()
    standin.fail(error(404, "OBJECT_NOT_FOUND", "Object not found."), name="one")
    assert connector.fetch(COMPANIES, ["1"]) == []
    assert [record.id for record in connector.fetch(COMPANIES, ["1"])] == ["1"]


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_page_in_between_is_never_taken_for_hubspots_refusal(status: int, standin: Standin, portal: Portal) -> None:
    portal.put("companies", 1, portal.now - 86_400_000, name="Firm")
    standin.fail(Answer(status, None, raw=b"<html>Just a moment</html>"), times=5, name="batch")
    with pytest.raises(SourceUnavailable) as caught:
        opened(standin).fetch(COMPANIES, ["1"])
    assert f"answers {status} with a page" in caught.value.message
    assert "proxy or firewall" in caught.value.hint
    standin.tokens = set()
    with pytest.raises(SourceRefused, match="token is refused"):
        opened(standin).fetch(COMPANIES, ["1"])
