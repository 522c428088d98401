"""`/healthz` and `/metrics` over HTTP, on this machine only, by a few threads that hold up nobody."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from sync.errors import ConfigError, Problem
from sync.service.health import Health

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATIENCE = 5.0
"""Seconds that a client may take for its request, and for reading the answer."""
MOST_CLIENTS = 8


class Server:
    """Serves from when it is made until `close`. Raises ConfigError where the address cannot be had."""

    def __init__(self, listen: str, health: Callable[[], Health], metrics: WSGIApplication) -> None:
        host, _, port = listen.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        kind = _SixServer if ":" in host else _Server
        try:
            self._server = make_server(host, int(port), application(health, metrics), kind, _Handler)
        except OSError as error:
            hint = "another process, or another instance, may listen there"
            problem = Problem("metrics.listen", f"cannot be listened on: {error.strerror}", hint)
            raise ConfigError([problem]) from error
        self.listen = listen
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def application(health: Callable[[], Health], metrics: WSGIApplication) -> WSGIApplication:
    """`/healthz` answers 200 where all is well and 503 where not, `/healthz/live`, `/ready` and `/flowing` for one
    question alone, each with the same JSON."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _text(start_response, "405 Method Not Allowed", "only GET", ("Allow", "GET, HEAD"))
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return metrics(environ, start_response)
        if path in _QUESTIONS:
            found = health()
            well = _QUESTIONS[path](found)
            body = json.dumps(found.as_json(), ensure_ascii=False).encode() + b"\n"
            headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
            start_response("200 OK" if well else "503 Service Unavailable", headers)
            return [body]
        return _text(start_response, "404 Not Found", "there is /healthz and /metrics")

    return answer


_QUESTIONS: dict[str, Callable[[Health], bool]] = {
    "/healthz": lambda health: health.flowing,
    "/healthz/live": lambda health: health.live,
    "/healthz/ready": lambda health: health.ready,
    "/healthz/flowing": lambda health: health.flowing,
}


def _text(start_response: StartResponse, status: str, text: str, *more: tuple[str, str]) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), *more])
    return [f"{text}\n".encode()]


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a client, of at most so many: one more is sent away."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._clients = threading.BoundedSemaphore(MOST_CLIENTS)

    def server_bind(self) -> None:
        """Without asking the name service for our own name, which may take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._clients.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._clients.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves, or is too slow, is no news."""


class _SixServer(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(PATIENCE)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the library's own word
        """Not in our log."""
