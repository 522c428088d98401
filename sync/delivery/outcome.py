"""What the answer to a batch means: one pure table over HTTP statuses, bodies and failures of the transport.

| verdict  | means                                                     | then                                    |
|----------|-----------------------------------------------------------|-----------------------------------------|
| created  | 200 and `succeeded` is true                               | delivered                               |
| refused  | nothing was created, and waiting will help                | back off, the same leads again          |
| rejected | nothing was created, because of a lead in the batch       | halve the batch until the lead is alone |
| paused   | nothing was created, and only a person can help           | the workspace rests                     |
| in_doubt | nobody can know whether anything was created              | frozen until a person settles it        |

That a 400 creates nothing is an assumption (`on_rejected = "hold"` drops it); that a 503 does not is HTTP's own meaning
(`unknown_statuses = [503]` drops it).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import httpx
import orjson

from state.rows import Verdict

PauseKind = Literal["credentials", "plan", "address"]

MESSAGE_LIMIT = 500
LONGEST_RETRY_AFTER = 86400.0
"""Seconds. A server that asks for more is looked at again once a day."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole. `retry_after` in seconds, where the server gave one."""

    status: int
    body: bytes
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict with what people need to know of it. `message` is the server's own and goes to the ledger only."""

    verdict: Verdict
    cause: str
    status: int | None = None
    message: str | None = None
    retry_after: float | None = None
    pause: PauseKind | None = None


_PLAN_WORDS = ("leads on the free plan",)
_TOO_MANY_WORDS = ("maximum amount of leads",)

# Raised while there is no connection yet, so nothing can have arrived.
_BEFORE_WRITING: tuple[type[Exception], ...] = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
    UnicodeError,  # a host's name that DNS cannot carry
)


def of_answer(
    answer: Answer, *, unknown_statuses: Collection[int] = (), on_rejected: Literal["bisect", "hold"] = "bisect"
) -> Outcome:
    """The verdict on an answer that was read whole."""
    status = answer.status
    body = _body(answer.body)
    message = _message(body)

    base = Outcome("in_doubt", "", status, message, answer.retry_after)
    if status == 200 and body.get("succeeded") is True:
        return replace(base, verdict="created", cause="created")
    if status in unknown_statuses:
        return replace(base, cause=f"the server answered {status}, which is configured as unknown")
    if status in {400, 413, 422}:
        return _of_bad_request(replace(base, verdict="rejected"), is_json=bool(body), on_rejected=on_rejected)
    verdict, cause, pause = _of_status(status)
    return replace(base, verdict=verdict, cause=f"{cause} ({status})", pause=pause)


_STATUSES: dict[int, tuple[Verdict, str, PauseKind | None]] = {
    200: ("in_doubt", "the server's answer does not say that the leads were created", None),
    401: ("paused", "the API key is not valid", "credentials"),
    408: ("in_doubt", "the server gave up waiting, and nobody can know for what", None),
    429: ("refused", "too many requests", None),
    503: ("refused", "the server is unavailable", None),
}


def _of_status(status: int) -> tuple[Verdict, str, PauseKind | None]:
    known = _STATUSES.get(status)
    if known:
        return known
    if status >= 500 or status < 300:
        return "in_doubt", "nobody can know from this answer whether the leads were created", None
    return "paused", "the address or the account is not right", "address"


def _of_bad_request(rejected: Outcome, *, is_json: bool, on_rejected: Literal["bisect", "hold"]) -> Outcome:
    """400, 413, 422: a documented plan limit, else a lead of the batch. Messages are known by their stable words."""
    words = (rejected.message or "").lower()
    if any(word in words for word in _PLAN_WORDS):
        return replace(rejected, verdict="paused", cause="the plan's limit of leads is reached", pause="plan")
    if any(word in words for word in _TOO_MANY_WORDS):
        return replace(rejected, cause="too many leads in one batch")
    if not is_json and rejected.status == 400:
        # an answer of something in between (a proxy's page), not of the API
        return replace(rejected, verdict="paused", cause="a 400 that is not the API's own", pause="address")
    if on_rejected == "hold":
        return replace(rejected, verdict="in_doubt", cause=f"the server rejected the batch ({rejected.status})")
    return replace(rejected, cause=f"the server rejected the batch ({rejected.status})")


def of_failure(error: Exception, *, began_writing: bool) -> Outcome:
    """The verdict on an exception of the HTTP client: harmless only if its kind and the wire's trace both say so."""
    cause = type(error).__name__
    if isinstance(error, _BEFORE_WRITING) and not began_writing:
        return Outcome("refused", f"no connection ({cause})")
    return Outcome("in_doubt", f"the connection failed after the request was begun ({cause})")


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """`Retry-After` in both forms: seconds, or an HTTP date; at most a day. None where it is absent or unreadable."""
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_RETRY_AFTER)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if when.tzinfo is None:
        return None
    return min(max(0.0, (when - now).total_seconds()), LONGEST_RETRY_AFTER)


def _body(raw: bytes) -> dict[str, object]:
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return {str(key).lower(): value for key, value in parsed.items()} if isinstance(parsed, dict) else {}


def _message(body: dict[str, object]) -> str | None:
    """The vendor's `message`, or a problem+json's `detail` or `title`, at most 500 characters."""
    for key in ("message", "detail", "title"):
        value = body.get(key)
        if isinstance(value, str) and value:
            return value[:MESSAGE_LIMIT]
    return None
