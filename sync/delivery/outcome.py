"""The meaning of every response to a batch: one pure table over HTTP statuses, bodies and failures of the transport.

| verdict  | means                                                     | then                                    |
|----------|-----------------------------------------------------------|-----------------------------------------|
| created  | 200 and `succeeded` is true                               | delivered                               |
| refused  | nothing was created, and waiting will help                | back off, the same leads again          |
| rejected | nothing was created, because of a lead in the batch       | halve the batch until the lead is alone |
| paused   | nothing was created, and only a person can help           | the workspace rests                     |
| in_doubt | nobody can know whether anything was created              | frozen until a person settles it        |

That a 400 creates nothing is an assumption (`on_rejected = "hold"` drops it). That a 503 creates nothing is HTTP's own
meaning, https://www.rfc-editor.org/rfc/rfc9110#name-503-service-unavailable (`unknown_statuses = [503]` drops it).
"""

from __future__ import annotations

import codecs
import itertools
import json
import re
import socket
import ssl
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import h11
import httpcore
import httpx
import orjson

from state.rows import Verdict
from sync.delivery.wire_trace import how

PauseKind = Literal["credentials", "plan", "room", "address", "breaker"]
"""`room`: the plan has room for fewer leads than were sent. `breaker`: lead after lead was rejected."""

MESSAGE_LIMIT = 500
LONGEST_REASON = 10_000
LONGEST_RETRY_AFTER = 86400.0
"""Seconds. A server that asks for a longer wait is tried again once a day."""


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """An HTTP response, read whole; `retry_after` in seconds, if the server gave one; `account` as in Outcome.

    `whole` is True if all of the request had been written when the response came.
    """

    status: int
    body: bytes
    retry_after: float | None = None
    account: str = field(default="", compare=False)
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict with what people need to know about it.

    `message` is the server's own text and goes to the ledger only; `account` tells in fixed words and figures what
    happened on the wire. `named` are the places in the batch, from 0, of the leads that a rejection blames; with
    `by_size` it blames the batch's size, no lead. `members` are the names of response members that the vendor does not
    document.
    """

    verdict: Verdict
    cause: str
    status: int | None = None
    message: str | None = None
    retry_after: float | None = None
    pause: PauseKind | None = None
    account: str = field(default="", compare=False)
    named: tuple[int, ...] = ()
    by_size: bool = False
    members: tuple[str, ...] = ()


# The vendor's messages by their stable words, whatever the case and the numbers between them.
_PLAN_HAS_LESS_ROOM = re.compile(r"\bmore than\b.*\bleads on the free plan\b")
_PLAN_IS_FULL = re.compile(r"\bleads on the free plan\b")
_TOO_MANY = re.compile(r"\bmaximum amount of leads\b")

# Raised while there is no connection yet, so nothing can have arrived.
_BEFORE_WRITING: tuple[type[Exception], ...] = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.PoolTimeout,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable,
    socket.gaierror,
    ConnectionRefusedError,
    ssl.SSLCertVerificationError,
    UnicodeError,  # a host's name that DNS cannot carry
)

FAILURES: tuple[type[Exception], ...] = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    httpx.CookieConflict,
    # what lies below httpx and is not always translated by it
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable,
    h11.ProtocolError,
    OSError,
    UnicodeError,
)
"""Every exception that the HTTP client may raise for what happens on the network; any other one is a defect."""


def of_answer(
    answer: ApiResponse, *, unknown_statuses: Collection[int] = (), on_rejected: Literal["bisect", "hold"] = "bisect"
) -> Outcome:
    """Return the verdict on a response that was read whole."""
    status = answer.status
    members = _members_of(answer.body)
    body = _body(members)
    message = _message(body)

    base = Outcome("in_doubt", "", status, message, answer.retry_after, account=answer.account)
    # asked before the status: whoever says that leads were created is never retried
    if body.get("succeeded") is True:
        return _of_success(replace(base, members=_undocumented(members)), body, whole=answer.whole)
    if status in unknown_statuses:
        return replace(base, cause=f"the server answered {status}, which is configured as unknown")
    # the statuses that may be about a single lead; everything else is about the request or the account
    if status in {400, 413, 422}:
        rejected = replace(base, verdict="rejected", named=_named(body))
        return _of_bad_request(rejected, is_own=_is_own(body), on_rejected=on_rejected)
    if status == 403 and answer.body.strip() and not _is_own(body):
        # a firewall's page: a new API key would not help
        return replace(base, verdict="paused", cause="a 403 that did not come from the API", pause="address")
    verdict, cause, pause = _of_status(status)
    return replace(base, verdict=verdict, cause=f"{cause} ({status})", pause=pause)


def _of_success(base: Outcome, body: Mapping[str, object], *, whole: bool) -> Outcome:
    """Return the verdict on a response with `succeeded: true`: in doubt if anything else in it contradicts that."""
    inside = body.get("statuscode")
    if base.status != 200:
        return replace(base, cause=f"the answer says that the leads were created, but its status is {base.status}")
    if inside is not None and str(inside) != "200":
        return replace(base, cause="the answer is a 200 whose body names another status")
    if not whole:
        return replace(base, cause="the server said that the leads were created before it had all of them")
    return replace(base, verdict="created", cause="created")


_STATUSES: dict[int, tuple[Verdict, str, PauseKind | None]] = {
    200: ("in_doubt", "the server's answer does not say that the leads were created", None),
    401: ("paused", "the API key is not valid", "credentials"),
    403: ("paused", "the API key has no access to this workspace", "credentials"),
    408: ("in_doubt", "the server timed out, and the leads may have been created", None),
    429: ("refused", "too many requests", None),
    503: ("refused", "the server is unavailable", None),
}


def _of_status(status: int) -> tuple[Verdict, str, PauseKind | None]:
    known = _STATUSES.get(status)
    if known:
        return known
    # a gateway's 502 or 504 may hide a request that went through
    if status >= 500 or status < 300:
        return "in_doubt", "this answer does not say whether the leads were created", None
    return "paused", "the address or the account is wrong", "address"


def _of_bad_request(rejected: Outcome, *, is_own: bool, on_rejected: Literal["bisect", "hold"]) -> Outcome:
    """Return the verdict on a 400, 413 or 422: a documented limit, a lead of the batch, or a proxy in between."""
    words = " ".join((rejected.message or "").lower().split())
    if _PLAN_HAS_LESS_ROOM.search(words):
        return replace(rejected, verdict="paused", cause="the plan has room for fewer leads", pause="room")
    if _PLAN_IS_FULL.search(words):
        return replace(rejected, verdict="paused", cause="the plan's limit of leads is reached", pause="plan")
    if _TOO_MANY.search(words):
        return replace(rejected, cause="too many leads in one batch", by_size=True)
    if not is_own and rejected.status != 413:
        # a proxy's page, which says nothing of a lead; a body that is too large for it, though, may be halved
        cause = f"a {rejected.status} that did not come from the API"
        return replace(rejected, verdict="paused", cause=cause, pause="address")
    if on_rejected == "hold":
        return replace(rejected, verdict="in_doubt", cause=f"the server rejected the batch ({rejected.status})")
    cause = f"the server rejected the batch ({rejected.status})"
    return replace(rejected, cause=cause, by_size=rejected.status == 413)


def of_failure(error: Exception, *, began_writing: bool, timed_out: bool = False) -> Outcome:
    """Return the verdict on an exception of the HTTP client: refused only if its kind and the wire's trace agree.

    With `timed_out` our own deadline cut the connection, whatever the client calls that.
    """
    if timed_out and began_writing:
        return Outcome("in_doubt", "no answer within the timeout")
    cause = f"{how(error)} ({type(error).__name__})"
    # both must hold: the kind is what a library calls the failure, the trace is what happened on the wire
    if isinstance(error, _BEFORE_WRITING) and not began_writing:
        return Outcome("refused", f"no connection: {cause}")
    return Outcome("in_doubt", f"the connection failed after the request was begun: {cause}")


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Return `Retry-After` in seconds, at most a day; None if it is absent or unreadable.

    Both forms: seconds, or an HTTP date (https://www.rfc-editor.org/rfc/rfc9110#name-retry-after).
    """
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_RETRY_AFTER)
    when = _http_date(text)
    return None if when is None else min(max(0.0, (when - now).total_seconds()), LONGEST_RETRY_AFTER)


def server_time(date: str | None, ours: datetime) -> datetime:
    """Return the server's clock by its `Date` header, which its dates must be compared with; else `ours`."""
    return _http_date(date or "") or ours


def _http_date(text: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(text.strip())
    except (ValueError, TypeError, OverflowError):
        return None
    return when if when.tzinfo is not None else None


def _members_of(raw: bytes) -> Sequence[tuple[str, object]]:
    """Return the members of the response's JSON object in their order; empty if it is none.

    A byte order mark and text that is not UTF-8 do not make it unreadable.
    """
    text = raw.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
    try:
        orjson.loads(text)  # stricter than the standard library, and it bounds the nesting
        found = json.loads(text, object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        return ()
    return found.members if isinstance(found, _Object) else ()


class _Object(dict[str, object]):
    """A JSON object that remembers the keys that came twice."""

    def __init__(self, members: list[tuple[str, object]]) -> None:
        super().__init__(members)
        self.members = members


def _body(members: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Return the response by its keys in lower case; empty if a key comes twice, since it is unknown which one
    counts."""
    body = {key.lower(): value for key, value in members}
    return body if len(body) == len(members) else {}


def _is_own(body: Mapping[str, object]) -> bool:
    """Return True if the body has the vendor's shape, or that of a problem+json: then it is the API that speaks."""
    return not _SHAPES.isdisjoint(body)


_DOCUMENTED = frozenset({"succeeded", "statuscode", "statuscodedescription", "message"})
_SHAPES = _DOCUMENTED | {"title", "detail", "errors"}

_MEMBER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_MOST_MEMBERS = 10


def _undocumented(members: Sequence[tuple[str, object]]) -> tuple[str, ...]:
    """Return the names of members that the vendor does not document, never their values."""
    names = (name for name, _ in members if name.lower() not in _DOCUMENTED and _MEMBER.fullmatch(name))
    return tuple(itertools.islice(names, _MOST_MEMBERS))


_PLACE = re.compile(r"(?:(?:^|\s|\()(?:\$\.?)?(?:leads)?|'\$?)\[(\d{1,4})\]", re.IGNORECASE)


def _named(body: Mapping[str, object]) -> tuple[int, ...]:
    """Return the places that a rejection blames, as ASP.NET writes them: `[3].Name`, `$[7].employeeCount`.

    Only the first index of a path counts: one further inside is a place in a list of the lead.
    """
    texts = [text for key in ("message", "detail", "title") if isinstance(text := body.get(key), str)]
    texts += _errors(body.get("errors"))
    return tuple(sorted({int(found) for text in texts for found in _PLACE.findall(text[:LONGEST_REASON])}))


def _message(body: Mapping[str, object]) -> str | None:
    """Return the vendor's `message`, or a problem+json's `detail` or `title` and its `errors`, at most 500
    characters."""
    texts = (body.get(key) for key in ("message", "detail", "title"))
    said = next((text for text in texts if isinstance(text, str) and text.strip()), "")
    parts = [said, *_errors(body.get("errors"))]
    return " ".join(filter(None, parts))[:MESSAGE_LIMIT] or None


def _errors(errors: object) -> list[str]:
    """Return ASP.NET's messages about single fields as lines: `{"[3].Name": ["is too long"]}`."""
    if isinstance(errors, list):
        return [text for text in errors if isinstance(text, str)]
    if not isinstance(errors, dict):
        return []
    listed = ((key, texts if isinstance(texts, list) else [texts]) for key, texts in errors.items())
    return [f"{key}: {text}" if key else str(text) for key, texts in listed for text in texts or [""]]
