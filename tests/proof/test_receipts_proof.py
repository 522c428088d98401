"""The ledger is lost, restored from a backup, or rolled back with its machine: nothing is sent twice for it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.proof.harness import World, after_old, command

FILES = ("ledger.db", "ledger.db-wal", "ledger.db-shm")


def lose(world: World) -> None:
    for name in FILES:
        (world.folder / name).unlink(missing_ok=True)


def rebuild(world: World) -> dict[str, object]:
    done = command("ledger", "rebuild", "-c", world.config, "--json")
    assert done.code == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_deleted_ledger_is_refused_and_after_a_rebuild_a_full_poll_sends_nothing(world: World) -> None:
    world.source.add(range(1000))
    world.write(limit='{ requests = 10000, per = "2s" }')
    assert world.once().code == 0
    world.sandbox.set_faults({}, script="500-after")
    world.source.add([1000])
    assert world.once().code == 65
    before, doubtful = world.requests(), world.doubtful()
    assert doubtful == {"1000"}
    lose(world)
    refused = world.once()
    assert refused.code == 78
    assert "ledger rebuild" in refused.stderr
    assert not world.ledger.exists()
    with world.daemon() as daemon:
        assert daemon.wait() == 78

    done = rebuild(world)
    assert done["remembered"] == {"delivered": 1000, "in_doubt": 1}
    again = world.once()
    assert again.code == 65, again.stderr
    assert again.summary["unchanged"] == 1000
    assert world.requests() == before
    assert world.doubtful() == doubtful
    assert world.states() == {"delivered": 1000, "in_doubt": 1}

    # it goes on as if nothing had happened
    world.source.add([2000])
    world.source.execute("update companies set employees = 7, updated_at = ? where id = 5", after_old(30))
    assert world.once().code == 65
    assert world.requests() == before + 1
    assert world.query("select id from records where drift = 1") == [("5",)]
    assert max(world.names().values()) == 1


def test_a_ledger_restored_from_a_backup_is_refused_and_brought_up(world: World, tmp_path: Path) -> None:
    world.source.add(range(100))
    world.write()
    assert world.once("--max", "40").code == 0
    copy = tmp_path / "copy.db"
    assert command("ledger", "backup", copy, "-c", world.config).code == 0
    assert world.once().code == 0
    before = world.requests()
    lose(world)
    shutil.copy(copy, world.ledger)
    refused = world.once()
    assert refused.code == 78
    assert "older than its receipts" in refused.stderr
    done = rebuild(world)
    assert done["told"] == {"delivered": 60, "in_doubt": 0, "known": 0, "forgotten": 0}
    assert world.once().code == 0
    assert world.requests() == before
    assert world.names() == world.source.names()


def test_a_machine_that_was_rolled_back_is_noticed_by_its_second_receipts(world: World, tmp_path: Path) -> None:
    second = tmp_path / "other disk"
    second.mkdir()
    world.source.add(range(10))
    world.write()
    text = world.config.read_text().replace('path = "ledger.db"', f'path = "ledger.db"\nreceipts_copy = "{second}"')
    world.write_text(text)
    assert world.once("--max", "4").code == 0
    old = tmp_path / "snapshot"
    shutil.copytree(world.folder, old, ignore=shutil.ignore_patterns("other disk", "snapshot", "*.lock"))
    assert world.once().code == 0
    lose(world)
    for name in (*FILES, "ledger.db.receipts"):
        if (old / name).exists():
            shutil.copy(old / name, world.folder / name)
    refused = world.once()
    assert refused.code == 78, refused.stdout
    rebuild(world)
    before = world.requests()
    assert world.once().code == 0
    assert world.requests() == before
    assert world.names() == Counter({f"Company {n}": 1 for n in range(10)})


def test_verify_sees_what_is_wrong_with_receipts(world_with: Callable[..., World]) -> None:
    world = world_with()
    world.source.add(range(300))
    world.write()
    assert world.once().code == 0
    assert command("ledger", "verify", "-c", world.config).code == 0
    receipts = world.folder / "ledger.db.receipts"
    whole = receipts.read_bytes()
    lines = whole.split(b"\n")
    for damaged, says in (
        (whole.replace(lines[3], lines[3][:-4] + b"0000"), "damaged lines: 1"),
        (b"\n".join([*lines[:4], b""]), "lack what became of batches: "),
    ):
        receipts.write_bytes(damaged)
        found = command("ledger", "verify", "-c", world.config)
        assert found.code == 74
        assert says in found.stdout
    receipts.unlink()
    assert "are missing" in command("ledger", "verify", "-c", world.config).stdout
    # the next start mends it from the ledger
    done = world.once()
    assert done.code == 0
    assert [event["event"] for event in done.events if event["event"] == "receipts_mended"] == ["receipts_mended"]
    assert command("ledger", "verify", "-c", world.config).code == 0
