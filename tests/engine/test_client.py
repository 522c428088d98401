"""One POST over real sockets: whatever the other side does, the verdict says no more than is known, and in time."""

from __future__ import annotations

import gzip
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import certifi
import pytest

from sync.delivery.client import ANSWER_LIMIT, PATH, LeadsClient
from sync.delivery.outcome import ApiResponse, Outcome, of_answer
from sync.shared.clock import SystemClock
from sync.shared.errors import ConfigError
from sync.shared.secrets import Secret
from tests.engine.wire import CREATED, Behaviour, Request, Server, answer, drip, reset, wait_until
from tests.patience import PATIENCE

BODY = b'[{"name":"Acme","isContact":false}]'
DEADLINE = 2.0
"""For what never comes: seconds that pass in vain."""
pytestmark = pytest.mark.timeout(150)  # whoever waits for what does not come is ended by it


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextmanager
def client_of(url: str, timeout: float = PATIENCE) -> Iterator[LeadsClient]:
    with LeadsClient(url, Secret("key-123"), timeout=timeout, clock=SystemClock()) as client:
        yield client


def verdict(got: ApiResponse | Outcome) -> str:
    return got.verdict if isinstance(got, Outcome) else of_answer(got).verdict


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


def begun(answer: bytes, then: Behaviour) -> Behaviour:
    def behave(server: Server, connection: socket.socket) -> None:
        connection.sendall(answer)
        then(server, connection)

    return behave


# -- what is sent


def test_one_post_is_one_request_with_the_key_and_the_body_as_it_is() -> None:
    with Server(answers(answer())) as server, client_of(server.url) as client:
        got = client.post(BODY)
        assert got == ApiResponse(200, CREATED, None)
        (request,) = server.requests
        assert request.line == f"POST {PATH} HTTP/1.1"
        assert request.body == BODY
        assert request.header("X-API-Key") == "key-123"
        assert request.header("Content-Type") == "application/json"
        assert request.header("Accept-Encoding") == "identity"
        assert (request.header("User-Agent") or "").startswith("closingdealz-sync/")
        assert request.header("Content-Length") == str(len(BODY))


def test_every_request_has_a_connection_of_its_own() -> None:
    with Server(answers(answer(), answer())) as server, client_of(server.url) as client:
        assert [verdict(client.post(BODY)) for _ in range(3)] == ["created"] * 3
        assert (server.connections, len(server.requests)) == (3, 3)
        assert {request.header("Connection") for request in server.requests} == {"close"}


def test_several_threads_may_post_at_once() -> None:
    together = threading.Barrier(4)

    def behave(server: Server, connection: socket.socket) -> None:
        server.next_request(connection)
        together.wait(PATIENCE)
        connection.sendall(answer())

    with Server(behave) as server, client_of(server.url) as client, ThreadPoolExecutor(4) as threads:
        got = [*threads.map(client.post, [BODY] * 4)]
        assert [verdict(each) for each in got] == ["created"] * 4
        assert len(server.requests) == 4


def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 4000 + b"the end"
    with Server(answers(answer())) as server, client_of(server.url) as client:
        assert verdict(client.post(body)) == "created"
        assert server.requests[0].body == body
        assert server.requests[0].header("Content-Length") == str(len(body))
        assert server.requests[0].header("Transfer-Encoding") is None


def test_certificates_and_proxies_that_cannot_be_used_are_a_matter_of_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Found before anything is claimed: a batch must not be in doubt because of it."""
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    for name, value in (
        ("SSL_CERT_FILE", str(tmp_path / "missing.pem")),
        ("SSL_CERT_FILE", str(empty)),
        ("https_proxy", "nonsense://127.0.0.1:1"),
        ("https_proxy", "http://[::1"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(ConfigError, match="SSL_CERT_FILE, SSL_CERT_DIR"):
                LeadsClient("https://crm.invalid", Secret("key"), timeout=1.0, clock=SystemClock())
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(ConfigError, match="a SOCKS proxy, which cannot be used"):
        LeadsClient("https://crm.invalid", Secret("key"), timeout=1.0, clock=SystemClock())


def test_certificates_are_read_by_the_first_request_and_if_they_cannot_be_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those of the installation: reading them takes longer than all else of a round that has nothing to send."""
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "missing.pem"))
    with client_of("https://127.0.0.1:9") as client:
        got = client.post(BODY)
    assert verdict(got) == "refused"
    assert got.account.startswith("no connection; nothing written")
    assert "was refused after" not in got.account, "it never came to a connection"


@pytest.mark.parametrize("status", [200, 201, 301, 400, 401, 404, 408, 422, 429, 500, 503])
def test_every_whole_answer_is_handed_on_as_it_is(status: int) -> None:
    with Server(answers(answer(status, b"{}", "Retry-After: 17"))) as server, client_of(server.url) as client:
        assert client.post(BODY) == ApiResponse(status, b"{}", 17.0)
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with Server(answers(answer())) as other, Server(answers(answer(status, b"", f"Location: {other.url}/"))) as server:
        with client_of(server.url) as client:
            got = client.post(BODY)
            assert isinstance(got, ApiResponse)
            assert verdict(got) == "paused"
        assert (len(server.requests), other.connections) == (1, 0)


def test_a_key_that_no_header_can_carry_is_refused_before() -> None:
    for bad in ("a b", "schlüssel", "a\nb", "a\x7f", "a\tb"):
        with pytest.raises(ConfigError) as caught:
            LeadsClient.check_key(Secret(bad), "workspaces.main.api_key")
        assert bad not in str(caught.value)
    LeadsClient.check_key(Secret("abc-DEF_123.~+/="), "workspaces.main.api_key")


def hang(server: Server, connection: socket.socket) -> None:
    server.stop.wait(60)


# -- no connection: nothing was sent


def refused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def assert_refused(got: ApiResponse | Outcome, words: str) -> None:
    """Nothing can have arrived, and it says why."""
    assert isinstance(got, Outcome)
    assert got.verdict == "refused"
    assert re.match(f"no connection: {words}", got.cause), got.cause
    assert re.fullmatch(rf"no connection; nothing written; {words} after [\d,.]+ m?s", got.account), got.account


def test_a_refused_port_is_refused() -> None:
    with client_of(f"http://127.0.0.1:{refused_port()}") as client:
        assert_refused(client.post(BODY), "the connection was refused")


@pytest.mark.parametrize("host", ["nonexistent.invalid", "a" * 64 + ".invalid", "a..b.invalid"])
def test_a_name_that_does_not_resolve_is_refused(host: str) -> None:
    with client_of(f"http://{host}") as client:
        words = (
            "its name cannot be resolved"
            if len(host) < 64 and ".." not in host
            else "its name is not a valid host name"
        )
        assert_refused(client.post(BODY), words)


def test_tls_to_a_port_that_speaks_none_is_refused_and_sends_no_lead() -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        hello = connection.recv(65536)
        server.requests.append(Request(hello, b""))
        connection.sendall(answer(400, b""))

    with Server(behave) as server, client_of(server.url.replace("http:", "https:")) as client:
        assert_refused(client.post(BODY), "TLS failed")
        assert b"Acme" not in server.requests[0].head


def test_a_port_that_accepts_tls_and_then_says_nothing_is_refused_in_time() -> None:
    with Server(hang) as server, client_of(server.url.replace("http:", "https:"), DEADLINE) as client:
        assert_refused(client.post(BODY), "timed out")


@pytest.mark.parametrize("then", [lambda c: c.close(), reset], ids=["closed", "reset"])
def test_a_port_that_ends_the_connection_within_the_tls_handshake_is_refused(
    then: Callable[[socket.socket], None],
) -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        connection.recv(1)
        then(connection)

    with Server(behave) as server, client_of(server.url.replace("http:", "https:")) as client:
        assert_refused(client.post(BODY), "(the connection was reset|TLS failed)")


@contextmanager
def deaf(address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port whose backlog is full: a connect to it gets no answer at all."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ExitStack() as ends:
        listener = ends.enter_context(socket.socket(family))
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            filler = ends.enter_context(socket.socket(family))
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


def test_a_backlog_that_is_full_is_refused_in_time() -> None:
    with deaf() as port, client_of(f"http://127.0.0.1:{port}", DEADLINE) as client:
        assert_refused(client.post(BODY), "timed out")


def test_the_deadline_is_for_all_addresses_of_a_name_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first uses it up: the second, which would answer, gets nothing of its own."""
    with Server(answers(answer())) as server, deaf() as port, client_of("http://crm.invalid", DEADLINE) as client:
        family = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        found = [(*family, ("127.0.0.1", each)) for each in (port, server.port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        got = client.post(BODY)
        assert isinstance(got, Outcome)
        # what is left at the first one's end may be enough for the second to accept, never for a byte
        assert (got.verdict, server.requests) == ("refused", [])
        assert "nothing written; timed out" in got.account


def test_a_resolver_that_hangs_is_left_behind_and_what_it_finds_at_last_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, resolve = threading.Event(), socket.getaddrinfo

    def slow(*args: Any, **options: Any) -> Any:
        found.wait(PATIENCE)
        return resolve(*args, **options)

    with ExitStack() as ends:
        server = ends.enter_context(Server(answers(answer())))
        client = ends.enter_context(client_of(server.url.replace("127.0.0.1", "localhost"), DEADLINE))
        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", slow)
            assert verdict(client.post(BODY)) == "refused"
            found.set()
            wait_until(lambda: server.connections == 1)
        wait_until(lambda: not server._threads[0].is_alive())
        assert server.requests == []
        assert verdict(client.post(BODY)) == "created"


# -- after the request: nobody knows

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n"

STRANGE: dict[str, Behaviour] = {
    "says nothing": after_a_request(hang),
    "closes": after_a_request(lambda server, connection: connection.close()),
    "resets": after_a_request(lambda server, connection: reset(connection)),
    "resets unread": lambda server, connection: reset(connection) if connection.recv(1) else None,
    "half a head": after_a_request(lambda server, connection: connection.sendall(HEAD)),
    "half a body": after_a_request(lambda server, connection: connection.sendall(HEAD + b"\r\n" + CREATED)),
    "reset in the body": after_a_request(begun(HEAD + b"\r\n{", lambda server, connection: reset(connection))),
    "no HTTP": after_a_request(lambda server, connection: connection.sendall(b"220 smtp ready\r\n\r\n")),
    "bad chunks": after_a_request(
        lambda s, connection: connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    ),
    "bad gzip": answers(answer(200, CREATED, "Content-Encoding: gzip")),
    "two lengths": after_a_request(lambda s, c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" + HEAD[17:])),
    "dripped head": after_a_request(lambda s, c: drip(c, HEAD + b"X: " + b"x" * 400, s.stop)),
    "dripped body": after_a_request(begun(HEAD + b"\r\n", lambda s, c: drip(c, b" " * 400, s.stop))),
    "dripped chunks": after_a_request(
        begun(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            lambda s, c: drip(c, b"1\r\n \r\n" * 100, s.stop),
        )
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


ALL = r"connected; 35 of 35 bytes written; "
NO_HEAD = ALL + r"no response; "
OF_BODY = ALL + r"status 200 and \d+ of 400 bytes of its body; "
LATE = r"timed out after [\d.,]+ m?s"
ACCOUNTS = {
    "says nothing": NO_HEAD + LATE,
    "closes": NO_HEAD + r"the connection was closed after [\d.,]+ m?s",
    "resets": NO_HEAD + r"the connection was reset after [\d.,]+ m?s",
    "resets unread": NO_HEAD.replace("35 of", "(0|35) of") + r"the connection was \w+ after [\d.,]+ m?s",
    "half a head": NO_HEAD + r"the connection was closed after [\d.,]+ m?s",
    "half a body": ALL
    + r"status 200 and 88 of 400 bytes of its body; the answer broke off or was not HTTP after [\d.,]+ m?s",
    "reset in the body": OF_BODY + r"the connection was reset after [\d.,]+ m?s",
    "no HTTP": NO_HEAD + r"the answer broke off or was not HTTP after [\d.,]+ m?s",
    "bad chunks": ALL + r"status 200 and 0 bytes of its body; the answer broke off or was not HTTP after [\d.,]+ m?s",
    "bad gzip": ALL
    + r"status 200 and 88 of 88 bytes of its body; the answer could not be decompressed after [\d.,]+ m?s",
    "two lengths": NO_HEAD + r"the connection was closed after [\d.,]+ m?s",
    "dripped head": NO_HEAD + LATE,
    "dripped body": OF_BODY + LATE,
    "dripped chunks": ALL + r"status 200 and \d+ bytes of its body; " + LATE,
    "endless interim answers": NO_HEAD + LATE,
    "huge": ALL + r"status 200 and [\d,]+ of 1,048,665 bytes of its body; the answer is too long after [\d.,]+ m?s",
    "huge, unpacked": ALL
    + r"status 200 and [\d,]+ of [\d,]+ bytes of its body; (the answer is too long after [\d.,]+ m?s|"
    + LATE
    + ")",
    "endless head": NO_HEAD + r"the answer broke off or was not HTTP after [\d.,]+ m?s",
    "switches protocols": NO_HEAD + r"the answer broke off or was not HTTP after [\d.,]+ m?s",
}


def time_for(name: str) -> float:
    """The time-out of a client that waits for it."""
    return DEADLINE if ACCOUNTS[name].endswith(LATE) else PATIENCE


@pytest.mark.parametrize("name", STRANGE)
def test_whatever_happens_after_the_request_began_is_in_doubt_in_time_and_sent_once(name: str) -> None:
    with Server(STRANGE[name]) as server, client_of(server.url, time_for(name)) as client:
        got = client.post(BODY)
        assert verdict(got) == "in_doubt"
        assert re.fullmatch(ACCOUNTS[name], got.account), got.account
        assert isinstance(got, ApiResponse) or "Acme" not in got.cause
        if isinstance(got, Outcome):
            assert ("timed out" in got.account) == (got.cause == "no answer within the timeout")
        with socket.create_connection(("127.0.0.1", server.port)):
            wait_until(lambda: server.connections >= 2)  # connections are taken in their order: ours is the last
        assert server.connections == 2
        assert len(server.requests) == (0 if name == "resets unread" else 1)


@pytest.mark.parametrize("name", ["says nothing", "closes", "resets", "half a body", "dripped head", "huge"])
def test_after_any_of_it_the_same_client_sends_the_next_batch(name: str) -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        if server.connections == 1:
            STRANGE[name](server, connection)
        else:
            answers(answer())(server, connection)

    with Server(behave) as server, client_of(server.url, time_for(name)) as client:
        assert verdict(client.post(BODY)) == "in_doubt"
        assert verdict(client.post(BODY)) == "created"
        assert server.connections == 2


@pytest.mark.parametrize("then", [lambda c: c.close(), reset], ids=["closed", "reset"])
def test_a_server_that_gives_up_idle_connections_puts_nothing_in_doubt(then: Callable[[socket.socket], None]) -> None:
    """It ends the connection as the next request comes in on it: on a connection that was kept nobody could know
    whether that one arrived."""

    def behave(server: Server, connection: socket.socket) -> None:
        if server.next_request(connection):
            connection.sendall(answer())
            connection.recv(1)
            then(connection)

    with Server(behave) as server, client_of(server.url) as client:
        assert [verdict(client.post(BODY)) for _ in range(5)] == ["created"] * 5
        assert len(server.requests) == 5


def test_a_server_that_never_reads_a_large_body_is_in_doubt_in_time() -> None:
    with Server(hang) as server, client_of(server.url, DEADLINE) as client:
        got = client.post(b"x" * 50_000_000)
        assert verdict(got) == "in_doubt"
        said = re.fullmatch(r"connected; ([\d,]+) of 50,000,000 bytes written; no response; " + LATE, got.account)
        assert said
        assert 0 < int(said[1].replace(",", "")) < 50_000_000


@pytest.mark.parametrize("then", [lambda c: c.close(), reset], ids=["closed", "reset"])
@pytest.mark.parametrize("read", [1, 100_000])
def test_a_connection_that_ends_while_the_body_is_written_is_in_doubt(
    read: int, then: Callable[[socket.socket], None]
) -> None:
    """However little the server took: what it did with that nobody knows."""

    def behave(server: Server, connection: socket.socket) -> None:
        left = read
        while left > 0:
            left -= len(connection.recv(left))
        then(connection)

    with Server(behave) as server, client_of(server.url) as client:
        got = client.post(b"x" * 20_000_000)
        assert verdict(got) == "in_doubt"
        said = r"connected; [\d,]+ of 20,000,000 bytes written; no response; the connection was (reset|closed)"
        assert re.fullmatch(said + r" after [\d.,]+ m?s", got.account), got.account


def test_an_early_answer_to_a_large_body_is_read() -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(answer(413, b'{"message": "too large"}', "Connection: close"))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass

    with Server(behave) as server, client_of(server.url) as client:
        assert verdict(client.post(b"x" * 5_000_000)) == "rejected"


def test_an_early_200_to_a_large_body_is_in_doubt() -> None:
    """Nobody can know which of its leads a server created that had read only some of them."""

    def behave(_: Server, connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(answer())
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(0.2)
        connection.close()

    with Server(behave) as server, client_of(server.url) as client:
        got = client.post(b"x" * 30_000_000)
    assert verdict(got) == "in_doubt"


def test_a_deadline_that_is_over_before_a_byte_is_written_sends_nothing() -> None:
    with Server(answers(answer())) as server, client_of(server.url) as client:
        got = client.post(BODY, deadline=SystemClock().boot() - 1)
        assert isinstance(got, Outcome)
        assert got.verdict == "refused"
        assert server.requests == []
        assert verdict(client.post(BODY)) == "created"


@pytest.mark.parametrize("skew", [-7200, -60, 0, 60, 7200])
def test_a_date_to_retry_after_is_held_against_the_servers_own_clock(skew: int) -> None:
    """Whatever that clock says, and whatever ours does."""
    says = datetime.now(UTC) + timedelta(seconds=skew)
    dates = f"Date: {format_datetime(says)}", f"Retry-After: {format_datetime(says + timedelta(seconds=90))}"
    with Server(answers(answer(429, b"{}", *dates))) as server, client_of(server.url) as client:
        assert client.post(BODY) == ApiResponse(429, b"{}", 90.0)


def test_without_the_servers_clock_a_date_to_retry_after_is_held_against_ours() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90))
    for headers in ((f"Retry-After: {later}",), (f"Retry-After: {later}", "Date: yesterday-ish")):
        with Server(answers(answer(503, b"{}", *headers))) as server, client_of(server.url) as client:
            got = client.post(BODY)
            assert isinstance(got, ApiResponse)
            assert got.retry_after is not None
            assert 30 < got.retry_after <= 91


def test_an_earlier_deadline_of_the_claim_wins() -> None:
    with Server(after_a_request(hang)) as server, client_of(server.url, 300.0) as client:
        assert verdict(client.post(BODY, deadline=SystemClock().boot() + DEADLINE)) == "in_doubt"


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
        (answers(answer()) if server.connections == 1 else STRANGE[name])(server, connection)

    with Server(behave, context_of(certificate)) as server, client_of(server.url, time_for(name)) as client:
        assert verdict(client.post(BODY)) == "created"
        got = client.post(BODY)
        assert verdict(got) == "in_doubt"
        assert re.fullmatch(ACCOUNTS[name].replace("reset", r"\w+"), got.account), got.account
        assert (server.connections, len(server.requests)) == (2, 2)


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    with Server(answers(answer()), context_of(certificate)) as server, client_of(server.url) as client:
        assert_refused(client.post(BODY), "its certificate is not trusted")
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
    """And named: the server's name is another one."""
    port = refused_port()
    for address, end in (
        (f"127.0.0.1:{port}", "the connection was refused"),
        ("proxy.invalid:3128", "its name cannot be resolved"),
    ):
        monkeypatch.setenv("https_proxy", f"http://user:hunter2@{address}")
        with client_of("https://crm.invalid") as client:
            outcome = client.post(BODY)
        assert isinstance(outcome, Outcome)
        assert (outcome.verdict, outcome.cause) == ("refused", f"no connection: the proxy {address}: {end}")
        assert f"the proxy {address}: {end}" in outcome.account


@pytest.mark.parametrize("status", [403, 407, 502, 503])
def test_a_proxy_that_will_not_connect_puts_nothing_in_doubt(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the proxy was sent is its own request: no lead has left."""
    with Server(answers(answer(status, b"no"))) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        with client_of("https://crm.invalid") as client:
            assert_refused(client.post(BODY), "the proxy will not connect")
        assert [request.line for request in proxy.requests] == ["CONNECT crm.invalid:443 HTTP/1.1"]
        assert proxy.requests[0].header("X-API-Key") is None


def test_a_tunnel_through_a_proxy_keeps_the_same_promises(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))

    def behave(server: Server, connection: socket.socket) -> None:
        server.next_request(connection)
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        inner = context_of(certificate).wrap_socket(connection, server_side=True)
        server._open.append(inner)
        if not server.next_request(inner):
            return
        if server.connections == 1:
            inner.sendall(answer())
        else:
            drip(inner, HEAD + b"X: " + b"x" * 400, server.stop)

    with Server(behave) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        with client_of("https://crm.invalid:4", DEADLINE) as client:
            assert verdict(client.post(BODY)) == "created"
            assert verdict(client.post(BODY)) == "in_doubt"
        assert [request.line.split()[0] for request in proxy.requests] == ["CONNECT", "POST"] * 2


def test_certificates_are_read_once_for_all_requests(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than a request."""
    authority = certificate / "read_once.pem"
    shutil.copy(certificate / "cert.pem", authority)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with Server(answers(answer()), context_of(certificate)) as server, client_of(server.url) as client:
        authority.unlink()
        assert [verdict(client.post(BODY)) for _ in range(3)] == ["created"] * 3
        assert server.connections == 3


def test_a_proxy_that_is_not_for_this_address_is_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{refused_port()}")
    monkeypatch.setenv("no_proxy", "crm.invalid")
    with client_of("https://crm.invalid") as client:
        assert_refused(client.post(BODY), "its name cannot be resolved")


def test_one_request_after_the_other_is_carried_by_a_thread_that_is_kept() -> None:
    def carriers() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "post"}

    before, seen = carriers(), set[threading.Thread]()
    with Server(answers(answer())) as server, client_of(server.url) as client:
        for _ in range(5):
            assert verdict(client.post(BODY)) == "created"
            wait_until(lambda: client._threads.idle == 1)
            seen |= carriers() - before
    assert len(seen) == 1
    wait_until(lambda: not any(thread.is_alive() for thread in seen))
