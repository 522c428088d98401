"""Error codes that refuse a user, an application or an organisation, at the login or in the answer to any later
request.

One table, because a code means the same wherever it comes. (docs/sources.md#salesforce-login)
"""

from __future__ import annotations

import re

from connectors.salesforce.fault_kinds import APP, PERMISSIONS, SalesforceFault, shown_code

_SOAP_OFF = SalesforceFault(
    "refused",
    "SOAP login() is switched off in the organisation",
    'use flow = "client_credentials"; where SOAP login() is switched on, the user still needs the permission '
    '"Use Any API Auth"',
)
_ADDRESS = SalesforceFault(
    "refused", "the user may not log in from this address", "Setup, Profiles, the user's profile, Login IP Ranges"
)
_HOURS = SalesforceFault(
    "refused", "the user may not log in at this hour", "Setup, Profiles, the user's profile, Login Hours"
)
_TOO_MANY_LOGINS = SalesforceFault(
    "refused", "this user has logged in too often", "wait an hour; see who else logs in as this user"
)
_APPLICATION = SalesforceFault("refused", "client_id or client_secret is wrong", f"{APP}, Settings, OAuth Settings")
_TOKEN = SalesforceFault("refused", "the security token is missing or old", "set security_token")
_INACTIVE = SalesforceFault("refused", "the user is not active", "Setup, Users")
_LOCKED = SalesforceFault(
    "refused", "the user is locked out after too many failed logins", "Setup, Users, the user, Unlock; correct password"
)
_EXPIRED = SalesforceFault(
    "refused",
    "the user's password has expired",
    f'set a new one and write it into password; "Password Never Expires": {PERMISSIONS}, System Permissions',
)
_CLOSED = SalesforceFault(
    "refused", "the organisation is locked, closed or suspended", "Setup, Company Information; Salesforce"
)
_CHALLENGE = SalesforceFault(
    "refused", "Salesforce wants to verify this machine first", "Setup, Network Access: add its address"
)
_API = SalesforceFault(
    "refused",
    "the API is not open to this user or organisation",
    f'grant "API Enabled": {PERMISSIONS}, System Permissions; the edition must have the API',
)
_CLIENT = SalesforceFault(
    "refused", "the user may use approved applications only", f"Setup, API Access Control: approve the app, or {APP}"
)
_BLOCKED = SalesforceFault("refused", "the app is blocked", "Setup, Connected Apps OAuth Usage: unblock it")
_MANY = SalesforceFault("crowded", "Salesforce takes no more logins at this moment", "it resumes automatically")
_DOWN = SalesforceFault("later", "Salesforce does not answer", "see status.salesforce.com")

ACCESS: dict[str, SalesforceFault] = {
    # tried again later, without anybody's doing
    "API_CURRENTLY_DISABLED": SalesforceFault("later", "Salesforce has closed the API for the time being"),
    "ORGANIZATION_IN_MAINTENANCE": SalesforceFault(
        "later", "the organisation is in maintenance", "see status.salesforce.com"
    ),
    "ORG_IN_MAINTENANCE": SalesforceFault("later", "the organisation is in maintenance", "see status.salesforce.com"),
    "ORG_LOCKED": SalesforceFault(
        "later", "the organisation is locked for the time being", "Setup, Company Information"
    ),
    "SERVER_UNAVAILABLE": SalesforceFault("later", "Salesforce is not available", "see status.salesforce.com"),
    "SERVER_ERROR": _DOWN,
    "TEMPORARILY_UNAVAILABLE": _DOWN,
    "UNKNOWN_ERROR": _DOWN,
    "UNKNOWN_EXCEPTION": SalesforceFault("later", "Salesforce failed", "see status.salesforce.com"),
    "RATE_LIMIT_EXCEEDED": _MANY,
    "TOO_MANY_REQUESTS": _MANY,
    # a person must act: the user
    "INVALID_LOGIN": SalesforceFault(
        "refused",
        "user name, password or security token is wrong, or the user is locked",
        "Setup, Users; Setup, Login History",
    ),
    "LOGIN_MUST_USE_SECURITY_TOKEN": _TOKEN,
    "PASSWORD_EXPIRED": _EXPIRED,
    "PASSWORD_LOCKOUT": _LOCKED,
    "INVALID_NEW_PASSWORD": SalesforceFault(
        "refused",
        "the user must choose a new password first",
        "log in once as that user with a browser, and write the new one into password",
    ),
    "INVALID_LOGIN_IP": _ADDRESS,
    "LOGIN_RESTRICTED": _ADDRESS,
    "LOGIN_DURING_RESTRICTED_DOMAIN": _ADDRESS,
    "LOGIN_DURING_RESTRICTED_TIME": _HOURS,
    "LOGIN_RATE_EXCEEDED": _TOO_MANY_LOGINS,
    "LOGIN_CHALLENGE_ISSUED": _CHALLENGE,
    "LOGIN_CHALLENGE_PENDING": _CHALLENGE,
    "INACTIVE_USER": _INACTIVE,
    # … the organisation
    "INACTIVE_ORG": _CLOSED,
    "TRIAL_EXPIRED": SalesforceFault("refused", "the organisation's trial has ended", "ask Salesforce"),
    "API_DISABLED": _API,
    "API_DISABLED_FOR_ORG": _API,
    # … the application
    "CLIENT_NOT_ACCESSIBLE_FOR_USER": _CLIENT,
    "CLIENT_REQUIRE_UPDATE_FOR_USER": _CLIENT,
    "OAUTH_APP_ACCESS_DENIED": _CLIENT,
    "OAUTH_APP_BLOCKED": _BLOCKED,
    "APP_NOT_FOUND": SalesforceFault(
        "refused", "the app is not known at that address", "audience must be My Domain, or the app be installed"
    ),
    "INVALID_APP_ACCESS": SalesforceFault(
        "refused", "the app is not installed in the organisation", f"{APP}: install it"
    ),
    "INVALID_CLIENT": _APPLICATION,
    "INVALID_CLIENT_ID": _APPLICATION,
    "INVALID_CLIENT_CREDENTIALS": _APPLICATION,
    "UNAUTHORIZED_CLIENT": SalesforceFault(
        "refused", "this flow is not enabled for the app", f"{APP}, Policies, OAuth Flows"
    ),
    "UNSUPPORTED_GRANT_TYPE": SalesforceFault(
        "refused", "this flow is not enabled for the app", f"{APP}, Policies, OAuth Flows"
    ),
    "INVALID_SCOPE": SalesforceFault(
        "refused", "the app lacks a scope", f'{APP}, Settings, OAuth Settings: add the scope "api"'
    ),
}
"""By the code in capitals."""

_BY_WORDS: tuple[tuple[str, SalesforceFault], ...] = (
    # in the description beside a general code, such as OAuth's invalid_grant
    (
        "no client credentials user enabled",
        SalesforceFault(
            "refused",
            "the app has no user to act as",
            f'{APP}, Policies, OAuth Flows: enable client credentials and set "Run As"',
        ),
    ),
    (
        "request not supported on this domain",
        SalesforceFault("refused", "client credentials are not accepted here", "domain must be My Domain"),
    ),
    (
        "user hasn't approved this consumer",
        SalesforceFault(
            "refused",
            "the app is not pre-authorised for the user",
            f'{APP}, Policies: "Admin approved users are pre-authorized", and add the user\'s permission set',
        ),
    ),
    ("app must be installed", ACCESS["INVALID_APP_ACCESS"]),
    (
        "audience is invalid",
        SalesforceFault(
            "refused", "the audience is not accepted", 'set audience = "login" ("test" for a sandbox), or My Domain'
        ),
    ),
    (
        "invalid assertion",
        SalesforceFault(
            "refused", "the signed assertion is not accepted", "private_key must fit the app's certificate"
        ),
    ),
    (
        "expired authorization code",
        SalesforceFault("refused", "the login is not accepted", "look at the clock of this machine"),
    ),
    ("rate exceeded", _TOO_MANY_LOGINS),
    ("number of logins", _MANY),
    ("too many requests", _MANY),
    ("inactive user", _INACTIVE),
    ("user is inactive", _INACTIVE),
    ("organization is locked", _CLOSED),
    ("ip restricted", _ADDRESS),
    ("restricted ip", _ADDRESS),
    ("login hours", _HOURS),
    ("restricted time", _HOURS),
    ("password expired", _EXPIRED),
    ("expired password", _EXPIRED),
    ("user is locked out", _LOCKED),
    ("password lockout", _LOCKED),
    ("login must use security token", _TOKEN),
    ("use any api auth", _SOAP_OFF),
    ("is disabled by default", _SOAP_OFF),
    ("in maintenance", ACCESS["ORGANIZATION_IN_MAINTENANCE"]),
)
"""By words in the description that comes with a general code, such as OAuth's invalid_grant. The first match counts."""

_AT_LOGIN: dict[str, SalesforceFault] = {
    "INVALID_OPERATION": _SOAP_OFF,
    "UNSUPPORTED_API_VERSION": SalesforceFault(
        "refused", "SOAP login() is gone from this version", "lower api_version, or use another flow"
    ),
    "INVALID_GRANT": SalesforceFault(
        "refused", "the login is not accepted", "look at the user's login history: Setup, Login History"
    ),
}
"""Codes that mean something else at the login than later, or come only there."""

_FAULTCODE = re.compile(r"<faultcode>\s*(?:\w+:)?([A-Za-z_]{1,60})\s*</faultcode>")


def login_fault(code: object, message: object) -> SalesforceFault:
    """Return the meaning of a failed login. `code` is OAuth's error, SOAP's exception code, or the HTTP status of a
    page."""
    if code is None and (found := _FAULTCODE.search(str(message))):
        code = found[1]  # a SOAP fault without details
    if code in {None, 200, "UNKNOWN_EXCEPTION_CODE"}:
        return SalesforceFault(
            "later", "a web page answers the login instead of Salesforce", "see whether a proxy is in between"
        )
    if isinstance(code, int):
        if code >= 500 or code in {408, 420, 429}:
            return SalesforceFault(
                "later", f"Salesforce does not answer the login (HTTP {code})", "see status.salesforce.com"
            )
        return SalesforceFault(
            "refused", f"the login leads nowhere (HTTP {code})", "check domain: it must be My Domain"
        )
    return _coded(str(code or ""), str(message or ""))


def _coded(code: str, message: str) -> SalesforceFault:
    if code.upper() == "REQUEST_LIMIT_EXCEEDED":
        return limit_fault(message)
    # Descriptions come with a typographic apostrophe, and OAuth's with underscores between their words.
    text = message.lower().replace("\u2019", "'").replace("_", " ")
    by_words = next((fault for words, fault in _BY_WORDS if words in text), None)
    # The code first: the description of one fault may hold the words of another.
    fault = ACCESS.get(code.upper()) or by_words or _AT_LOGIN.get(code.upper())
    if fault is None:
        return SalesforceFault(
            "refused", f"the login is not accepted{shown_code(code)}", "check auth and domain; Setup, Login History"
        )
    # The code stays beside our words: Salesforce's own pages and support go by it.
    return SalesforceFault(fault.kind, fault.what + shown_code(code), fault.hint)


def limit_fault(message: str) -> SalesforceFault:
    """Return the meaning of REQUEST_LIMIT_EXCEEDED.

    It is one of two: the requests of 24 hours are used up, or too many long requests run at this moment.
    (docs/sources.md#salesforce-limits)
    """
    if "concurrent" in message.lower():
        what = "too many long requests run in the organisation at this moment (REQUEST_LIMIT_EXCEEDED)"
        return SalesforceFault("crowded", what, "see which integrations run long queries; the poll is tried again")
    what = "the organisation's API requests of 24 hours are used up (REQUEST_LIMIT_EXCEEDED)"
    return SalesforceFault("daily", what, "see Setup, Company Information, API Requests; it resumes automatically")
