"""What a real ledger brings to the disk, and in which order: the test's own disks leave the syncing out."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from state.ledger import Ledger
from tests.engine.engine_world import add_firms
from tests.engine.test_worker import Scene
from tests.engine.wire import Server, answer, read_request, wait_until


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every write and sync of files named like receipts and keys, as the kernel gets them."""
    told: list[str] = []

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(descriptor: int, *arguments: bytes) -> Any:
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            if path.name.removesuffix(".new").endswith((".receipts", ".key")) or path.is_dir():
                what = next(
                    (word for word in ("intent", "verdict") if f'"t":"{word}"'.encode() in b"".join(arguments)), ""
                )
                told.append(" ".join(filter(None, (name, what, path.name))))
            return real(descriptor, *arguments)

        return call

    for name in ("write", "fsync"):
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))
    return told


def test_a_receipt_is_on_the_disk_before_its_request_and_its_verdict_before_the_next(
    tmp_path: Path, calls: list[str]
) -> None:
    def serve(server: Server, connection: socket.socket) -> None:
        if read_request(connection) is not None:
            calls.append("POST")
            connection.sendall(answer())

    scene = Scene(tmp_path)
    scene.behave = serve
    with scene.server:
        scene.write()
        add_firms(tmp_path, range(3))
        with Ledger(scene.config.ledger_path, own=True) as ledger:
            folder = scene.config.ledger_path.parent.name
            assert calls == [
                "write ledger.db.key.new",
                "fsync ledger.db.key.new",
                f"fsync {folder}",
                f"fsync {scene.config.ledger_path.parent.parent.name}",
                "write ledger.db.receipts.new",
                "fsync ledger.db.receipts.new",
                f"fsync {folder}",
            ]
            with scene.engine(ledger) as engine:
                wait_until(
                    lambda: engine.workers["main"].in_flight == 0 and "write verdict ledger.db.receipts" in calls
                )
    assert calls[calls.index("write intent ledger.db.receipts") :] == [
        "write intent ledger.db.receipts",
        "fsync ledger.db.receipts",
        "POST",
        "write verdict ledger.db.receipts",
        "fsync ledger.db.receipts",
    ]


def test_every_connection_of_a_real_ledger_syncs_at_each_commit(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db", own=True) as owner, Ledger(tmp_path / "ledger.db") as beside:
        for ledger in (owner, beside):
            with ledger.file.read() as connection:
                assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2, "FULL"
                assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
