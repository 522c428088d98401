"""No answer takes more memory than it may, whatever its status, length or packing."""

from __future__ import annotations

import gzip
import socket
import threading
import tracemalloc

import pytest

from sync.shared.errors import SourceUnavailable
from tests.hubspot.hubspot_server import Standin
from tests.hubspot.hubspot_world import failure, talking

MIB = 1 << 20
BOMB = gzip.compress(b" " * (40 * MIB), 1)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.hubspot.transport.LONGEST_ANSWER", MIB)
    monkeypatch.setattr("connectors.hubspot.transport.LONGEST_ERROR", MIB)
    monkeypatch.setattr("connectors.hubspot.calls.ATTEMPTS", 1)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("200 OK\r\n", "answers with more than 1 MiB"),
        ("200 OK\r\nContent-Length: 99000000000\r\n", "answers with more than 1 MiB"),
        ("200 OK\r\nContent-Encoding: gzip\r\n", "answers with more than 1 MiB"),
        ("400 Bad Request\r\n", "400"),
        ("400 Bad Request\r\nContent-Length: 99000000000\r\n", "400"),
        ("502 Bad Gateway\r\nContent-Encoding: gzip\r\n", "502"),
    ],
)
def test_an_answer_without_end_is_left(head: str, words: str, standin: Standin) -> None:
    def pour(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(f"HTTP/1.1 {head}Content-Type: application/json\r\n\r\n".encode())
        if "gzip" in head:
            connection.sendall(BOMB)
        while "gzip" not in head and not over.is_set():
            connection.sendall(b" " * MIB)

    with talking(pour) as url:
        tracemalloc.start()
        try:
            told = failure(standin, base_url=url)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert words in told.message
    assert peak < 16 * MIB


def test_an_answer_that_is_packed_in_chunks_is_left(standin: Standin) -> None:
    def pour(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(f"{len(BOMB):x}\r\n".encode() + BOMB + b"\r\n0\r\n\r\n")

    with talking(pour) as url:
        told = failure(standin, base_url=url)
    assert isinstance(told, SourceUnavailable)
    assert "answers with more than 1 MiB" in told.message
    assert "page_size" in told.hint


def test_a_name_service_that_hangs_holds_up_nobody(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    over, asked = threading.Event(), []

    def hang(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        over.wait(20)
        raise socket.gaierror

    monkeypatch.setattr("socket.getaddrinfo", hang)
    try:
        for _ in range(2):
            told = failure(standin, base_url="https://api.example.invalid", timeout="100ms")
            assert "has a name that cannot be resolved" in told.message
        # the second waits for the first one's thread
        assert asked == ["api.example.invalid"]
    finally:
        over.set()
