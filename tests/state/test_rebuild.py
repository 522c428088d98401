"""A ledger made from its receipts, or brought up to them: nothing that was sent is ever taken for new."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from state.key_files import key_path
from state.rows import LaneMove, NoRoom, OnChange
from sync.polling.judge import Rules
from sync.shared.errors import LedgerBusy, LedgerUntrusted
from tests.state.ledger_tools import (
    RULE,
    WORKSPACE,
    FakeClock,
    about,
    claim,
    commit,
    declare,
    nothing_to_send,
    opened,
    row,
    rows,
    states,
)
from tests.state.rebuild_tools import OLD, lose, pending, read_again, reading, rebuilt, registered, send

LATER = "2026-02-02T00:00:00.000000Z"


def test_everything_that_was_sent_is_known_again_and_only_that(path: Path) -> None:
    with opened(path) as ledger:
        send(ledger, "created", "a", "b")
        doubt = send(ledger, "in_doubt", "c")
        send(ledger, "refused", "d")
        with ledger.file.write() as connection:
            connection.execute("UPDATE records SET state = 'withdrawn', fit = 'deleted' WHERE id = 'd'")
        send(ledger, "rejected", "e")
    lose(path)
    done = rebuilt(path)
    assert (done.batches, done.remembered, done.kept, done.is_new) == (4, {"delivered": 2, "in_doubt": 1}, None, True)
    assert done.streams == ["erp.companies"]
    with opened(path) as ledger:
        assert ledger.receipts.repairs == []
        assert ledger.recover() == []
        counts = read_again(ledger, "a", "b", "c", "d", "e", "f")
        assert states(ledger) == {
            **dict.fromkeys("ab", "delivered"),
            "c": "in_doubt",
            **dict.fromkeys("def", "pending"),
        }
        assert counts == {"unchanged": 2, "waiting": 1, "new": 3, "unqueued": 0}
        assert rows(ledger, "SELECT count(*) AS n FROM remembered") == [{"n": 0}]
        assert rows(ledger, "PRAGMA foreign_key_check") == []
        (row_of_doubt,) = ledger.verdicts.in_doubt()
        assert (row_of_doubt["name"], row_of_doubt["open"]) == (doubt, 1)
        assert [each["id"] for each in ledger.verdicts.deliveries_of(doubt)] == ["c"]
        waits = ledger.outbox.claim(WORKSPACE, RULE, most=100, linger=0, timeout=60)
        assert waits == NoRoom(about(60.6), 0), "how many requests the last minute saw is not known"
        assert isinstance(ledger.clock, FakeClock)
        ledger.clock.advance(61)
        assert claim(ledger).deliveries[0].id == "d"


@pytest.mark.parametrize("on_change", ["hold", "resend"])
def test_what_changed_since_it_was_sent_is_noticed(path: Path, on_change: OnChange) -> None:
    with opened(path) as ledger:
        send(ledger, "created", "a", "b", stream=registered(ledger, on_change=on_change))
    lose(path)
    rebuilt(path)
    with opened(path) as ledger:
        read_again(ledger, "a", content="new", modified=LATER, on_change=on_change)
        read_again(ledger, "b", modified=LATER, on_change=on_change)
        assert (row(ledger, "a")["drift"], row(ledger, "b")["drift"]) == (1, 0)
        assert row(ledger, "a")["state"] == ("delivered" if on_change == "hold" else "pending")
        assert row(ledger, "b")["state"] == "delivered"
        assert row(ledger, "a")["lead_exists"] == "yes"


@pytest.mark.parametrize("on_change", ["hold", "resend"])
def test_an_edited_mapping_sends_nothing_either(path: Path, on_change: OnChange) -> None:
    with opened(path) as ledger:
        send(ledger, "created", "a", stream=registered(ledger, on_change=on_change))
    lose(path)
    rebuilt(path)
    with opened(path) as ledger:
        read_again(ledger, "a", content="new", modified=LATER, on_change=on_change, mapping="m2")
        assert (row(ledger, "a")["state"], row(ledger, "a")["drift"]) == ("delivered", 0)
        assert nothing_to_send(ledger)


@pytest.mark.parametrize(("landed", "state"), [(True, "delivered"), (False, "pending")])
def test_a_persons_word_settles_what_was_in_doubt(path: Path, landed: bool, state: str) -> None:
    with opened(path) as ledger:
        send(ledger, "in_doubt", "a")
    lose(path)
    rebuilt(path)
    with opened(path) as ledger:
        (doubt,) = ledger.verdicts.in_doubt()
        read_again(ledger, "a")
        ledger.verdicts.resolve(str(doubt["name"]), landed=landed, note="looked")
        assert row(ledger, "a")["state"] == state
        assert row(ledger, "a")["drift"] == 0
    lose(path)
    rebuilt(path)
    with opened(path) as ledger:
        read_again(ledger, "a")
        assert row(ledger, "a")["state"] == state, "the word is in the receipts"


def test_a_batch_without_a_verdict_is_in_doubt(path: Path) -> None:
    with opened(path) as ledger:
        pending(ledger, registered(ledger), "a")
        one = claim(ledger)
        ledger.journal.intent(one.batch)
    lose(path)
    rebuilt(path)
    with opened(path) as ledger:
        (doubt,) = ledger.verdicts.in_doubt()
        assert doubt["cause"] == "the receipts hold no verdict"
        read_again(ledger, "a")
        assert row(ledger, "a")["state"] == "in_doubt"


def test_a_resend_in_doubt_keeps_the_lead_that_exists(path: Path) -> None:
    with opened(path) as ledger:
        stream = registered(ledger, on_change="resend")
        send(ledger, "created", "a", stream=stream)
        send(ledger, "in_doubt", "a", stream=stream, content="b")
    lose(path)
    rebuilt(path)
    with opened(path) as ledger:
        read_again(ledger, "a", content="b", on_change="resend")
        assert (row(ledger, "a")["state"], row(ledger, "a")["lead_exists"]) == ("in_doubt", "yes")
        (doubt,) = ledger.verdicts.in_doubt()
        ledger.verdicts.resolve(str(doubt["name"]), landed=False, note="")
        assert (row(ledger, "a")["state"], row(ledger, "a")["lead_exists"]) == ("pending", "yes")


# -- what no batch tells of


def test_known_forgotten_and_recalled_records(path: Path) -> None:
    with opened(path) as ledger:
        stream = registered(ledger)
        rules = Rules("hold", began=LATER, baseline=True)
        commit(ledger, stream, [reading("known", mapping=stream.mapping)], rules=rules)
        ledger.streams.move(stream.id, LaneMove("@baseline", {"before": LATER, "over": True}))
        pending(ledger, stream, "dropped", "recalled")
        with ledger.file.write() as connection:
            connection.execute("UPDATE records SET state = 'forgotten' WHERE id IN ('dropped', 'recalled')")
        commit(ledger, stream, [reading("recalled", "b", mapping=stream.mapping)])
        assert states(ledger)["recalled"] == "pending"
    lose(path)
    assert rebuilt(path).remembered == {"known": 1, "forgotten": 1}
    with opened(path) as ledger:
        stream = registered(ledger)
        assert ledger.streams.lanes(stream.id) == {
            "@first": {"over": True},
            "@baseline": {"before": LATER, "over": False},
        }
        read_again(ledger, "known", "dropped", content="changed since", modified=LATER)
        read_again(ledger, "recalled")
        assert states(ledger) == {"known": "known", "dropped": "forgotten", "recalled": "pending"}


def test_imported_values(path: Path) -> None:
    with opened(path) as ledger:
        registered(ledger)
        with ledger.file.write() as connection:
            for n in range(3):
                values = ("main", bytes([n]) * 16, "email")
                connection.execute("INSERT INTO foreign_values (workspace, value, kind) VALUES (?, ?, ?)", values)
            connection.execute("DELETE FROM foreign_values WHERE value = ?", (bytes([1]) * 16,))
    lose(path)
    rebuilt(path)
    with opened(path) as ledger:
        found = rows(ledger, "SELECT workspace, value, kind FROM foreign_values ORDER BY value")
        assert [(each["workspace"], each["value"][0], each["kind"]) for each in found] == [
            ("main", 0, "email"),
            ("main", 2, "email"),
        ]


# -- streams keep what they are


def test_another_key_or_name_is_refused_after_a_rebuild_as_before(path: Path) -> None:
    with opened(path) as ledger:
        send(ledger, "created", "a")
    lose(path)
    rebuilt(path)
    with opened(path) as ledger:
        other = declare("erp.companies", workspace="other")
        with pytest.raises(LedgerUntrusted, match="workspace was 'main'"):
            ledger.streams.register([other])
        new = declare("erp.firms")
        same = type(new)("erp.firms", {"connector": "sql", "table": "erp.companies"}, "main", "hold", "m1")
        with pytest.raises(LedgerUntrusted, match=r"knows as erp\.companies"):
            ledger.streams.register([same])


def test_a_renamed_stream_is_known_by_its_new_name(path: Path) -> None:
    with opened(path) as ledger:
        send(ledger, "created", "a")
        ledger.streams.rename("erp.companies", declare("erp.firms"))
        send(ledger, "created", "b", stream=registered(ledger, "erp.firms"))
        send(ledger, "created", "a", stream=registered(ledger, "erp.companies"))
    lose(path)
    assert rebuilt(path).streams == ["erp.companies", "erp.firms"]
    with opened(path) as ledger:
        for name, known in (("erp.firms", "ab"), ("erp.companies", "a")):
            stream = registered(ledger, name)
            commit(ledger, stream, [reading(each, mapping=stream.mapping) for each in "abc"])
            found = rows(ledger, "SELECT id FROM records WHERE stream = ? AND state = 'delivered'", stream.id)
            assert "".join(each["id"] for each in found) == known


# -- a ledger that is older than its receipts


def backup(path: Path, to: Path) -> None:
    to.mkdir()
    for each in path.parent.iterdir():
        if each.name.startswith(path.name) and not each.name.endswith((".lock", ".receipts")):
            shutil.copy(each, to / each.name)


def test_an_older_ledger_is_told_what_it_lacks_and_keeps_what_it_knows(path: Path, tmp_path: Path) -> None:
    with opened(path) as ledger:
        send(ledger, "created", "a")
        send(ledger, "in_doubt", "b")
        ledger.streams.move(1, LaneMove("live", {"through": OLD}))
        pending(ledger, registered(ledger), "c", "d", "e", "f")
        open_claim = claim(ledger, 1)
        ledger.journal.intent(open_claim.batch)
        backup(path, tmp_path / "old")
        ledger.journal.verdict(open_claim.batch, "created")
        ledger.verdicts.conclude(open_claim.batch, "created", slot=open_claim.slot)
        one = claim(ledger, 1)
        ledger.journal.intent(one.batch)
        ledger.journal.verdict(one.batch, "created")
        ledger.verdicts.conclude(one.batch, "created", slot=one.slot)
        one = claim(ledger, 1)
        ledger.journal.intent(one.batch)
        ledger.journal.verdict(one.batch, "in_doubt")
        ledger.verdicts.conclude(one.batch, "in_doubt", slot=one.slot)
        doubt = next(each for each in ledger.verdicts.in_doubt() if each["name"] != one.batch)
        ledger.verdicts.resolve(str(doubt["name"]), landed=True, note="")
        with ledger.file.write() as connection:
            connection.execute("UPDATE records SET state = 'forgotten' WHERE id = 'f'")
        now = states(ledger)
    assert now == {
        **dict.fromkeys("abcd", "delivered"),
        "e": "in_doubt",
        "f": "forgotten",
    }
    lose(path)
    for each in (tmp_path / "old").iterdir():
        shutil.copy(each, path.parent / each.name)
    with pytest.raises(LedgerUntrusted):
        opened(path)
    done = rebuilt(path)
    assert not done.is_new
    assert done.kept is not None
    assert done.kept.exists()
    assert (done.told.delivered, done.told.in_doubt, done.told.forgotten) == (1, 1, 1)
    with opened(path) as ledger:
        assert states(ledger) == now
        assert ledger.recover() == []
        stream = registered(ledger)
        assert ledger.streams.lanes(stream.id)["live"] == {"through": OLD}
        assert rows(ledger, "SELECT count(*) AS n FROM remembered") == [{"n": 0}]
        assert rows(ledger, "PRAGMA foreign_key_check") == []
        read_again(ledger, *"abcdef")
        assert states(ledger) == now
        assert nothing_to_send(ledger)
    assert rebuilt(path).told == type(done.told)(), "doing it again changes nothing"


def test_a_ledger_that_cannot_be_read_is_moved_aside(path: Path) -> None:
    with opened(path) as ledger:
        send(ledger, "created", "a")
    lose(path)
    path.write_bytes(b"not a database at all " * 1000)
    done = rebuilt(path)
    assert done.is_new
    assert done.kept is not None
    assert done.kept.read_bytes().startswith(b"not a database")
    with opened(path) as ledger:
        read_again(ledger, "a")
        assert states(ledger) == {"a": "delivered"}


def test_the_second_place_will_do_where_the_first_is_gone(path: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    with opened(path, receipts_copy=second) as ledger:
        send(ledger, "created", "a")
    lose(path, ".receipts")
    assert rebuilt(path, receipts_copy=second).remembered == {"delivered": 1}
    with opened(path, receipts_copy=second) as ledger:
        read_again(ledger, "a", "b")
        assert states(ledger) == {"a": "delivered", "b": "pending"}
    assert path.with_name(path.name + ".receipts").exists()


def test_what_each_place_knows_alone_is_put_together(path: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    with opened(path, receipts_copy=second) as ledger:
        send(ledger, "created", "a")
        first = path.with_name(path.name + ".receipts").read_bytes()
        send(ledger, "created", "b")
    path.with_name(path.name + ".receipts").write_bytes(first)
    lose(path)
    assert rebuilt(path, receipts_copy=second).remembered == {"delivered": 2}


# -- what cannot be done


def test_without_receipts_or_key_nothing_is_made(path: Path) -> None:
    with pytest.raises(LedgerUntrusted, match="no receipts"):
        rebuilt(path)
    assert not path.parent.exists()
    with opened(path) as ledger:
        send(ledger, "created", "a")
    lose(path)
    key = key_path(path).rename(path.with_name("elsewhere"))
    with pytest.raises(LedgerUntrusted, match="key file"):
        rebuilt(path)
    key.rename(key_path(path))
    lose(path, ".receipts")
    with pytest.raises(LedgerUntrusted, match="no receipts") as caught:
        rebuilt(path)
    assert caught.value.hint
    assert not path.exists()


def test_another_key_makes_nothing(path: Path) -> None:
    with opened(path) as ledger:
        send(ledger, "created", "a")
    lose(path)
    key_path(path).write_bytes(b"k" * 32)
    with pytest.raises(LedgerUntrusted, match="another key"):
        rebuilt(path)


def test_beside_a_daemon_nothing_is_rebuilt(path: Path) -> None:
    with opened(path) as ledger:
        send(ledger, "created", "a")
        with pytest.raises(LedgerBusy):
            rebuilt(path)


def test_damaged_receipts_need_a_persons_word(path: Path) -> None:
    with opened(path) as ledger:
        send(ledger, "created", "a")
        send(ledger, "created", "b")
    lose(path)
    receipts = path.with_name(path.name + ".receipts")
    lines = receipts.read_bytes().split(b"\n")
    lines[2] = lines[2][:-2] + b"xx"
    receipts.write_bytes(b"\n".join(lines))
    with pytest.raises(LedgerUntrusted, match="1 line of the receipts is damaged") as caught:
        rebuilt(path)
    assert "--accept-loss" in caught.value.hint
    assert not path.exists()
    assert rebuilt(path, accept_loss=True).remembered == {"delivered": 1}


# -- a person's words that only the receipts kept


def restored_from_before_the_words(path: Path, *words: tuple[bool, list[int] | None]) -> str:
    """A batch of three in doubt, the ledger made from its receipts, a copy of that, words, and the copy put back."""
    with opened(path) as ledger:
        batch = send(ledger, "in_doubt", "a", "b", "c")
    lose(path)
    rebuilt(path)
    with opened(path):
        pass
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    with opened(path) as ledger:
        ledger.recover()
        for landed, positions in words:
            ledger.verdicts.resolve(batch, landed=landed, note="so I say", positions=positions)
    lose(path)
    shutil.copy(copy, path)
    return batch


def test_words_on_leads_that_were_not_read_since_are_taken_over(path: Path) -> None:
    batch = restored_from_before_the_words(path, (True, None))
    with opened(path) as ledger:
        assert [each.outcome for each in ledger.recover()] == ["landed"]
        assert ledger.verdicts.in_doubt() == []
        commit(ledger, registered(ledger), [reading("a", mapping=registered(ledger).mapping)])
        assert states(ledger) == {"a": "delivered"}
        assert rows(ledger, "SELECT state FROM batches WHERE name = ?", batch) == [{"state": "landed"}]
    with opened(path) as ledger:
        assert ledger.recover() == []


def test_words_that_differ_hold_each_for_its_lead(path: Path) -> None:
    with opened(path) as ledger:
        batch = send(ledger, "in_doubt", "a", "b")
    lose(path)
    rebuilt(path)
    with opened(path):
        pass
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    with opened(path) as ledger:
        ledger.recover()
        stream = registered(ledger)
        commit(ledger, stream, [reading(each, mapping=stream.mapping) for each in ("a", "b")])
        ledger.verdicts.resolve(batch, landed=True, note="", positions=[0])
        ledger.verdicts.resolve(batch, landed=False, note="", positions=[1])
        assert states(ledger) == {"a": "delivered", "b": "pending"}
    lose(path)
    shutil.copy(copy, path)
    with opened(path) as ledger:
        assert [each.outcome for each in ledger.recover()] == ["landed", "absent"]
        stream = registered(ledger)
        commit(ledger, stream, [reading(each, mapping=stream.mapping) for each in ("a", "b")])
        assert states(ledger) == {"a": "delivered", "b": "pending"}
        assert rows(ledger, "SELECT state FROM batches WHERE name = ?", batch) == [{"state": "settled"}]
    with opened(path) as ledger:
        assert ledger.recover() == []


def test_one_word_settles_a_lead_that_was_read_since_and_one_that_was_not(path: Path) -> None:
    with opened(path) as ledger:
        batch = send(ledger, "in_doubt", "a", "b")
    lose(path)
    rebuilt(path)
    with opened(path) as ledger:
        ledger.recover()
        stream = registered(ledger)
        commit(ledger, stream, [reading("a", mapping=stream.mapping)])
        ledger.verdicts.resolve(batch, landed=True, note="", positions=[0, 1])
        assert states(ledger) == {"a": "delivered"}
        assert rows(ledger, "SELECT state FROM batches WHERE name = ?", batch) == [{"state": "landed"}]


def test_words_that_both_know_are_no_news(path: Path) -> None:
    with opened(path) as ledger:
        batch = send(ledger, "in_doubt", "a", "b")
        ledger.verdicts.resolve(batch, landed=True, note="", positions=[0])
    with opened(path) as ledger:
        assert ledger.recover() == []
