"""Reaching a server: name, connection, certificate, within a time, and without a request."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.commands.reach import reach

Server = tuple[str, threading.Thread, list[bytes]]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_a_server_that_never_speaks_is_given_up(listener: socket.socket) -> None:
    found = reach(f"https://127.0.0.1:{listener.getsockname()[1]}", timeout=0.1)
    assert (found.ok, found.later) == (False, True)
    assert found.text.endswith("does not answer within 0.1 s")


def test_a_server_that_speaks_no_tls(listener: socket.socket) -> None:
    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(5000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    found = reach(f"https://127.0.0.1:{listener.getsockname()[1]}")
    thread.join(5)
    assert (found.ok, found.later) == (False, False)
    assert "no TLS connection: " in found.text
    assert "_ssl" not in found.text


def test_a_name_that_does_not_exist() -> None:
    found = reach("https://name.invalid", timeout=5)
    assert (found.ok, found.later) == (False, True)


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("proxy.invalid:3128", "the proxy proxy.invalid:3128: its name cannot be resolved"),
        ("127.0.0.1:1", "the proxy 127.0.0.1:1: Connection refused"),
    ],
)
def test_a_proxy_that_fails_is_named_as_such(monkeypatch: pytest.MonkeyPatch, proxy: str, says: str) -> None:
    monkeypatch.setenv("https_proxy", f"http://user:hunter2@{proxy}")
    found = reach("https://name.invalid", timeout=5)
    assert (found.ok, found.later, found.text) == (False, True, f"https://name.invalid cannot be reached: {says}")


@pytest.mark.parametrize(("status", "says"), [(b"407 No", "will not connect"), (b"200 OK", "no TLS connection")])
def test_a_server_is_reached_by_a_tunnel_of_the_proxy(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, status: bytes, says: str
) -> None:
    """As leads will be sent: the proxy resolves the name."""
    heard = []

    def answer() -> None:
        listener.accept()[0].close()
        connection, _ = listener.accept()
        with connection:
            heard.append(connection.recv(5000))
            connection.sendall(b"HTTP/1.1 " + status + b"\r\n\r\nno TLS at all")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    monkeypatch.setenv("https_proxy", f"http://user:hunter%202@127.0.0.1:{listener.getsockname()[1]}")
    found = reach("https://crm.invalid")
    thread.join(5)
    assert heard[0].startswith(b"CONNECT crm.invalid:443 ")
    assert b"Proxy-Authorization: Basic dXNlcjpodW50ZXIgMg==" in heard[0]
    assert not found.ok
    assert says in found.text


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with the program openssl")
class TestCertificates:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        folder = tmp_path
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        )
        command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {folder}/key -out {folder}/certificate"
        subprocess.run(command.split(), check=True, capture_output=True)
        return folder

    @pytest.fixture
    def server(self, listener: socket.socket, certificate: Path) -> Server:
        """The address of a TLS server, and what it read until the connection ended."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "certificate", certificate / "key")
        received: list[bytes] = []

        def answer() -> None:
            connection, _ = listener.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as shielded:
                    received.append(shielded.recv(100))
            except OSError:
                connection.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        return f"https://127.0.0.1:{listener.getsockname()[1]}", thread, received

    def test_a_trusted_one_and_no_request(self, server: Server, certificate: Path) -> None:
        url, thread, received = server
        found = reach(url, context=ssl.create_default_context(cafile=certificate / "certificate"))
        thread.join(5)
        assert found.ok
        assert "TLSv1.3" in found.text
        assert received in ([b""], [])

    def test_one_that_nobody_trusts(self, server: Server) -> None:
        url, thread, _ = server
        found = reach(url)
        thread.join(5)
        assert (found.ok, found.later) == (False, False)
        assert "its certificate is not trusted: self-signed certificate" in found.text
