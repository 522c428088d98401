"""What Salesforce refuses, in the administrator's words: which code, what it means here, what to grant and where.

Its own messages quote queries, values and users; nothing of them is repeated but error codes and names of fields and
objects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sync.errors import SourceRefused, SourceUnavailable, SyncError

Kind = Literal["later", "refused", "absent", "session", "slow", "long", "locator", "field", "daily", "crowded"]
"""What to do: try later; a person must act, also where something is absent; renew the session; ask for less; send it
another way; begin the page anew; look at the object anew; rest till the day's requests are fewer; rest for a minute."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One answer that is none: what it calls for, what happened, the cure."""

    kind: Kind
    what: str
    hint: str = ""


class Slow(SourceUnavailable):
    """Salesforce gave up on a query: it asks for too much at once."""


class TooLong(SourceUnavailable):
    """The request's address or headers are longer than what is on the way takes."""


class LocatorLost(SourceUnavailable):
    """The rest of a result is gone; asking anew from the last row is the way on."""


class Absent(SourceRefused):
    """What was asked for is not there, or not for this user."""


class FieldRefused(SourceRefused):
    """A field is not there, or not for this user."""


_PERMISSIONS = "Setup, Permission Sets, the set of the integration user"
_APP = "Setup, External Client App Manager, the app"

_BY_CODE: dict[str, Fault] = {
    "INVALID_SESSION_ID": Fault("session", "the session has ended"),
    "INVALID_AUTH_HEADER": Fault("session", "the session is not accepted"),
    "QUERY_TIMEOUT": Fault("slow", "Salesforce stopped a query that took too long"),
    "OPERATION_TOO_LARGE": Fault("slow", "a query is over a limit of Salesforce"),
    "QUERY_TOO_COMPLICATED": Fault("slow", "a query is too complicated", "map fewer formula fields"),
    "INVALID_QUERY_LOCATOR": Fault("locator", "the rest of a result is gone"),
    "INVALID_FIELD": Fault(
        "field",
        "a field is not there, or the user may not see it",
        f"grant Read on the field: {_PERMISSIONS}, Object Settings; `check` names the mapping's line",
    ),
    "INVALID_TYPE": Fault(
        "refused",
        "an object is not there, or the user may not read it",
        f"grant Read and View All on the object: {_PERMISSIONS}, Object Settings",
    ),
    "INSUFFICIENT_ACCESS": Fault(
        "refused", "the user may not read this", f"grant Read and View All: {_PERMISSIONS}, Object Settings"
    ),
    "API_DISABLED_FOR_ORG": Fault(
        "refused",
        "the API is not open to this user or organisation",
        f'grant "API Enabled": {_PERMISSIONS}, System Permissions; the edition must have the API',
    ),
    "API_CURRENTLY_DISABLED": Fault("later", "Salesforce has closed the API for the time being"),
    "FUNCTIONALITY_NOT_ENABLED": Fault("refused", "the organisation has not enabled this", "enable it in Setup"),
    "TXN_SECURITY_METERING_ERROR": Fault(
        "refused",
        "a transaction security policy stops the query",
        f'grant "Exempt from Transaction Security": {_PERMISSIONS}, System Permissions',
    ),
    "UNSUPPORTED_API_VERSION": Fault("refused", "this version of the API is retired", "raise api_version"),
    "MALFORMED_QUERY": Fault("refused", "Salesforce does not understand the query", "look at object, via and mapping"),
    "INVALID_QUERY_FILTER_OPERATOR": Fault(
        "refused", "a field cannot be compared like this", "via must be a look-up field of the child"
    ),
    "MALFORMED_ID": Fault("refused", "an id is not of this kind", "via must be a look-up field to the stream's object"),
    "REQUEST_RUNNING_TOO_LONG": Fault("later", "Salesforce took too long"),
    "SERVER_UNAVAILABLE": Fault("later", "Salesforce is not available"),
    "UNKNOWN_EXCEPTION": Fault("later", "Salesforce failed"),
    "UNABLE_TO_LOCK_ROW": Fault("later", "Salesforce failed"),
}

_BY_STATUS: dict[int, Fault] = {
    401: Fault("session", "the session is not accepted"),
    403: Fault("refused", "Salesforce refuses this", f"look at the user's permissions: {_PERMISSIONS}"),
    404: Fault("absent", "Salesforce has nothing there", "look at object; the user must have Read on it"),
    407: Fault("refused", "the proxy wants a password", "write it into proxy"),
    410: Fault("refused", "this version of the API is retired", "raise api_version"),
    414: Fault("long", "the request's address is too long"),
    431: Fault("long", "the request's address and headers are too long"),
    503: Fault("later", "Salesforce is not available", "see status.salesforce.com"),
}


def fault_of(status: int, content: object) -> Fault:
    """What an answer with that status says; `content` is its body, parsed if it was JSON."""
    code, message = _first_error(content)
    if code == "REQUEST_LIMIT_EXCEEDED":
        return _limit(message)
    fault = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if fault is None:
        fault = _of_class(status)
    named = f" ({code})" if code else f" (HTTP {status})"
    return Fault(fault.kind, fault.what + named + _names(fault.kind, message), fault.hint)


def _of_class(status: int) -> Fault:
    if 300 <= status < 400:
        return Fault(
            "refused", "Salesforce answers from another place", "was My Domain renamed? Copy it from Setup, My Domain"
        )
    if status >= 500 or status in {406, 408, 420, 429}:
        return Fault("later", "Salesforce failed", "see status.salesforce.com")
    return Fault("refused", "Salesforce refuses the request", "look at object, via and mapping")


def _limit(message: str) -> Fault:
    """Two things under one code: the day's requests are used up, or too many long ones run at this moment."""
    if "concurrent" in message.lower():
        what = "too many long requests run in the organisation at this moment (REQUEST_LIMIT_EXCEEDED)"
        return Fault("crowded", what, "see which integrations run long queries; the poll is tried again")
    what = "the organisation's API requests of 24 hours are used up (REQUEST_LIMIT_EXCEEDED)"
    return Fault("daily", what, "see Setup, Company Information, API Requests; it goes on by itself")


def _first_error(content: object) -> tuple[str, str]:
    """Code and message of REST's list of errors, of OAuth's object, of anything else none."""
    first = content[0] if isinstance(content, list) and content else content
    if not isinstance(first, dict):
        return "", ""
    code = first.get("errorCode") or first.get("exceptionCode") or first.get("error") or ""
    message = first.get("message") or first.get("exceptionMessage") or first.get("error_description") or ""
    return (str(code) if re.fullmatch(r"[A-Za-z_]{1,60}", str(code)) else ""), str(message)


_FIELD = re.compile(r"No such column '(\w{1,80})' on (?:entity|sobject of type) '?(\w{1,80})")
_RELATION = re.compile(r"Didn't understand relationship '(\w{1,80})'")
_OBJECT = re.compile(r"sObject type '(\w{1,80})' is not supported")


def _names(kind: Kind, message: str) -> str:
    """The field or object that the message is about: names, no values."""
    if kind == "field" and (found := _FIELD.search(message)):
        return f": {found[2]}.{found[1]}"
    found = _RELATION.search(message) or _OBJECT.search(message)
    return f": {found[1]}" if found else ""


# ---- logging in

_LOGIN: tuple[tuple[str, str, str], ...] = (
    # in the code or the description: what it means, and the cure
    (
        "no client credentials user enabled",
        "the app has no user to act as",
        f'{_APP}, Policies, OAuth Flows: enable client credentials and set "Run As"',
    ),
    ("request not supported on this domain", "client credentials are not taken here", "domain must be My Domain"),
    (
        "user hasn't approved this consumer",
        "the app is not pre-authorised for the user",
        f'{_APP}, Policies: "Admin approved users are pre-authorized", and add the user\'s permission set',
    ),
    ("app_not_found", "the app is not known at that address", "audience must be My Domain, or the app be installed"),
    ("app must be installed", "the app is not installed in the organisation", f"{_APP}: install it"),
    (
        "audience is invalid",
        "the audience is not accepted",
        'set audience = "login" ("test" for a sandbox), or My Domain',
    ),
    ("invalid assertion", "the signed assertion is not accepted", "private_key must fit the app's certificate"),
    ("expired authorization code", "the login is not accepted", "look at the clock of this machine"),
    ("inactive user", "the user is not active", "Setup, Users"),
    ("ip restricted", "the user may not log in from this address", "Setup, Profiles, Login IP Ranges"),
    ("rate_exceeded", "there were too many logins of this user", "wait an hour; see who else logs in as it"),
    ("login must use security token", "the security token is missing or old", "set security_token"),
    ("login_must_use_security_token", "the security token is missing or old", "set security_token"),
    ("is disabled by default", "SOAP login() is switched off in the organisation", 'use flow = "client_credentials"'),
    ("unsupported_api_version", "SOAP login() is gone from this version", "lower api_version, or use another flow"),
    ("invalid_client", "client_id or client_secret is wrong", f"{_APP}, Settings, OAuth Settings"),
    ("unsupported_grant_type", "this flow is not enabled for the app", f"{_APP}, Policies, OAuth Flows"),
    ("invalid_login", "user name, password or security token is wrong, or the user is locked", "Setup, Users"),
    ("invalid_operation", "SOAP login() is switched off in the organisation", 'use flow = "client_credentials"'),
    ("invalid_grant", "the login is not accepted", "look at the user's login history: Setup, Login History"),
)


def login_fault(code: object, message: object) -> Fault:
    """What a failed login means; `code` is OAuth's error, SOAP's exception code, or the HTTP status of a page."""
    if code in {None, 200, "UNKNOWN_EXCEPTION_CODE"}:
        return Fault("later", "a page answers the login instead of Salesforce", "see whether a proxy is in between")
    if isinstance(code, int):
        if code >= 500 or code in {408, 420, 429}:
            return Fault("later", f"Salesforce does not answer the login (HTTP {code})", "see status.salesforce.com")
        return Fault("refused", f"the login leads nowhere (HTTP {code})", "look at domain: it must be My Domain")
    name = str(code or "")
    if name.lower() in {"server_unavailable", "unknown_exception", "temporarily_unavailable"}:
        return Fault("later", f"Salesforce does not answer the login ({name})", "see status.salesforce.com")
    said = f"{name} {message}".lower().replace("\u2019", "'")
    shown = f" ({name})" if re.fullmatch(r"[A-Za-z_]{1,60}", name) else ""
    for words, what, hint in _LOGIN:
        if words in said:
            return Fault("refused", what + shown, hint)
    return Fault("refused", f"the login is not accepted{shown}", "look at auth and domain; Setup, Login History")


# ---- raising

_ERRORS: dict[Kind, type[SyncError]] = {
    "slow": Slow,
    "long": TooLong,
    "locator": LocatorLost,
    "field": FieldRefused,
    "absent": Absent,
    "refused": SourceRefused,
    "session": SourceRefused,
}


def error_of(fault: Fault, source: str, stream: str | None) -> SyncError:
    """The error to raise for a fault."""
    kind = _ERRORS.get(fault.kind, SourceUnavailable)
    return kind(fault.what, hint=fault.hint, source=source, stream=stream)


def unclear(what: str, source: str, stream: str | None) -> SourceUnavailable:
    """An answer that is not what Salesforce sends: a proxy's page, half an answer."""
    return SourceUnavailable(
        f"the answer is not what Salesforce sends: {what}",
        hint="see whether a proxy or a maintenance page answers instead; the poll is tried again",
        source=source,
        stream=stream,
    )


def listed(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
