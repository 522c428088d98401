"""One POST over real sockets: whatever the other side does, the verdict says no more than is known, and in time."""

from __future__ import annotations

import gzip
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from wire import CREATED, Behaviour, Request, Server, answer, drip, reset, wait_until

from sync.clock import SystemClock
from sync.delivery.client import ANSWER_LIMIT, PATH, LeadsClient
from sync.delivery.outcome import Answer, Outcome, of_answer
from sync.errors import ConfigError
from sync.secrets import Secret

BODY = b'[{"name":"Acme","isContact":false}]'
DEADLINE = 0.3
SLACK = 0.4
"""What a loaded machine may add to a deadline."""


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextmanager
def client_of(url: str, timeout: float = DEADLINE) -> Iterator[LeadsClient]:
    with LeadsClient(url, Secret("key-123"), timeout=timeout, clock=SystemClock()) as client:
        yield client


def verdict(got: Answer | Outcome) -> str:
    return got.verdict if isinstance(got, Outcome) else of_answer(got).verdict


def in_time(client: LeadsClient, body: bytes = BODY, *, within: float = DEADLINE + SLACK) -> Answer | Outcome:
    began = time.monotonic()
    got = client.post(body)
    took = time.monotonic() - began
    assert took < within, f"it took {took:.2f} s"
    return got


def answers(*whole: bytes) -> Behaviour:
    """One answer after the other on one connection, each after a whole request."""

    def behave(server: Server, connection: socket.socket) -> None:
        for each in whole:
            if not server.next_request(connection):
                return
            connection.sendall(each)
        server.next_request(connection)

    return behave


def after_a_request(then: Behaviour) -> Behaviour:
    def behave(server: Server, connection: socket.socket) -> None:
        if server.next_request(connection):
            then(server, connection)

    return behave


# -- what is sent


def test_one_post_is_one_request_with_the_key_and_the_body_as_it_is() -> None:
    with Server(answers(answer())) as server, client_of(server.url) as client:
        got = client.post(BODY)
        assert got == Answer(200, CREATED, None)
        (request,) = server.requests
        assert request.line == f"POST {PATH} HTTP/1.1"
        assert request.body == BODY
        assert request.header("X-API-Key") == "key-123"
        assert request.header("Content-Type") == "application/json"
        assert (request.header("User-Agent") or "").startswith("closingdealz-sync/")
        assert request.header("Content-Length") == str(len(BODY))


def test_a_connection_is_used_again() -> None:
    with Server(answers(answer(), answer(), answer())) as server, client_of(server.url) as client:
        assert [verdict(client.post(BODY)) for _ in range(3)] == ["created"] * 3
        assert (server.connections, len(server.requests)) == (1, 3)


@pytest.mark.parametrize("status", [200, 201, 301, 400, 401, 404, 408, 422, 429, 500, 503])
def test_every_whole_answer_is_handed_on_as_it_is(status: int) -> None:
    with Server(answers(answer(status, b"{}", "Retry-After: 17"))) as server, client_of(server.url) as client:
        assert client.post(BODY) == Answer(status, b"{}", 17.0)
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with Server(answers(answer())) as other, Server(answers(answer(status, b"", f"Location: {other.url}/"))) as server:
        with client_of(server.url) as client:
            got = client.post(BODY)
            assert isinstance(got, Answer)
            assert verdict(got) == "paused"
        assert (len(server.requests), other.connections) == (1, 0)


def test_a_key_that_no_header_can_carry_is_refused_before() -> None:
    for bad in ("a b", "schlüssel", "a\nb", "a\x7f", "a\tb"):
        with pytest.raises(ConfigError) as caught:
            LeadsClient.check_key(Secret(bad), "workspaces.main.api_key")
        assert bad not in str(caught.value)
    LeadsClient.check_key(Secret("abc-DEF_123.~+/="), "workspaces.main.api_key")


def hang(server: Server, connection: socket.socket) -> None:
    server.stop.wait(5)


# -- no connection: nothing was sent


def refused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_refused_port_is_refused() -> None:
    with client_of(f"http://127.0.0.1:{refused_port()}") as client:
        assert verdict(in_time(client)) == "refused"


@pytest.mark.parametrize("host", ["nonexistent.invalid", "a" * 64 + ".invalid", "a..b.invalid"])
def test_a_name_that_does_not_resolve_is_refused(host: str) -> None:
    with client_of(f"http://{host}", 5.0) as client:
        assert verdict(client.post(BODY)) == "refused"


def test_tls_to_a_port_that_speaks_none_is_refused_and_sends_no_lead() -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        hello = connection.recv(65536)
        server.requests.append(Request(hello, b""))
        connection.sendall(answer(400, b""))

    with Server(behave) as server, client_of(server.url.replace("http:", "https:")) as client:
        assert verdict(in_time(client)) == "refused"
        assert b"Acme" not in server.requests[0].head


def test_a_port_that_accepts_tls_and_then_says_nothing_is_refused_in_time() -> None:
    with Server(hang) as server, client_of(server.url.replace("http:", "https:")) as client:
        assert verdict(in_time(client)) == "refused"


def test_a_backlog_that_is_full_is_refused_in_time() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        with client_of(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            assert verdict(in_time(client)) == "refused"
        for filler in fillers:
            filler.close()


# -- after the request: nobody knows

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n"

STRANGE: dict[str, Behaviour] = {
    "says nothing": after_a_request(hang),
    "closes": after_a_request(lambda server, connection: connection.close()),
    "resets": after_a_request(lambda server, connection: reset(connection)),
    "resets unread": lambda server, connection: reset(connection) if connection.recv(1) else None,
    "half a head": after_a_request(lambda server, connection: connection.sendall(HEAD)),
    "half a body": after_a_request(lambda server, connection: connection.sendall(HEAD + b"\r\n" + CREATED)),
    "reset in the body": after_a_request(lambda s, c: (c.sendall(HEAD + b"\r\n{"), time.sleep(0.05), reset(c))[2]),
    "no HTTP": after_a_request(lambda server, connection: connection.sendall(b"220 smtp ready\r\n\r\n")),
    "bad chunks": after_a_request(
        lambda s, connection: connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    ),
    "bad gzip": answers(answer(200, CREATED, "Content-Encoding: gzip")),
    "two lengths": after_a_request(lambda s, c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" + HEAD[17:])),
    "dripped head": after_a_request(lambda s, c: drip(c, HEAD + b"X: " + b"x" * 400, s.stop)),
    "dripped body": after_a_request(lambda s, c: (c.sendall(HEAD + b"\r\n"), drip(c, b" " * 400, s.stop))[1]),
    "dripped chunks": after_a_request(
        lambda s, c: (
            c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            drip(c, b"1\r\n \r\n" * 100, s.stop),
        )[1]
    ),
    "endless interim answers": after_a_request(lambda s, c: drip(c, b"HTTP/1.1 102 Wait\r\n\r\n" * 100, s.stop)),
    "huge": answers(answer(200, b" " * (ANSWER_LIMIT + 1) + CREATED)),
    "huge, unpacked": answers(
        answer(200, gzip.compress(b" " * (20 * ANSWER_LIMIT) + CREATED), "Content-Encoding: gzip")
    ),
    "endless head": after_a_request(lambda s, c: c.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000_000)),
    "switches protocols": after_a_request(
        lambda s, c: c.sendall(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    ),
}


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "kept alive"])
@pytest.mark.parametrize("name", STRANGE)
def test_whatever_happens_after_the_request_began_is_in_doubt_in_time_and_sent_once(name: str, reused: bool) -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        if reused and server.connections == 1:
            server.next_request(connection)
            connection.sendall(answer())
        STRANGE[name](server, connection)

    with Server(behave) as server, client_of(server.url) as client:
        if reused:
            assert verdict(client.post(BODY)) == "created"
        got = in_time(client)
        assert verdict(got) == "in_doubt"
        assert isinstance(got, Answer) or "Acme" not in got.cause
        time.sleep(0.05)
        sent = len(server.requests) - reused
        assert sent == (0 if name == "resets unread" else 1)
        assert server.connections == 1


@pytest.mark.parametrize("name", ["says nothing", "closes", "resets", "half a body", "dripped head", "huge"])
def test_after_any_of_it_the_same_client_sends_the_next_batch(name: str) -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        if server.connections == 1:
            STRANGE[name](server, connection)
        else:
            answers(answer())(server, connection)

    with Server(behave) as server, client_of(server.url) as client:
        assert verdict(in_time(client)) == "in_doubt"
        assert verdict(in_time(client)) == "created"
        assert server.connections == 2


def test_a_cut_off_deadline_of_one_request_does_not_cut_the_next_on_the_same_connection() -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        for _ in range(3):
            if not server.next_request(connection):
                return
            time.sleep(DEADLINE * 0.7)
            connection.sendall(answer())

    with Server(behave) as server, client_of(server.url) as client:
        assert [verdict(client.post(BODY)) for _ in range(3)] == ["created"] * 3
        assert server.connections == 1


def test_a_connection_that_the_server_closed_while_it_was_idle_is_made_anew() -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        if server.next_request(connection):
            connection.sendall(answer())

    with Server(behave) as server, client_of(server.url) as client:
        assert verdict(client.post(BODY)) == "created"
        wait_until(lambda: not server._threads[0].is_alive())
        assert verdict(client.post(BODY)) == "created"
        assert (server.connections, len(server.requests)) == (2, 2)


def test_a_server_that_never_reads_a_large_body_is_in_doubt_in_time() -> None:
    with Server(hang) as server, client_of(server.url) as client:
        assert verdict(in_time(client, b"x" * 50_000_000, within=DEADLINE + 3 * SLACK)) == "in_doubt"


def test_an_early_answer_to_a_large_body_is_read() -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(answer(413, b'{"message": "too large"}', "Connection: close"))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass

    with Server(behave) as server, client_of(server.url, 5.0) as client:
        assert verdict(client.post(b"x" * 5_000_000)) == "rejected"


def test_a_deadline_that_is_over_before_a_byte_is_written_sends_nothing() -> None:
    with Server(answers(answer())) as server, client_of(server.url) as client:
        got = client.post(BODY, deadline=SystemClock().boot() - 1)
        assert isinstance(got, Outcome)
        assert got.verdict == "refused"
        assert server.requests == []
        assert verdict(client.post(BODY)) == "created"


def test_an_earlier_deadline_of_the_claim_wins() -> None:
    with Server(after_a_request(hang)) as server, client_of(server.url, 30.0) as client:
        began = time.monotonic()
        assert verdict(client.post(BODY, deadline=SystemClock().boot() + 0.2)) == "in_doubt"
        assert time.monotonic() - began < 0.2 + SLACK


# -- TLS and proxies


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout key.pem"
    subject = ["-out", "cert.pem", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:crm.invalid"]
    subprocess.run([*command.split(), *subject], cwd=folder, check=True, capture_output=True)
    return folder


def context_of(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return context


@pytest.mark.parametrize("name", ["says nothing", "closes", "resets", "half a body", "dripped head", "dripped body"])
def test_tls_keeps_the_same_promises(name: str, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))

    def behave(server: Server, connection: socket.socket) -> None:
        if server.connections == 1:
            server.next_request(connection)
            connection.sendall(answer())
        STRANGE[name](server, connection)

    with Server(behave, context_of(certificate)) as server, client_of(server.url) as client:
        assert verdict(client.post(BODY)) == "created"
        assert verdict(in_time(client)) == "in_doubt"
        assert (server.connections, len(server.requests)) == (1, 2)


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    with Server(answers(answer()), context_of(certificate)) as server, client_of(server.url) as client:
        assert verdict(in_time(client)) == "refused"
        assert server.requests == []


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(answers(answer())) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with client_of("http://crm.invalid") as client:
            assert verdict(client.post(BODY)) == "created"
        assert proxy.requests[0].line == f"POST http://crm.invalid{PATH} HTTP/1.1"


def test_loopback_is_never_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{refused_port()}")
    with Server(answers(answer())) as server, client_of(server.url) as client:
        assert verdict(client.post(BODY)) == "created"


def test_a_proxy_that_is_down_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{refused_port()}")
    with client_of("https://crm.invalid") as client:
        assert verdict(client.post(BODY)) == "refused"


@pytest.mark.parametrize("status", [403, 407, 502, 503])
def test_a_proxy_that_will_not_connect_puts_nothing_in_doubt(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the proxy was sent is its own request: no lead has left."""
    with Server(answers(answer(status, b"no"))) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        with client_of("https://crm.invalid") as client:
            assert verdict(in_time(client)) == "refused"
        assert [request.line for request in proxy.requests] == ["CONNECT crm.invalid:443 HTTP/1.1"]
        assert proxy.requests[0].header("X-API-Key") is None


def test_a_tunnel_through_a_proxy_keeps_the_same_promises(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))

    def behave(server: Server, connection: socket.socket) -> None:
        server.next_request(connection)
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        inner = context_of(certificate).wrap_socket(connection, server_side=True)
        server._open.append(inner)
        if server.next_request(inner):
            inner.sendall(answer())
        if server.next_request(inner):
            drip(inner, HEAD + b"X: " + b"x" * 400, server.stop)

    with Server(behave) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        with client_of("https://crm.invalid:4") as client:
            assert verdict(client.post(BODY)) == "created"
            assert verdict(in_time(client)) == "in_doubt"
        assert [request.line.split()[0] for request in proxy.requests] == ["CONNECT", "POST", "POST"]
