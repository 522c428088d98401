"""Errors of Salesforce in an administrator's words: the code, its meaning here, what to grant and where.

Salesforce's own messages quote queries, values and users. Nothing of them is repeated but error codes and the names of
fields and objects. (docs/sources.md#salesforce-errors)
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from connectors.salesforce.access import ACCESS, limit_fault
from connectors.salesforce.fault_kinds import PERMISSIONS, SalesforceFault, SalesforceFaultKind
from sync.shared.errors import SourceRefused, SourceUnavailable, SyncError


class Slow(SourceUnavailable):
    """Salesforce gave up on a query, or it asks for too much at once: ask for less."""


class RequestTooLong(SourceUnavailable):
    """The request's address or headers are too long for Salesforce or for something in between."""


class LocatorLost(SourceUnavailable):
    """The rest of a result is gone; a new query from the last row continues it."""


class Doubtful(SourceRefused):
    """A refusal that rests on cached descriptions of `objects`. Read again, they may say otherwise."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        source: str | None = None,
        stream: str | None = None,
        objects: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(message, hint=hint, source=source, stream=stream)
        self.objects = objects

    def settled(self) -> SourceRefused:
        """Return the refusal as it is raised once all descriptions are fresh."""
        return SourceRefused(self.message, hint=self.hint, source=self.source, stream=self.stream)


class NotAccessible(Doubtful):
    """The object or field does not exist, or the user may not see it."""

    def of(self, name: str, stream: str | None = None) -> NotAccessible:
        """Return the same refusal, naming the object whose description it is about."""
        what = self.message if self.message.startswith(f"{name}: ") else f"{name}: {self.message}"
        where = {"source": self.source, "stream": stream or self.stream}
        return NotAccessible(what, hint=self.hint, **where, objects=frozenset({name}))


class FieldRefused(SourceRefused):
    """A query was refused because of a field, whatever the object's description says about the field.

    `column` and `entity` are the names of the field and its object, "" if they are not known.
    """

    column = ""
    entity = ""


_BY_CODE: dict[str, SalesforceFault] = {
    "INVALID_SESSION_ID": SalesforceFault("session", "the session has ended"),
    "INVALID_AUTH_HEADER": SalesforceFault("session", "the session is not accepted"),
    "QUERY_TIMEOUT": SalesforceFault("slow", "Salesforce stopped a query that took too long"),
    "OPERATION_TOO_LARGE": SalesforceFault("slow", "a query is over a limit of Salesforce"),
    "QUERY_TOO_COMPLICATED": SalesforceFault("slow", "a query is too complicated", "map fewer formula fields"),
    "INVALID_QUERY_LOCATOR": SalesforceFault("locator", "the rest of a result is gone"),
    "INVALID_FIELD": SalesforceFault(
        "field",
        "a field does not exist, or the user may not see it",
        f"grant Read on the field: {PERMISSIONS}, Object Settings, or change the mapping",
    ),
    "INVALID_TYPE": SalesforceFault(
        "refused",
        "an object does not exist, or the user may not read it",
        f"grant Read and View All on the object: {PERMISSIONS}, Object Settings",
    ),
    "INSUFFICIENT_ACCESS": SalesforceFault(
        "refused", "the user may not read this", f"grant Read and View All: {PERMISSIONS}, Object Settings"
    ),
    "FUNCTIONALITY_NOT_ENABLED": SalesforceFault(
        "refused", "the organisation has not enabled this", "enable it in Setup"
    ),
    "TXN_SECURITY_METERING_ERROR": SalesforceFault(
        "refused",
        "a transaction security policy stops the query",
        f'grant "Exempt from Transaction Security": {PERMISSIONS}, System Permissions',
    ),
    "UNSUPPORTED_API_VERSION": SalesforceFault("refused", "this version of the API is retired", "raise api_version"),
    "MALFORMED_QUERY": SalesforceFault(
        "refused", "Salesforce does not understand the query", "check object, via and mapping"
    ),
    "INVALID_QUERY_FILTER_OPERATOR": SalesforceFault(
        "refused", "a field cannot be compared like this", "via must be a look-up field of the child"
    ),
    "MALFORMED_ID": SalesforceFault(
        "refused", "an id is not of this kind", "via must be a look-up field to the stream's object"
    ),
    "REQUEST_RUNNING_TOO_LONG": SalesforceFault("later", "Salesforce took too long"),
    "UNABLE_TO_LOCK_ROW": SalesforceFault("later", "Salesforce failed"),
}

_BY_STATUS: dict[int, SalesforceFault] = {
    401: SalesforceFault("session", "the session is not accepted"),
    403: SalesforceFault("refused", "Salesforce refuses this", f"check the user's permissions: {PERMISSIONS}"),
    404: SalesforceFault("absent", "Salesforce finds nothing there", "check object; the user must have Read on it"),
    407: SalesforceFault("refused", "the proxy wants a password", "write it into proxy"),
    410: SalesforceFault("refused", "this version of the API is retired", "raise api_version"),
    414: SalesforceFault("long", "the request's address is too long"),
    431: SalesforceFault("long", "the request's address and headers are too long"),
    503: SalesforceFault("later", "Salesforce is not available", "see status.salesforce.com"),
}


def fault_of(status: int, content: object) -> SalesforceFault:
    """Return the meaning of an answer with an error status. `content` is its body, parsed if it was JSON."""
    code, message = _first_error(content)
    if code == "INVALID_FIELD" and (found := _UNSEARCHABLE.search(message)):
        return SalesforceFault("field", f"{found[1]} cannot be searched or sorted by ({code})", _SEARCH_CURE, found[1])
    # A 403 that has nothing to do with permissions.
    if code == "REQUEST_LIMIT_EXCEEDED":
        return limit_fault(message)
    # The code says more than the status, which proxies may set too.
    fault = _BY_CODE.get(code) or ACCESS.get(code.upper()) or _BY_STATUS.get(status)
    if fault is None:
        fault = _of_class(status)
    named = f" ({code})" if code else f" (HTTP {status})"
    # Names only: the rest of the message quotes the query, with its values.
    found = _FIELD.search(message) if fault.kind == "field" else None
    about = f"{found[2]}.{found[1]}" if found else _about(message)
    what = fault.what + named + (f": {about}" if about else "")
    return SalesforceFault(fault.kind, what, fault.hint, *((found[1], found[2]) if found else ()))


def _of_class(status: int) -> SalesforceFault:
    if 300 <= status < 400:
        return SalesforceFault(
            "refused", "Salesforce answers from another host", "was My Domain renamed? Copy it from Setup, My Domain"
        )
    # 406 and 420 come now and then, without a body and without a reason.
    if status >= 500 or status in {406, 408, 420, 429}:
        return SalesforceFault("later", "Salesforce failed", "see status.salesforce.com")
    return SalesforceFault("refused", "Salesforce refuses the request", "check object, via and mapping")


def _first_error(content: object) -> tuple[str, str]:
    """Return the code and message of REST's list of errors or of OAuth's object; "" for anything else."""
    first = content[0] if isinstance(content, list) and content else content
    if not isinstance(first, dict):
        return "", ""
    code = first.get("errorCode") or first.get("exceptionCode") or first.get("error") or ""
    message = first.get("message") or first.get("exceptionMessage") or first.get("error_description") or ""
    return (str(code) if re.fullmatch(r"[A-Za-z_]{1,60}", str(code)) else ""), str(message)


_FIELD = re.compile(r"No such column '(\w{1,80})' on (?:entity|sobject of type) '?(\w{1,80})")
_RELATION = re.compile(r"Didn't understand relationship '(\w{1,80})'")
_UNSEARCHABLE = re.compile(r"field '([\w.]{1,80})' can ?not be (?:filtered|sorted|grouped|ordered)")
_SEARCH_CURE = (
    "is the field encrypted? Setup, Encryption Policy; where another field dates changes, the next poll takes that"
)
_OBJECT = re.compile(r"sObject type '(\w{1,80})' is not supported")


def _about(message: str) -> str:
    """Return the relation or object that a message is about: a name, never a value."""
    found = _RELATION.search(message) or _OBJECT.search(message)
    return found[1] if found else ""


# ---- raising

_ERRORS: dict[SalesforceFaultKind, type[SyncError]] = {
    "slow": Slow,
    "long": RequestTooLong,
    "locator": LocatorLost,
    "field": FieldRefused,
    "absent": NotAccessible,
    "refused": SourceRefused,
    "session": SourceRefused,
}


def error_of(fault: SalesforceFault, source: str, stream: str | None) -> SyncError:
    """Return the error to raise for a fault."""
    kind = _ERRORS.get(fault.kind, SourceUnavailable)
    error = kind(fault.what, hint=fault.hint, source=source, stream=stream)
    if isinstance(error, FieldRefused):
        error.column, error.entity = fault.column, fault.entity
    return error


def unclear(what: str, source: str, stream: str | None) -> SourceUnavailable:
    """Return the error for an answer that Salesforce does not send: a proxy's page, a truncated body."""
    return SourceUnavailable(
        f"the answer is not what Salesforce sends: {what}",
        hint="see whether a proxy or a maintenance page answers instead; the poll is tried again",
        source=source,
        stream=stream,
    )


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return the names as one text, the first `most` of them."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
