"""The stand-in HubSpot: an account behind plain http on loopback. It counts its limits by the account's clock, and
checks every exchange against the API documents."""

from __future__ import annotations

import gzip
import json
import re
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from connectors.hubspot.api_paths import DEFAULT_FAMILY, FAMILIES
from tests.hubspot.hubspot_answers import BURST, SECONDLY, Answer, Answers, error
from tests.hubspot.hubspot_contract import Contract
from tests.hubspot.hubspot_lists import Lists
from tests.hubspot.hubspot_portal import Portal

TOKEN = "pat-eu1-canary-0000-token"
BURST_LIMIT = 100
SEARCHES = 5


@dataclass(frozen=True)
class Asked:
    """A call: its name in the path table, and what was asked."""

    name: str
    object: str
    to: str
    query: dict[str, str]
    body: Any
    at: float
    family: str


Fault = Callable[[Asked], Answer | None]


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template) + "/?")


def routes() -> Iterator[tuple[str, str, re.Pattern[str]]]:
    """Family, call and path, in the order of their tables: `search` comes before `one`, which has no fixed end."""
    for family in FAMILIES.values():
        for name, template in family.paths.items():
            yield family.name, name, _pattern(template)


@dataclass
class Standin:
    """The server's side of a test: what was asked, what will go wrong, which tokens open the account."""

    portal: Portal
    url: str = ""
    api: str = DEFAULT_FAMILY
    """The family of paths that this test's sources call; all are served."""
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    calls: list[Asked] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    contract: Contract = field(default_factory=Contract)
    limits: bool = True
    daily: tuple[int, int] | None = (250_000, 250_000)
    hanging: threading.Event = field(default_factory=threading.Event)
    connections: int = 0
    accepted: set[str] = field(default_factory=set)
    """The encodings that clients take."""
    longest: int = 0
    """Characters of the longest request line."""
    _recent: dict[str, deque[float]] = field(default_factory=dict)

    lists: Lists = field(default_factory=Lists)

    def __post_init__(self) -> None:
        self.answers = Answers(self.portal)

    def fail(self, answer: Answer | None, *, times: int = 1, name: str | None = None) -> None:
        """The next calls (of that name) get this answer; None: the connection breaks."""
        left = [times]

        def fault(asked: Asked) -> Answer | None:
            if left[0] <= 0 or (name is not None and asked.name != name):
                return None
            left[0] -= 1
            return answer or Answer(0, None)

        self.faults.append(fault)

    def counted(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for asked in self.calls:
            counts[asked.name] = counts.get(asked.name, 0) + 1
        return counts

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, token: str) -> Answer:
        with self.portal.lock:
            routed = ((family, name, route.fullmatch(path)) for family, name, route in routes())
            family, name, match = next((each for each in routed if each[2]), ("", "", None))
            if match is None:
                return Answer(404, None, raw=b"<html><body>404</body></html>")
            places = match.groupdict()
            at = self.portal.clock.time
            asked = Asked(name, places.get("object", ""), places.get("to", ""), query, body, at, family)
            self.calls.append(asked)
            answer = self._decide(asked, places, token)
            if answer.raw is None and answer.status > 0:
                self.contract.check(method, path, query, body, answer.status, answer.body)
            return answer

    def _decide(self, asked: Asked, places: dict[str, str], token: str) -> Answer:
        for fault in self.faults:
            if (answer := fault(asked)) is not None:
                return answer
        if token not in self.tokens:
            return error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
        if self.limits and (over := self._over(asked)) is not None:
            return over
        if scope := self.portal.denied.get((asked.name, asked.object)):
            return error(403, "MISSING_SCOPES", "no", context={"requiredGranularScopes": [scope]})
        answer = self._call(asked, places)
        answer.headers.update(self._headers(asked))
        return answer

    def _call(self, asked: Asked, places: dict[str, str]) -> Answer:
        wanted = [places[key] for key in ("object", "to") if key in places]
        names = [name for each in wanted if (name := self.portal.object(each))]
        if len(names) < len(wanted):
            return error(400, "VALIDATION_ERROR", f"Unable to infer object type from: {asked.object}")
        name, to = [*names, "", ""][:2]
        match asked.name:
            case "search":
                return self.answers.search(name, asked.body)
            case "list":
                return self.answers.list(name, asked.query)
            case "batch":
                return self.answers.batch(name, asked.body)
            case "one":
                return self.answers.one(name, places["id"], asked.query)
            case "associations":
                return self.answers.associations(name, to, asked.body)
            case "properties":
                return Answer(200, {"results": self.portal.definitions[name]})
            case "owners":
                return self.answers.owners(asked.query)
            case "pipelines":
                return Answer(200, {"results": self.portal.pipelines.get(name, [])})
            case "teams":
                return Answer(200, {"results": self.portal.teams})
            case "schemas":
                return Answer(200, {"results": self.portal.schemas})
            case "segment_by_id":
                return self.lists.by_id(places["list"])
            case "segment_by_name":
                return self.lists.by_name(asked.object, places["list"])
            case "members":
                return self.lists.members(places["list"], asked.query)
            case "usage":
                return self.answers.usage()
            case _:
                return self.answers.account()

    def _over(self, asked: Asked) -> Answer | None:
        """The account's limits, by a sliding window of its clock: five searches a second, the burst in ten."""
        kind, most, span = ("search", SEARCHES, 1.0) if asked.name == "search" else ("call", BURST_LIMIT, 10.0)
        recent = self._recent.setdefault(kind, deque())
        while recent and recent[0] <= asked.at - span:
            recent.popleft()
        recent.append(asked.at)
        if len(recent) <= most:
            return None
        return SECONDLY if kind == "search" else BURST

    def _headers(self, asked: Asked) -> dict[str, str]:
        """As recorded; a search says nothing of limits."""
        if asked.name == "search":
            return {}
        left = BURST_LIMIT - len(self._recent.get("call", ()))
        headers = {
            "X-HubSpot-RateLimit-Max": str(BURST_LIMIT),
            "X-HubSpot-RateLimit-Remaining": str(max(left, 0)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
        }
        if self.daily is not None:
            self.daily = (self.daily[0], self.daily[1] - 1)
            headers["X-HubSpot-RateLimit-Daily"] = str(self.daily[0])
            headers["X-HubSpot-RateLimit-Daily-Remaining"] = str(self.daily[1])
        return headers


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    standin: Standin

    def setup(self) -> None:
        super().setup()
        self.standin.connections += 1

    def _serve(self) -> None:
        self.standin.accepted.add(self.headers.get("Accept-Encoding") or "")
        self.standin.longest = max(self.standin.longest, len(self.path))
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        answer = self.standin.answer(self.command, url.path, query, body, token)
        if answer.status == 0:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if answer.status == -1:
            self.standin.hanging.wait(30)
            self.close_connection = True
            return
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        content = answer.raw if answer.raw is not None else json.dumps(answer.body).encode()
        headers = {"Content-Type": "application/json;charset=utf-8", **answer.headers}
        if answer.raw is None and "gzip" in (self.headers.get("Accept-Encoding") or ""):
            content = gzip.compress(content, 1)
            headers["Content-Encoding"] = "gzip"
        self.send_response_only(answer.status)
        self.send_header("Date", formatdate(self.standin.portal.clock.time, usegmt=True))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    do_GET = do_POST = _serve  # noqa: N815 - the library's names

    def log_message(self, *args: Any) -> None:
        return


HANGS = Answer(-1, None)
"""No answer at all."""


@contextmanager
def serving(portal: Portal, tls: ssl.SSLContext | None = None) -> Iterator[Standin]:
    """The account, served until the block ends. Exchanges that do not fit the API documents fail it."""
    standin = Standin(portal)
    handler = type("Handler", (_Handler,), {"standin": standin})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    standin.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
    thread.start()
    try:
        yield standin
    finally:
        standin.hanging.set()
        server.shutdown()
        server.server_close()
        thread.join()
    assert not standin.contract.violations, "\n".join(standin.contract.violations[:5])
