"""The ledger's key is removed, or another is put in its place, under a running daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from state.key_files import key_path
from state.ledger import Ledger
from sync.shared.errors import LedgerLost
from tests.proof.harness import until
from tests.service.reload_world import Scene, Tenant


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene(tmp_path, monkeypatch)
    made.write({"a": Tenant()})
    yield made
    made.close()


def test_it_is_written_again_and_told(scene: Scene) -> None:
    scene.start()
    key = key_path(scene.ledger)
    before = key.read_bytes()
    key.unlink()
    assert scene.wait_for("key_gone")["error"] is None
    assert key.read_bytes() == before

    def told() -> list[tuple[str, str]]:
        with Ledger(scene.ledger) as ledger:
            return [(each.kind, each.subject) for each in ledger.incidents.all()]

    until(lambda: told() == [("ledger", str(key))], "what is told")
    scene.stop()


def test_where_it_cannot_be_written_the_daemon_goes_on_and_says_so_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.start()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("state.key_files.write_all", full)
        key_path(scene.ledger).unlink()
        assert scene.wait_for("key_gone")["error"] == "No space left on device"
        scene.add("a", "1")
        scene.wait_created("a", "1")
        assert len(scene.heard("key_gone")) == 1
    assert scene.wait_for("key_gone", 2)["error"] is None
    scene.stop()


def test_another_key_in_its_place_ends_it(scene: Scene) -> None:
    scene.start()
    key_path(scene.ledger).write_bytes(b"o" * 32)
    scene.join()
    assert isinstance(scene.error, LedgerLost)
