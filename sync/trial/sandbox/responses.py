"""Builds the API's answers, byte for byte as documented, and plausible ones for undocumented cases."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

import orjson

TOO_MANY_REQUESTS = "Too many requests. Please try again later."
INVALID_KEY = "Invalid API key."
FREE_PLAN_REACHED = "Reached the maximum limit of leads on the free plan."
FREE_PLAN_CROSSED = "Can not have more than 200 leads on the free plan."
FREE_PLAN_LEADS = 200
MAX_LEADS = 100
JSON = "application/json; charset=utf-8"

_DOCUMENTED = {401: INVALID_KEY, 429: TOO_MANY_REQUESTS}


@dataclass(frozen=True, slots=True)
class SandboxResponse:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


def answer(status: int, message: str | None, *, succeeded: bool = False) -> SandboxResponse:
    """Build an answer in the JSON shape of all documented ones."""
    body = {"succeeded": succeeded, "statusCode": status, "statusCodeDescription": "NONE", "message": message}
    return SandboxResponse(status, orjson.dumps(body))


CREATED = answer(200, None, succeeded=True)
NOT_SUCCEEDED = answer(200, None)
NOT_THE_JSON = SandboxResponse(200, b"<html><body>OK</body></html>", "text/html; charset=utf-8")


def too_many_leads(count: int) -> SandboxResponse:
    """Build the 400 for a batch of more than MAX_LEADS."""
    return answer(400, f"The maximum amount of leads to create at once is {MAX_LEADS}, but was {count}.")


def failure(status: int, retry_after: float | None = None) -> SandboxResponse:
    """Build the answer of an injected status: an HTML page for a gateway's, else JSON in the API's own shape."""
    headers = [("Retry-After", f"{retry_after:.0f}")] if retry_after is not None else []
    if status in (301, 302, 303, 307, 308):
        headers.append(("Location", "/api/v1/leads"))
    if status in (204, 205, 304):
        return SandboxResponse(status, b"", headers=tuple(headers))
    phrase = _phrase(status)
    if status in (502, 503, 504):
        page = f"<html><head><title>{status} {phrase}</title></head><body>{phrase}</body></html>"
        return SandboxResponse(status, page.encode(), "text/html", tuple(headers))
    return SandboxResponse(status, answer(status, _DOCUMENTED.get(status, f"{phrase}.")).body, headers=tuple(headers))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Failure"
