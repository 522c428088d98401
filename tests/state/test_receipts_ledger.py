"""Ledger and receipts at a start: what each tells the other, and when the ledger is not trusted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from state.diagram import State
from state.key_files import key_path
from state.ledger import Ledger
from state.receipts.history import ReceiptHistory
from state.receipts.lines import ReceiptLine
from state.receipts.place import ReceiptsFile
from state.recovery import Recovered
from state.rows import Claim, Verdict
from state.slots import GRACE_SECONDS
from sync.shared.errors import LedgerError, LedgerUntrusted
from tests.state.ledger_tools import (
    FakeClock,
    claim,
    commit,
    opened,
    pending,
    reading,
    register,
    row,
    rows,
    states,
    unsynced,
)


def receipts_of(path: Path) -> Path:
    return path.with_name(path.name + ".receipts")


def send(ledger: Ledger, verdict: Verdict, most: int = 100) -> Claim:
    """A whole request, in the order of the real one."""
    one = claim(ledger, most)
    ledger.journal.intent(one.batch)
    ledger.journal.verdict(one.batch, verdict, cause="so it was")
    ledger.verdicts.conclude(one.batch, verdict, slot=one.slot, cause="so it was")
    return one


def history_of(path: Path) -> ReceiptHistory:
    return ReceiptHistory.of(lines_of(path))


def lines_of(path: Path) -> list[ReceiptLine | None]:
    return list(ReceiptsFile(receipts_of(path)).read())


def lose(path: Path) -> None:
    """The ledger alone is gone."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def test_a_new_ledger_has_receipts_that_say_whose_they_are(path: Path) -> None:
    with opened(path) as ledger:
        register(ledger)
        assert ledger.receipts.repairs == []
        key = ledger.hasher.key_id
    (begin, stream) = lines_of(path)
    assert begin is not None
    assert stream is not None
    assert begin["key"] == key
    assert stream["stream"] == "erp.companies"


def test_they_hold_no_id_and_no_value(path: Path) -> None:
    with opened(path) as ledger:
        stream = register(ledger)
        pending(ledger, stream, "secret-id")
        send(ledger, "rejected")
        commit(ledger, stream, [reading("secret-other", "secret content", mapping=stream.mapping)])
        one = send(ledger, "in_doubt")
        ledger.verdicts.resolve(one.batch, landed=True, note="secret note")
    assert b"secret" not in receipts_of(path).read_bytes()


# -- cut off at each point of a request


def cut_off(path: Path, *, intent: bool, verdict: Verdict | None = None, leads: int = 2) -> str:
    with opened(path) as ledger:
        stream = register(ledger)
        pending(ledger, stream, *(f"r{n}" for n in range(leads)))
        one = claim(ledger)
        if intent:
            ledger.journal.intent(one.batch)
        if verdict:
            ledger.journal.verdict(one.batch, verdict, status=200, cause="so it was")
    return one.batch


def told(recovered: Recovered) -> tuple[str, str, str, dict[State, int]]:
    """What an operator is told of a batch: of whom, what became of it, its name, and where its leads went."""
    conclusion = recovered.conclusion
    return recovered.workspace, recovered.outcome, conclusion.batch, dict(conclusion.moved)


NOT_BEGUN = "the program was cut off before the request began"
NOT_KNOWN = "the program was cut off before it knew the answer"
SAID = "so it was"


@pytest.mark.parametrize(
    ("intent", "verdict", "outcome", "state", "why"),
    [
        (False, None, "refused", "pending", (None, NOT_BEGUN)),
        (True, None, "in_doubt", "in_doubt", (None, NOT_KNOWN)),
        (True, "created", "created", "delivered", (200, SAID)),
        (True, "refused", "refused", "pending", (200, SAID)),
        (True, "paused", "paused", "pending", (200, SAID)),
        (True, "in_doubt", "in_doubt", "in_doubt", (200, SAID)),
        (True, "rejected", "rejected", "pending", (200, SAID)),
    ],
)
def test_a_batch_that_was_cut_off_is_what_its_receipts_say(
    path: Path,
    intent: bool,
    verdict: Verdict | None,
    outcome: str,
    state: str,
    why: tuple[int | None, str],
) -> None:
    batch = cut_off(path, intent=intent, verdict=verdict)
    for _ in range(2):
        with opened(path) as ledger:
            found = [told(each) for each in ledger.recover()]
            assert found in ([("main", outcome, batch, {state: 2})], [])
            assert set(states(ledger).values()) == {state}
            assert rows(ledger, "SELECT status, cause FROM batches") == [
                dict(zip(("status", "cause"), why, strict=True))
            ]
            grace = GRACE_SECONDS if outcome == "in_doubt" else 0  # it may still arrive
            assert rows(ledger, "SELECT ended FROM slots") == [{"ended": ledger.clock.boot() + grace}]
    assert found == [], "it is settled once"
    causes = [line["cause"] for line in lines_of(path) if line and line["t"] == "verdict"]
    assert causes == [why[1]], "and told once"
    assert history_of(path).batches[batch].state == outcome


def test_a_single_rejected_lead_goes_to_quarantine_also_by_its_receipt(path: Path) -> None:
    cut_off(path, intent=True, verdict="rejected", leads=1)
    with opened(path) as ledger:
        ledger.recover()
        assert states(ledger) == {"r0": "quarantined"}


@pytest.mark.parametrize(("setting", "state"), [("hold", "in_doubt"), ("resend", "pending")])
def test_what_nobody_knows_is_sent_again_only_where_that_was_asked_for(path: Path, setting: Any, state: str) -> None:
    batch = cut_off(path, intent=True)
    with opened(path) as ledger:
        ledger.recover(lambda workspace: setting if workspace == "main" else "hold")
        assert set(states(ledger).values()) == {state}
        given_up = "absent" if setting == "resend" else "in_doubt"
        assert rows(ledger, "SELECT state, cause FROM batches") == [{"state": given_up, "cause": NOT_KNOWN}]
        until = ledger.clock.boot() + GRACE_SECONDS
        assert rows(ledger, "SELECT ended FROM slots") == [{"ended": until}], "also what is given up may still arrive"
    assert history_of(path).batches[batch].state == given_up


def test_a_given_up_batch_whose_verdict_was_cut_off_is_given_up(path: Path) -> None:
    batch = cut_off(path, intent=True)
    with opened(path) as ledger:
        ledger.journal.verdict(batch, "absent", cause="no clear answer")
    with opened(path) as ledger:
        ledger.recover()
        assert set(states(ledger).values()) == {"pending"}
        assert rows(ledger, "SELECT state FROM batches") == [{"state": "absent"}]


def test_a_missing_intent_proves_nothing_where_receipts_are_missing(path: Path) -> None:
    with opened(path) as ledger:
        stream = register(ledger)
        pending(ledger, stream, "before")
        send(ledger, "created")
    batch = cut_off(path, intent=True)
    spoils: tuple[Callable[[], object], ...] = (receipts_of(path).unlink, lambda: None)
    for spoil in spoils:
        spoil()
        with opened(path) as ledger:
            assert [each.outcome for each in ledger.recover()] in (["in_doubt"], [])
    assert batch


def test_a_batch_is_settled_even_if_its_workspace_is_gone(path: Path) -> None:
    cut_off(path, intent=True, verdict="created")
    with opened(path) as ledger:
        assert [each.workspace for each in ledger.recover()] == ["main"]


# -- the ledger is missing, older, another one


def filled(path: Path, **options: Any) -> None:
    """One lead delivered, one in doubt, one that is waiting."""
    with opened(path, **options) as ledger:
        stream = register(ledger)
        pending(ledger, stream, "a")
        send(ledger, "created")
        pending(ledger, stream, "b")
        send(ledger, "in_doubt")
        pending(ledger, stream, "c")


def test_a_missing_ledger_is_not_made_anew(path: Path) -> None:
    filled(path)
    lose(path)
    with pytest.raises(LedgerUntrusted, match="tell of 2 leads") as caught:
        opened(path)
    assert caught.value.exit_code == 78
    assert "ledger rebuild" in caught.value.hint
    assert not path.exists()


def test_receipts_that_tell_of_nothing_are_no_obstacle(path: Path) -> None:
    with opened(path) as ledger:
        register(ledger)
    lose(path)
    with opened(path) as ledger:
        assert ledger.is_new
        register(ledger)
    with opened(path) as ledger:
        assert ledger.receipts.repairs == []


@pytest.mark.parametrize("left", ["an empty file", "no records"])
def test_an_emptied_ledger_is_not_trusted(path: Path, left: str) -> None:
    filled(path)
    if left == "an empty file":
        lose(path)
        path.touch()
    else:
        with opened(path) as ledger, ledger.file.write() as connection:
            connection.execute("DELETE FROM deliveries")
            connection.execute("DELETE FROM match_values")
            connection.execute("DELETE FROM records")
            connection.execute("DELETE FROM batches")
    with pytest.raises(LedgerUntrusted, match="older than its receipts"):
        opened(path)


def backup(path: Path, to: Path) -> None:
    to.mkdir(exist_ok=True)
    for each in path.parent.iterdir():
        if each.name.startswith(path.name) and "lock" not in each.name:
            shutil.copy(each, to / each.name)


def restore(path: Path, from_: Path, *, receipts: bool) -> None:
    lose(path)
    for each in from_.iterdir():
        if receipts or not each.name.endswith(".receipts"):
            shutil.copy(each, path.parent / each.name)


def test_a_ledger_older_than_its_receipts_is_refused_and_sends_nothing(path: Path, tmp_path: Path) -> None:
    filled(path)
    backup(path, tmp_path / "old")
    with opened(path) as ledger:
        send(ledger, "created")
    restore(path, tmp_path / "old", receipts=False)
    with pytest.raises(LedgerUntrusted, match="name 1 batch that it does not know, with 1 lead ") as caught:
        opened(path)
    assert "ledger rebuild" in caught.value.hint
    with Ledger(path) as onlooker:
        assert states(onlooker)["c"] == "pending", "nothing was changed"


def test_a_rolled_back_machine_is_noticed_by_the_second_place_alone(path: Path, tmp_path: Path) -> None:
    second = tmp_path / "elsewhere" / "receipts"
    second.parent.mkdir()
    filled(path, receipts_copy=second)
    backup(path, tmp_path / "old")
    with opened(path, receipts_copy=second) as ledger:
        send(ledger, "created")
    restore(path, tmp_path / "old", receipts=True)
    with pytest.raises(LedgerUntrusted, match="older than its receipts"):
        opened(path, receipts_copy=second)
    opened(path).close()  # without the second place nobody can know


def test_a_second_place_that_is_gone_is_not_silently_made_anew(path: Path, tmp_path: Path) -> None:
    second = tmp_path / "elsewhere" / "receipts"
    second.parent.mkdir()
    filled(path, receipts_copy=second)
    shutil.rmtree(second)
    with pytest.raises(LedgerUntrusted, match="are gone") as caught:
        opened(path, receipts_copy=second)
    assert "mount" in caught.value.hint
    third = tmp_path / "elsewhere" / "third"
    with opened(path, receipts_copy=third) as ledger:
        assert [each.path.parent for each in ledger.receipts.repairs] == [third]
    assert ReceiptHistory.of(ReceiptsFile(third / receipts_of(path).name).read()).batches == history_of(path).batches


def test_a_second_place_without_its_disk_is_an_error_with_a_cure(path: Path, tmp_path: Path) -> None:
    with pytest.raises(LedgerError) as caught:
        opened(path, receipts_copy=tmp_path / "not mounted" / "receipts")
    assert caught.value.hint
    opened(path).close()


@pytest.mark.parametrize("spoil", ["another ledger", "another key"])
def test_the_receipts_of_another_ledger_are_refused(path: Path, tmp_path: Path, spoil: str) -> None:
    filled(path)
    other = tmp_path / "other" / "ledger.db"
    if spoil == "another ledger":
        other.parent.mkdir()
        shutil.copy(key_path(path), key_path(other))
    filled(other)
    shutil.copy(receipts_of(other), receipts_of(path))
    with pytest.raises(LedgerUntrusted, match=spoil):
        opened(path)


def test_a_line_of_a_newer_program_is_refused(path: Path) -> None:
    filled(path)
    ReceiptsFile(receipts_of(path)).append([{"t": "hologram"}])
    with pytest.raises(LedgerUntrusted, match="newer version"):
        opened(path)


def test_contradiction_is_refused(path: Path) -> None:
    with opened(path) as ledger:
        pending(ledger, register(ledger), "a")
        one = claim(ledger)
        ledger.journal.intent(one.batch)
        ledger.journal.verdict(one.batch, "refused")
        ledger.verdicts.conclude(one.batch, "created", slot=one.slot)
    with pytest.raises(LedgerUntrusted, match="calls batch"):
        opened(path)


# -- the receipts are missing, behind, damaged


def knows(path: Path) -> dict[str, str]:
    return {name: batch.state for name, batch in history_of(path).batches.items()}


def damage(path: Path) -> None:
    raw = receipts_of(path).read_bytes().split(b"\n")
    middle = len(raw) // 2
    raw[middle] = raw[middle][:-3] + b"xyz"
    receipts_of(path).write_bytes(b"\n".join(raw))


@pytest.mark.parametrize("spoil", [lambda path: receipts_of(path).unlink(), damage])
def test_missing_and_damaged_receipts_are_written_anew(path: Path, spoil: Callable[[Path], None]) -> None:
    filled(path)
    with opened(path) as ledger:
        send(ledger, "refused")
        send(ledger, "in_doubt")
        (first, second) = ledger.verdicts.in_doubt()
        ledger.verdicts.resolve(str(first["name"]), landed=True, note="")
        ledger.verdicts.resolve(str(second["name"]), landed=False, note="")
    before = knows(path)
    assert sorted(before.values()) == ["absent", "created", "landed", "refused"]
    spoil(path)
    with opened(path) as ledger:
        (repair,) = ledger.receipts.repairs
        assert repair.made
    assert knows(path) == before
    kept = [each.name for each in path.parent.iterdir() if ".damaged-" in each.name]
    assert len(kept) == repair.damaged
    with opened(path) as ledger:
        assert ledger.receipts.repairs == []


def test_what_the_receipts_lack_they_are_told(path: Path, tmp_path: Path) -> None:
    """Older receipts beside a ledger that went on: as after a restore of the wrong file."""
    filled(path)
    old = tmp_path / "old.receipts"
    shutil.copy(receipts_of(path), old)
    with opened(path) as ledger:
        send(ledger, "created")
        (doubt,) = ledger.verdicts.in_doubt()
        ledger.verdicts.resolve(str(doubt["name"]), landed=False, note="")
        send(ledger, "created")
    whole = knows(path)
    shutil.copy(old, receipts_of(path))
    with opened(path) as ledger:
        assert [each.lacked for each in ledger.receipts.repairs] == [2]
    assert knows(path) == whole


def test_a_word_that_only_the_receipts_kept_reaches_the_ledger(path: Path, tmp_path: Path) -> None:
    filled(path)
    backup(path, tmp_path / "old")
    with opened(path) as ledger:
        (doubt,) = ledger.verdicts.in_doubt()
        ledger.verdicts.resolve(str(doubt["name"]), landed=True, note="looked")
    restore(path, tmp_path / "old", receipts=False)
    with opened(path) as ledger:
        assert [each.outcome for each in ledger.recover()] == ["landed"]
        assert row(ledger, "b")["state"] == "delivered"


@pytest.mark.parametrize(
    ("verdict", "outcome", "state"),
    [
        ("created", "landed", "delivered"),
        ("refused", "absent", "pending"),
        ("rejected", "absent", "pending"),
        ("paused", "absent", "pending"),
        ("absent", "absent", "pending"),
    ],
)
def test_an_answer_that_only_the_receipts_kept_settles_a_doubt(
    path: Path, verdict: str, outcome: str, state: str
) -> None:
    """A newcomer doubted the batch after its owner had told the receipts, and before it told the ledger."""
    batch = cut_off(path, intent=True)
    with opened(path) as ledger:
        ledger.journal.verdict(batch, verdict)
        ledger.verdicts.conclude(batch, "in_doubt", slot=None)
    for news in ([("main", outcome, batch, {state: 2})], []):
        with opened(path) as ledger:
            assert [told(each) for each in ledger.recover()] == news
            assert set(states(ledger).values()) == {state}
            assert rows(ledger, "SELECT words FROM batches") == [{"words": "by the receipts"}]


def test_what_was_due_when_a_process_died_is_told_at_the_next_start(path: Path) -> None:
    with opened(path) as ledger:
        pending(ledger, register(ledger), "a")
        one = send(ledger, "in_doubt")
        with Ledger(path, clock=FakeClock(), connector=unsynced) as beside:
            beside.verdicts.resolve(one.batch, landed=True, note="")
        assert knows(path) == {one.batch: "in_doubt"}
    assert knows(path) == {one.batch: "landed"}


def test_a_command_beside_the_daemon_tells_the_receipts_at_once(path: Path) -> None:
    with opened(path) as ledger:
        pending(ledger, register(ledger), "a")
        one = send(ledger, "in_doubt")
        with Ledger(path, clock=FakeClock(), connector=unsynced) as beside:
            beside.verdicts.resolve(one.batch, landed=False, note="")
            beside.tell_receipts()
        assert knows(path) == {one.batch: "absent"}


def test_compacting_forgets_no_batch(path: Path) -> None:
    with opened(path) as ledger:
        stream = register(ledger)
        pending(ledger, stream, *(f"r{n}" for n in range(100)))
        assert isinstance(ledger.clock, FakeClock)
        for _ in range(300):
            send(ledger, "refused")
            ledger.clock.advance(2)
        send(ledger, "created")
        before, size = knows(path), receipts_of(path).stat().st_size
        ledger.tidy()
    assert knows(path) == before
    assert receipts_of(path).stat().st_size < size / 10
    with opened(path) as ledger:
        assert ledger.receipts.repairs == []
        assert ledger.recover() == []
