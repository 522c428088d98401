"""Two processes on one ledger, whatever became of its files: the older one stops before it sends, nothing is claimed
twice, and what it still learns of a batch counts."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import pytest

from state.ledger import Ledger
from state.lock import LedgerLock, lock_path
from state.owner import LONGEST_TIMEOUT, Owner
from state.rebuilding.rebuild import rebuild
from state.rows import Verdict
from state.slots import GRACE_SECONDS
from sync.shared.errors import LedgerBusy, LedgerError, LedgerLost, LedgerMixed, LedgerUntrusted
from tests.state.ledger_tools import (
    RULE,
    WORKSPACE,
    FakeClock,
    UnsyncedDisk,
    claim,
    commit,
    pending,
    put_new,
    reading,
    register,
    row,
    rows,
    states,
    unsynced,
)

TIMEOUT = 60.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return put_new(folder / "ledger.db")


def own(path: Path, clock: FakeClock) -> Ledger:
    return Ledger(path, own=True, clock=clock, connector=unsynced, disk=UnsyncedDisk())


@pytest.fixture
def older(path: Path, clock: FakeClock) -> Iterator[Ledger]:
    """With a batch on the wire, one that was claimed and has no intent yet, and a lead that waits."""
    ledger = own(path, clock)
    register(ledger)
    yield ledger
    for end in (ledger.close, ledger.file.close):
        try:
            end()
        except LedgerError:
            continue


def on_the_wire(ledger: Ledger, *ids: str) -> str:
    pending(ledger, register(ledger), *ids)
    batch = claim(ledger, timeout=TIMEOUT).batch
    ledger.journal.intent(batch)
    return batch


def answer(ledger: Ledger, batch: str, verdict: Verdict) -> None:
    """As a sender does that hears from its server."""
    ledger.journal.verdict(batch, verdict, status=200)
    if not ledger.verdicts.conclude(batch, verdict, slot=None).moved:
        ledger.verdicts.answered_late(batch, verdict)


# -- whatever happens to the files


def remove_lock(path: Path) -> None:
    lock_path(path).unlink()


def replace_lock(path: Path) -> None:
    remove_lock(path)
    lock_path(path).write_text("1\n")


def remove_ledger(path: Path) -> None:
    path.unlink()


def remove_all(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()


def replace_ledger(path: Path) -> None:
    backup = path.with_name("backup.db")
    shutil.copy(path, backup)
    backup.replace(path)


def write_over(path: Path) -> None:
    """As `cp backup.db ledger.db` does."""
    path.write_bytes(path.with_name("ledger.db.before").read_bytes())


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def remove_side_file(suffix: str) -> Callable[[Path], None]:
    def remove(path: Path) -> None:
        Path(f"{path}{suffix}").unlink()

    return remove


HAPPENS: Mapping[str, tuple[Callable[[Path], None], str]] = {
    "the lock is removed": (remove_lock, r"ledger.db.lock was removed"),
    "the lock is replaced": (replace_lock, r"ledger.db.lock was replaced"),
    "the ledger's file is removed": (remove_ledger, r"ledger.db was removed"),
    "the ledger is removed": (remove_all, r"ledger.db was removed"),
    "the ledger is replaced": (replace_ledger, r"ledger.db was replaced"),
    "the ledger is written over": (write_over, r"ledger.db was changed by another program"),
    "the folder is moved": (move_folder, r"ledger.db.lock was removed or moved"),
    "the log is removed": (remove_side_file("-wal"), r"ledger.db-wal was removed"),
    "the log's index is removed": (remove_side_file("-shm"), r"ledger.db-shm was removed"),
    "the receipts are removed": (remove_side_file(".receipts"), r"ledger.db.receipts"),
}


@pytest.mark.parametrize("what", HAPPENS)
def test_an_owner_whose_files_are_not_what_they_were_stops_before_it_sends(
    older: Ledger, path: Path, clock: FakeClock, what: str
) -> None:
    batch = on_the_wire(older, "on the wire")
    shutil.copy(path, path.with_name("ledger.db.before"))
    older.tidy()  # what lies in the file now is newer than that copy
    pending(older, register(older), "claimed")
    claimed = claim(older).batch
    pending(older, stream := register(older), "waits")
    happen, says = HAPPENS[what]
    happen(path)
    receipts = path.parent / "ledger.db.receipts"
    before = receipts.read_bytes() if receipts.exists() else b""
    for do in (
        lambda: claim(older),
        lambda: older.journal.intent(claimed),
        lambda: older.streams.poll_started(stream.id, "poll"),
        lambda: commit(older, stream, [reading("x", mapping=stream.mapping)]),
    ):
        with pytest.raises(LedgerError, match=says) as caught:
            do()
        assert (caught.value.exit_code, bool(caught.value.hint)) == (74, True)
    assert (receipts.read_bytes() if receipts.exists() else b"") == before, "no intent of what was not to be sent"
    if what not in {"the folder is moved", "the receipts are removed"}:
        answer(older, batch, "created")
        assert row(older, "on the wire")["state"] == "delivered", "an answer is a fact all the same"


def test_what_belongs_to_the_program_itself_moves_nothing(older: Ledger, path: Path, clock: FakeClock) -> None:
    """Onlookers, a person's word beside the owner, checkpoints, backups and compaction."""
    doubtful = on_the_wire(older, "a")
    older.verdicts.conclude(doubtful, "in_doubt", slot=None)
    for _ in range(3):
        with Ledger(path, clock=clock) as beside:
            beside.verdicts.resolve(doubtful, landed=True, note="looked")
            beside.tell_receipts()
        older.tidy()
        older.file.backup(path.with_name("backup.db"))
        on_the_wire(older, str(clock.boot_now))
        clock.advance(1)


# -- another owner


def test_an_older_owner_is_refused_by_name_and_what_it_claimed_is_not_lost(
    older: Ledger, path: Path, clock: FakeClock
) -> None:
    batch = on_the_wire(older, "on the wire")
    pending(older, register(older), "claimed")
    claimed = claim(older).batch
    pending(older, register(older), "waits")
    remove_lock(path)
    with own(path, clock) as newer:
        assert newer.recover() == []
        assert newer.left_batches() == sorted([batch, claimed])
        for do in (lambda: claim(older), lambda: older.journal.intent(claimed)):
            with pytest.raises(LedgerError, match=rf"process {os.getpid()} took over .* stops before it sends") as said:
                do()
            assert "ledger.db.lock" in said.value.hint
        assert [each.id for each in claim(newer).deliveries] == ["waits"]
        answer(older, batch, "created")
        assert states(newer) == {"on the wire": "delivered", "claimed": "sending", "waits": "sending"}
        clock.advance(TIMEOUT + GRACE_SECONDS - 0.1)
        assert (newer.left or 0) > 0
        assert newer.recover() == []
        clock.advance(0.2)
        assert [(each.conclusion.batch, each.outcome) for each in newer.recover()] == [(claimed, "refused")]
        assert (newer.left, newer.recover()) == (None, [])


def test_a_rebuild_leaves_alone_what_an_older_owner_may_have_on_the_wire(
    older: Ledger, path: Path, clock: FakeClock
) -> None:
    on_the_wire(older, "a")
    remove_lock(path)
    names = sorted(each.name for each in path.parent.iterdir())
    with pytest.raises(LedgerBusy, match=r"on the wire, for 70 s more"):
        rebuild(path, clock=clock, connector=unsynced)
    assert [name for name in sorted(each.name for each in path.parent.iterdir()) if "rebuild" in name] == []
    assert set(names) - {each.name for each in path.parent.iterdir()} == set()
    clock.advance(TIMEOUT + GRACE_SECONDS + 0.1)
    assert rebuild(path, clock=clock, connector=unsynced).batches == 0
    with own(path, clock) as ledger:
        assert states(ledger) == {"a": "in_doubt"}


@pytest.mark.parametrize("moved", [None, "", ".receipts"])
def test_what_was_kept_from_being_sent_is_free_at_once_where_somebody_finds_it(
    older: Ledger, path: Path, clock: FakeClock, moved: str | None
) -> None:
    pending(older, register(older), "a")
    claimed = claim(older)
    remove_lock(path)
    with own(path, clock) as newer:
        if moved is not None:
            newer.journal.flush()
            Path(f"{path}{moved}").unlink()
        older.release_unsent(claimed.batch, claimed.slot)
        assert row(newer, "a")["state"] == ("sending" if moved == "" else "pending")


@pytest.mark.parametrize("harm", ["removed", "torn", "another's"])
def test_what_was_kept_from_being_sent_is_not_doubted_for_receipts_that_were_taken_away(
    older: Ledger, path: Path, clock: FakeClock, harm: str
) -> None:
    sent = on_the_wire(older, "sent")
    answer(older, sent, "created")
    pending(older, register(older), "kept")
    claimed = claim(older)
    receipts = Path(f"{path}.receipts")
    match harm:
        case "removed":
            receipts.unlink()
        case "torn":
            receipts.write_bytes(receipts.read_bytes()[:-20])
        case _:
            receipts.write_bytes(b"x" * receipts.stat().st_size)
    with pytest.raises(LedgerLost):
        older.journal.intent(claimed.batch)
    older.release_unsent(claimed.batch, claimed.slot)
    with suppress(LedgerError):
        older.close()
    if harm == "another's":
        receipts.unlink()
    with own(path, clock) as newer:
        assert newer.recover() == []
        assert states(newer) == {"sent": "delivered", "kept": "pending"}


def test_a_newcomer_that_begins_in_the_middle_of_an_intent_finds_it(
    older: Ledger, path: Path, clock: FakeClock
) -> None:
    """The number is raised, then the receipts' lock is waited for: what was written under it is read."""
    pending(older, register(older), "a")
    batch = claim(older, timeout=TIMEOUT).batch
    clock.advance(TIMEOUT + GRACE_SECONDS + 1)
    remove_lock(path)
    outcomes: list[str] = []

    def take_over_and_recover() -> None:
        with own(path, clock) as newer:
            outcomes.extend(each.outcome for each in newer.recover())

    begin = threading.Thread(target=take_over_and_recover)
    looked, before = [], number_in(path)

    def looked_and_then_overtaken(connection: sqlite3.Connection) -> None:
        looked.append(connection)
        if len(looked) == 2:  # under the receipts' lock
            begin.start()
            while number_in(path) == before:
                pass
            begin.join(0.3)  # it cannot end meanwhile

    older.file.guard = looked_and_then_overtaken
    older.journal.intent(batch)
    begin.join()
    assert outcomes == ["in_doubt"], "it has an intent, so it may have been sent"


def number_in(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        owner = Owner.of(connection)
    return owner.number if owner else 0


ANSWERS: Mapping[str, tuple[str, str]] = {
    "created": ("delivered", "landed"),
    "refused": ("pending", "absent"),
    "rejected": ("pending", "absent"),
    "paused": ("pending", "absent"),
    "in_doubt": ("in_doubt", "in_doubt"),
}


@pytest.mark.parametrize("verdict", ANSWERS)
@pytest.mark.parametrize("word", [None, "landed", "absent"])
def test_an_answer_settles_a_batch_that_was_put_in_doubt_unless_a_person_was_quicker(
    older: Ledger, path: Path, clock: FakeClock, verdict: Verdict, word: str | None
) -> None:
    batch = on_the_wire(older, "a")
    remove_lock(path)
    with own(path, clock) as newer:
        clock.advance(TIMEOUT + GRACE_SECONDS + 1)
        assert [each.outcome for each in newer.recover()] == ["in_doubt"]
        if word:
            newer.verdicts.resolve(batch, landed=word == "landed", note="looked")
        answer(older, batch, verdict)
        record, state = ANSWERS[verdict]
        if word:
            record, state = ("delivered", "landed") if word == "landed" else ("pending", "absent")
        assert (row(newer, "a")["state"], rows(newer, "SELECT state FROM batches")[0]["state"]) == (record, state)
    older.file.close()
    with own(path, clock) as third:
        assert (third.recover(), row(third, "a")["state"]) == ([], record), "the receipts tell the same"


def test_an_answer_that_the_receipts_got_before_the_doubt_agrees_with_the_ledger(
    older: Ledger, path: Path, clock: FakeClock
) -> None:
    """The older one wrote its receipt and was then stopped; the newcomer has read the receipts a moment before."""
    batch = on_the_wire(older, "a")
    remove_lock(path)
    with own(path, clock) as newer:
        older.journal.verdict(batch, "created", status=200)
        newer.verdicts.conclude(batch, "in_doubt", slot=None)
        older.verdicts.answered_late(batch, "created")
        assert row(newer, "a")["state"] == "delivered"
    older.file.close()
    with own(path, clock) as third:
        assert (third.recover(), third.receipts.repairs) == ([], [])


def test_what_is_left_waits_for_its_end_also_under_the_owner_after_next(
    older: Ledger, path: Path, clock: FakeClock
) -> None:
    batch = on_the_wire(older, "a")
    remove_lock(path)
    own(path, clock).close()
    clock.advance(TIMEOUT)
    with own(path, clock) as third:
        assert third.recover() == []
        assert third.left == pytest.approx(GRACE_SECONDS)
        with Ledger(path, clock=clock) as onlooker:
            assert onlooker.cut_off() == []
    clock.advance(GRACE_SECONDS + 1)
    with own(path, clock) as fourth:
        assert [(each.conclusion.batch, each.outcome) for each in fourth.recover()] == [(batch, "in_doubt")]


def test_a_batch_whose_slot_is_gone_is_left_for_the_longest_time_that_a_request_may_take(
    older: Ledger, path: Path, clock: FakeClock
) -> None:
    on_the_wire(older, "a")
    with older.file.write() as connection:
        connection.execute("DELETE FROM slots")
    remove_lock(path)
    with own(path, clock) as newer:
        assert newer.left == pytest.approx(LONGEST_TIMEOUT + GRACE_SECONDS)


@pytest.mark.parametrize("end", ["killed", "another boot"])
def test_an_owner_that_is_surely_over_leaves_nothing_to_wait_for(path: Path, clock: FakeClock, end: str) -> None:
    older = own(path, clock)
    register(older)
    batch = on_the_wire(older, "a")
    older.file.close()
    assert older._lock is not None
    older._lock.release()  # as the kernel does
    if end == "another boot":
        remove_lock(path)
        clock.reboot()
    with Ledger(path, clock=clock) as onlooker:
        assert [each["name"] for each in onlooker.cut_off()] == [batch]
    with own(path, clock) as newer:
        assert [each.outcome for each in newer.recover()] == ["in_doubt"]


@pytest.mark.parametrize("boots", [0, 1])
def test_a_missing_intent_proves_nothing_after_a_power_cut(path: Path, clock: FakeClock, boots: int) -> None:
    older = own(path, clock)
    pending(older, register(older), "a")
    claim(older)
    older.close()
    for _ in range(boots):
        clock.reboot()
    with own(path, clock) as newer:
        assert [each.outcome for each in newer.recover()] == [("in_doubt" if boots else "refused")]


def test_onlookers_do_not_call_cut_off_what_may_be_answered(older: Ledger, path: Path, clock: FakeClock) -> None:
    batch = on_the_wire(older, "a")
    with Ledger(path, clock=clock) as onlooker:
        assert onlooker.cut_off() == []
        remove_lock(path)
        assert onlooker.cut_off() == []
        clock.advance(TIMEOUT + GRACE_SECONDS + 1)
        assert [each["name"] for each in onlooker.cut_off()] == [batch]


# -- copies and restores


def test_a_copy_is_refused_while_a_process_works_with_the_original(
    older: Ledger, path: Path, clock: FakeClock, tmp_path: Path
) -> None:
    shutil.copytree(path.parent, tmp_path / "copy")
    with pytest.raises(LedgerUntrusted, match=rf"is a copy of {path}, which process {os.getpid()} uses") as said:
        own(tmp_path / "copy" / "ledger.db", clock)
    assert (said.value.exit_code, bool(said.value.hint)) == (78, True)
    claim_goes_on(older)
    older.close()
    own(tmp_path / "copy" / "ledger.db", clock).close()


def claim_goes_on(ledger: Ledger) -> None:
    assert ledger.outbox.claim(WORKSPACE, RULE, most=1, linger=0, timeout=TIMEOUT)


def test_a_moved_folder_is_still_locked(older: Ledger, path: Path, clock: FakeClock) -> None:
    move_folder(path)
    with pytest.raises(LedgerBusy):
        own(path.parent.with_name("elsewhere") / path.name, clock)


def test_a_ledger_restored_with_an_older_number_is_nobody_elses(older: Ledger, path: Path, clock: FakeClock) -> None:
    """Numbers count again from there, names do not."""
    remove_lock(path)
    with older.file.write() as connection:
        connection.execute(
            "UPDATE meta SET value = json_set(value, '$.number', ?, '$.name', 'of a backup') WHERE key = 'owner'",
            (number_in(path) - 1,),
        )
    before = number_in(path)
    with own(path, clock):
        assert number_in(path) == before + 1
        with pytest.raises(LedgerError, match="took over"):
            claim(older)


@pytest.mark.parametrize("way", ["the daemon stops", "it is killed"])
def test_an_older_file_under_a_newer_log_is_refused_until_it_is_restored_again(
    path: Path, clock: FakeClock, way: str
) -> None:
    ledger = own(path, clock)
    register(ledger)
    backup = path.with_name("backup.db")
    for n in range(3):
        on_the_wire(ledger, str(n))
        ledger.tidy()
        if n == 0:
            ledger.file.backup(backup)
    on_the_wire(ledger, "in the log")
    path.write_bytes(backup.read_bytes())
    if way == "the daemon stops":
        with pytest.raises(LedgerError, match="changed by another program"):
            claim(ledger)
        ledger.close()
    else:
        ledger.file.close(leave_log=True)
        assert ledger._lock is not None
        ledger._lock.release()
    for owner in (False, True, True):
        with pytest.raises(LedgerMixed, match=r"ledger.db was overwritten, and the log ledger.db-wal") as said:
            Ledger(path, own=owner, clock=clock)
        assert (said.value.exit_code, "ledger rebuild" in said.value.hint) == (78, True)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()
    path.write_bytes(backup.read_bytes())
    with pytest.raises(LedgerUntrusted, match="older than its receipts"):
        own(path, clock)
    path.with_name("ledger.db.receipts").write_bytes(b"")
    own(path, clock).close()


def test_a_log_that_a_killed_owner_left_belongs_to_its_file(path: Path, clock: FakeClock) -> None:
    for n in range(3):
        ledger = own(path, clock)
        pending(ledger, register(ledger), f"before {n}")
        ledger.tidy()
        pending(ledger, register(ledger), f"after {n}")
        ledger.file.close(leave_log=True)
        assert Path(f"{path}-wal").stat().st_size > 0
        assert ledger._lock is not None
        ledger._lock.release()
    with own(path, clock) as ledger:
        assert len(states(ledger)) == 6


def test_the_log_is_written_into_the_file_once_it_is_long(path: Path, clock: FakeClock) -> None:
    with own(path, clock) as ledger:
        stream = register(ledger)
        sizes = []
        for n in range(60):
            commit(ledger, stream, [reading(f"{n}-{i}", "x" * 2000, mapping=stream.mapping) for i in range(40)])
            sizes.append(Path(f"{path}-wal").stat().st_size)
        assert max(sizes) < 6 << 20
        assert path.stat().st_size > 4 << 20
        assert ledger._lock is not None
        assert LedgerLock(path).path.read_text() == f"{os.getpid()}\n{ledger._lock.checkpoint}\n"
        assert ledger._lock.checkpoint
