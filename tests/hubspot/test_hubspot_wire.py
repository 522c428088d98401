"""No answer at all, over real sockets: hangs, drips, rubbish, TLS and proxies."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.hubspot.connector import HubspotConnectorType
from sync.shared.clock import SystemClock
from sync.shared.errors import ConfigError, SourceRefused, SourceUnavailable
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import HANGS, Standin, serving
from tests.hubspot.hubspot_world import failure, opened, poll, source, talking

pytestmark = pytest.mark.usefixtures("one_company")


def test_a_server_that_hangs_is_left_after_the_time_out(standin: Standin) -> None:
    standin.faults.append(lambda _: HANGS)
    told = failure(standin, timeout="100ms")
    assert isinstance(told, SourceUnavailable)
    assert "does not answer within 0.1 s" in told.message


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        ("Content-Length: 100000", b" "),
        ("X-Without: length", b" "),
        ("Connection: close\r\nContent-Length: 100000", b" "),
        ("Connection: close\r\nTransfer-Encoding: chunked", b"1\r\n \r\n"),
        ("Content-Encoding: gzip", gzip.compress(b"", mtime=0)),
    ],
)
def test_a_server_that_drips_is_left_too(
    head: str, drop: bytes, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.hubspot.calls.ATTEMPTS", 1)

    def drip(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}\r\n\r\n".encode())
        for _ in range(1000):
            if over.wait(0.02):
                return
            connection.sendall(drop)
        stayed.append(head)  # a client that waits for ever

    stayed: list[str] = []

    with talking(drip) as url:
        connector = HubspotConnectorType(SystemClock()).open("hub", source(standin, base_url=url, timeout="200ms"))
        with pytest.raises(SourceUnavailable, match=r"does not answer within 0\.2 s"):
            poll(connector)
        connector.close()
    assert not stayed


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (b"", "broke off the connection"),
        (b"SSH-2.0-OpenSSH\r\n", "broke off the connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", "broke off the connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", "broke off the connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: canary\r\n\r\n{}", "5 times in a row"),
    ],
)
def test_rubbish_on_the_wire_is_no_answer(wire: bytes, words: str, standin: Standin) -> None:
    with talking(lambda connection, _: connection.sendall(wire)) as url:
        assert words in failure(standin, base_url=url).message


def test_nobody_listens(standin: Standin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    told = failure(standin, base_url=f"http://127.0.0.1:{port}")
    assert isinstance(told, SourceUnavailable)
    assert "cannot be connected to" in told.message
    assert "check the network" in told.hint


def test_plain_http_where_tls_is_expected(standin: Standin) -> None:
    told = failure(standin, base_url=standin.url.replace("http:", "https:"))
    assert isinstance(told, SourceUnavailable)
    assert "TLS" in told.message


def authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for this machine that vouches for itself: its file, and the server that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path, secret = folder / "ca.pem", folder / "key.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, secret)
    return path, context


def test_a_private_authority_is_trusted_where_it_is_named_and_nowhere_else(tmp_path: Path, portal: Portal) -> None:
    path, context = authority(tmp_path)
    with serving(portal, context) as shielded:
        assert poll(opened(shielded, ca_file=str(path))) == ["1"]
        told = failure(shielded)
    assert isinstance(told, SourceRefused)
    assert "shows a certificate that is not trusted" in told.message
    assert "ca_file" in told.hint


def test_calls_go_through_the_proxy(standin: Standin) -> None:
    asked: list[bytes] = []

    def refuse(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 502 no\r\nContent-Length: 0\r\n\r\n")

    with talking(refuse, asked) as url:
        told = failure(standin, base_url="https://api.hubapi.invalid", proxy=url.replace("//", "//user:canary@"))
    assert isinstance(told, SourceUnavailable)
    assert "proxy" in told.message
    assert asked[0].startswith(b"CONNECT api.hubapi.invalid:443 ")


def test_a_proxy_that_is_not_there(standin: Standin) -> None:
    told = failure(standin, base_url="https://api.hubapi.invalid", proxy="http://user:canary@127.0.0.1:9")
    assert "proxy" in told.message


@pytest.mark.parametrize(
    "url", ["http://api.hubapi.com", "ftp://127.0.0.1", "https://user:canary@api.hubapi.com", "https://x/crm", "canary"]
)
def test_addresses_that_are_not_allowed(url: str, standin: Standin) -> None:
    with pytest.raises(ValueError) as caught:
        source(standin, base_url=url)
    assert "canary" not in str(caught.value).split("[type=")[0]


def test_a_file_that_holds_no_certificates_is_refused(tmp_path: Path, standin: Standin) -> None:
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(ConfigError, match="ca_file"):
        opened(standin, ca_file=str(tmp_path / "ca.pem"))
