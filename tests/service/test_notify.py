"""The protocol of sd_notify: one datagram a message, nothing that a value could inject, and never an error."""

from __future__ import annotations

import os
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest

from sync.service.systemd import Notifier
from tests.service.service_world import Manager


def test_each_message_is_one_datagram(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    notifier.ready("waiting → 10 pending")
    notifier.stopping("stopping")
    notifier.alive()
    notifier.extend(12.5)
    notifier.failed("no key", 78)
    assert manager.heard() == [
        {"READY": "1", "STATUS": "waiting → 10 pending"},
        {"STOPPING": "1", "STATUS": "stopping"},
        {"WATCHDOG": "1"},
        {"EXTEND_TIMEOUT_USEC": "12500000"},
        {"EXIT_STATUS": "78", "STATUS": "no key"},
    ]


def test_a_reload_says_when_it_began(manager: Manager) -> None:
    before = time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
    Notifier(manager.address).reloading("reads")
    (found,) = manager.heard()
    assert found["RELOADING"] == "1"
    assert before - 1 <= int(found["MONOTONIC_USEC"]) <= time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6


def test_a_value_cannot_make_an_assignment_of_its_own(manager: Manager) -> None:
    Notifier(manager.address).status("a\nREADY=1\r\nb" + "x" * 5000)
    (found,) = manager.heard()
    assert found["STATUS"].startswith("a READY=1 b")
    assert list(found) == ["STATUS"]
    assert len(found["STATUS"]) == 1000


def test_an_abstract_socket() -> None:
    name = f"closingdealz-sync-{os.getpid()}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as heard:
        heard.bind(f"\0{name}")
        Notifier(f"@{name}").alive()
        assert heard.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1", "/nowhere/notify.sock"])
def test_without_a_manager_nothing_happens(address: str) -> None:
    Notifier(address).ready("waiting")


def test_a_manager_that_does_not_read_stops_nobody(tmp_path: Path) -> None:
    path = str(tmp_path / "full.sock")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as deaf:
        deaf.bind(path)
        for _ in range(300):
            Notifier(path, patience=0.001).status("x" * 900)


@pytest.mark.parametrize(
    ("env", "every"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "90000000"}, 90.0),
        ({"WATCHDOG_USEC": "90000000", "WATCHDOG_PID": str(os.getpid())}, 90.0),
        ({"WATCHDOG_USEC": "90000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_only_where_it_is_ours(env: dict[str, str], every: float | None) -> None:
    assert Notifier.of(env).watchdog_every == every
