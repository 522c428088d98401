"""A stand-in Salesforce: real HTTPS on loopback over an `Org`, with the faults that Salesforce and its neighbours
show."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.salesforce.sf_authority import Authority
from tests.salesforce.sf_faults import Asked, Fault
from tests.salesforce.sf_logins import Logins
from tests.salesforce.sf_org import Org, Unknown, sf_id
from tests.salesforce.sf_proxy import Proxy
from tests.salesforce.sf_soql import Malformed, parse

VERSIONS = [f"{number}.0" for number in range(31, 68)]
LONGEST = 16_384


class StandIn(Logins):
    """The server. Faults are taken in the order in which they were given."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.reset()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.stand_in = self
        self._server.context = authority.context()
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def reset(self) -> None:
        self.org = Org()
        self.close_doors()
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self.batch_size = 2000
        self.used, self.allowed = 21, 15_000
        self.says_usage = True
        self.longest_uri = LONGEST
        self.too_long = 414
        self.locators: dict[str, tuple[list[dict[str, Any]], int]] = {}
        self.release = threading.Event()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # ---- what tests look at

    @property
    def logins(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.is_login]

    @property
    def queries(self) -> list[str]:
        return [asked.soql for asked in self.asked if asked.soql is not None]

    def calls(self) -> Counter[str]:
        """Requests that count against the quota, by what they are for."""
        kinds: Counter[str] = Counter()
        for asked in self.asked:
            if asked.is_login or urlsplit(asked.path).path == "/services/data/":
                continue
            found = re.search(r"FROM (\w+)", asked.soql or "")
            kinds[found[1] if found else urlsplit(asked.path).path.split("/", 4)[-1]] += 1
        return kinds

    def forget(self) -> None:
        self.asked.clear()

    # ---- what it answers

    def answer(self, asked: Asked, body: bytes, size: int) -> tuple[int, Any, dict[str, str]]:
        """Status, body, headers."""
        path = urlsplit(asked.path).path
        if asked.is_login:
            return self.login(asked, body)
        if path == "/services/data/":
            return 200, [{"version": version, "url": f"/services/data/v{version}"} for version in VERSIONS], {}
        headers = self._usage()
        if len(asked.path) > self.longest_uri:
            return self.too_long, "<html>URI Too Long</html>", headers
        if size > LONGEST:
            return 431, "<html>Request Header Fields Too Large</html>", headers
        session = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if session not in self.sessions or not self.sessions_are_good:
            return 401, [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}], headers
        try:
            status, answer = self._api(asked, path, body)
        except Unknown as unknown:
            status = 404 if unknown.code == "NOT_FOUND" else 400
            answer = [{"message": unknown.message, "errorCode": unknown.code}]
        except Malformed as malformed:
            status, answer = 400, [{"message": f"\n{malformed}", "errorCode": "MALFORMED_QUERY"}]
        return status, answer, headers

    def _usage(self) -> dict[str, str]:
        with self._lock:
            self.used += 1
        return {"Sforce-Limit-Info": f"api-usage={self.used}/{self.allowed}"} if self.says_usage else {}

    def _api(self, asked: Asked, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/services/oauth2/userinfo":
            return 200, {"preferred_username": "ann@example.com", "organization_id": sf_id("Organization", 1)}
        match path.strip("/").split("/"):
            case ["services", "data", version, *_] if version.removeprefix("v") not in VERSIONS:
                return 410, [{"message": "…", "errorCode": "UNSUPPORTED_API_VERSION"}]
            case ["services", "data", _, ("query" | "queryAll") as kind]:
                return 200, self._query(asked.soql or "", deleted=kind == "queryAll")
            case ["services", "data", _, ("query" | "queryAll"), locator]:
                return self._more(locator)
            case ["services", "data", _, "sobjects"]:
                return 200, {"sobjects": [self.org.describe(name) for name in self.org.fields]}
            case ["services", "data", _, "sobjects", name, "describe"]:
                return 200, self.org.describe(name)
            case ["services", "data", _, "composite"]:
                inner = json.loads(body)["compositeRequest"][0]
                status, answer, _ = self._inside(asked, inner["url"])
                return 200, {"compositeResponse": [{"body": answer, "httpHeaders": {}, "httpStatusCode": status,
                                                    "referenceId": inner["referenceId"]}]}  # fmt: skip
            case _:
                return 404, [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]

    def _inside(self, asked: Asked, url: str) -> tuple[int, Any, None]:
        parts = urlsplit(url)
        inner = Asked("GET", url, _soql(parts.query), asked.headers)
        try:
            return *self._api(inner, parts.path, b""), None
        except Unknown as unknown:
            return 400, [{"message": unknown.message, "errorCode": unknown.code}], None

    def _query(self, soql: str, *, deleted: bool) -> Any:
        query = parse(soql)
        rows = self.org.run(query, deleted=deleted)
        if query.count:
            return {"totalSize": len(rows), "done": True, "records": []}
        return self._slice(rows, 0)

    def _slice(self, rows: list[dict[str, Any]], at: int) -> Any:
        end = at + self.batch_size
        answer: dict[str, Any] = {"totalSize": len(rows), "done": end >= len(rows), "records": rows[at:end]}
        if not answer["done"]:
            locator = f"0r8xx{len(self.locators):012d}-{end}"
            self.locators[locator] = (rows, end)
            answer["nextRecordsUrl"] = f"/services/data/v64.0/query/{locator}"
        return answer

    def _more(self, locator: str) -> tuple[int, Any]:
        if locator not in self.locators:
            return 400, [{"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}]
        return 200, self._slice(*self.locators[locator])

    def fault_for(self, asked: Asked) -> Fault | None:
        with self._lock:
            for at, fault in enumerate(self.faults):
                if fault.on(asked):
                    left = [Fault(**{**fault.__dict__, "times": fault.times - 1})] if fault.times > 1 else []
                    self.faults[at : at + 1] = left
                    return fault
        return None


def _soql(query: str) -> str | None:
    return parse_qs(query).get("q", [None])[0]


class _Server(ThreadingHTTPServer):
    stand_in: StandIn
    context: ssl.SSLContext
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        self.request.settimeout(30)
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.request.close()

    def log_message(self, *_: Any) -> None:
        return

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(self.server.stand_in.org.now(), usegmt=True)

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _serve(self, body: bytes) -> None:
        stand_in = self.server.stand_in
        headers = {key.lower(): value for key, value in self.headers.items()}
        headers["x-connection"] = str(self.client_address[1])
        soql = _soql(urlsplit(self.path).query) or _inner_soql(body)
        asked = Asked(self.command, unquote(self.path) if soql is None else self.path, soql, headers)
        stand_in.asked.append(asked)
        fault = stand_in.fault_for(asked)
        if fault is not None:
            time.sleep(fault.delay)
            if fault.how != "then":
                self._fail(fault)
                return
        size = len(self.path) + sum(len(key) + len(value) + 4 for key, value in headers.items())
        status, answer, more = stand_in.answer(asked, body, size)
        self._send(status, answer, more)

    def _fail(self, fault: Fault) -> None:
        stand_in = self.server.stand_in
        if fault.how == "answer":
            self._send(fault.status, fault.body, {**stand_in._usage(), **fault.headers})
            return
        self.close_connection = True
        if fault.how == "hang":
            stand_in.release.wait(20)
        elif fault.how == "trickle":
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not stand_in.release.wait(0.05):
                    self.wfile.write(b" ")
        elif fault.how == "drop":
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"totalSize"')
        with contextlib.suppress(OSError):
            self.request.shutdown(socket.SHUT_RDWR)

    def _send(self, status: int, answer: Any, headers: dict[str, str]) -> None:
        kind = "application/json;charset=UTF-8"
        if isinstance(answer, str):
            kind = "text/html"
        payload = answer.encode() if isinstance(answer, str) else b"" if isinstance(answer, bytes) else _json(answer)
        fields = {"Content-Type": kind, **headers}
        if isinstance(answer, bytes):  # packed already
            payload, fields["Content-Encoding"] = answer, "gzip"
        elif "gzip" in self.headers.get("Accept-Encoding", "") and len(payload) > 500:
            payload = gzip.compress(payload, 1)
            fields["Content-Encoding"] = "gzip"
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in {**fields, "Content-Length": str(len(payload))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)


def _json(answer: Any) -> bytes:
    return json.dumps(answer).encode()


def _inner_soql(body: bytes) -> str | None:
    if not body.startswith(b'{"compositeRequest"'):
        return None
    return _soql(urlsplit(json.loads(body)["compositeRequest"][0]["url"]).query)


@contextlib.contextmanager
def running(authority: Authority) -> Iterator[tuple[StandIn, Proxy]]:
    stand_in = StandIn(authority)
    proxy = Proxy(stand_in.port)
    try:
        yield stand_in, proxy
    finally:
        stand_in.close()
        proxy.close()
