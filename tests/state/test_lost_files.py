"""Whatever is lost, damaged or older of a ledger's files: no chain of hints ends with a lead that is sent twice though
a file still tells of it, and each ends with a program that runs or a person who is told what to do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from state.ledger import Ledger
from sync.shared.errors import LedgerUntrusted
from tests.sizes import sized
from tests.state.ledger_tools import declare, opened
from tests.state.lost_files import Case, Operator, cases, every, lay, named_in
from tests.state.rebuild_tools import rebuilt

HERE = [case for case in cases() if case[3] == "ok"][:: sized(7, 2, 1)]
WITHOUT_KEY = [case for case in cases() if case[3] != "ok"][:: sized(61, 8, 1)]


def test_no_chain_of_hints_sends_anything_twice(tmp_path: Path) -> None:
    """`python -m tests.long.lost_files` walks all of them."""
    found = Counter(end for _, end in every(tmp_path, [*HERE, *WITHOUT_KEY]))
    assert min(found["runs"], found["asks"]) > 5


@pytest.mark.parametrize(
    ("case", "end", "steps"),
    [
        (("ok", "tail", "none", "ok"), "runs", 0),
        (("ok", "missing", "none", "ok"), "runs", 0),
        (("lost", "ok", "none", "ok"), "runs", 1),
        (("older", "torn", "none", "ok"), "runs", 1),
        (("lost", "tail", "ok", "ok"), "runs", 1),
        (("older and wal", "older", "none", "ok"), "runs", 0),
        (("lost", "tail", "none", "ok"), "asks", 2),
        (("lost", "empty", "none", "ok"), "asks", 2),
        (("older", "tail", "lagging", "ok"), "asks", 2),
        (("garbage", "ok", "none", "ok"), "runs", 1),
        (("garbage", "tail", "none", "ok"), "asks", 2),
    ],
)
def test_where_the_hints_lead(tmp_path: Path, case: Case, end: str, steps: int) -> None:
    lay(tmp_path, case)
    operator = Operator(tmp_path, case[2] != "none")
    assert ("runs" if operator.work() else "asks", len(operator.said)) == (end, steps)


@pytest.mark.parametrize("accept_loss", [False, True])
def test_a_ledger_made_of_a_tail_never_offers_to_rename_its_streams(tmp_path: Path, accept_loss: bool) -> None:
    """What a version made of it that took it for the whole is refused; who accepted the loss may go on."""
    lay(tmp_path, ("lost", "tail", "none", "ok"))
    path = tmp_path / "ledger.db"
    with pytest.raises(LedgerUntrusted, match="no beginning"):
        rebuilt(path)
    assert rebuilt(path, accept_loss=True).is_tail
    with opened(path) as ledger:
        if not accept_loss:
            with ledger.file.write() as connection:
                connection.execute("DELETE FROM meta WHERE key = 'loss_accepted'")
            with pytest.raises(LedgerUntrusted, match="lost their beginning") as caught:
                ledger.streams.register([declare()])
            assert named_in(caught.value.hint) == []
            return
        (stream,) = ledger.streams.register([declare()]).values()
        assert (stream.identity, stream.workspace) == (declare().identity, declare().workspace)


def test_beside_a_sound_ledger_a_tail_is_written_anew_by_a_plain_start(tmp_path: Path) -> None:
    lay(tmp_path, ("ok", "tail", "none", "ok"))
    with pytest.raises(LedgerUntrusted, match="is sound") as caught:
        rebuilt(tmp_path / "ledger.db")
    assert named_in(caught.value.hint) == [["once"]]
    with Ledger(tmp_path / "ledger.db", own=True) as ledger:
        assert [each.why for each in ledger.receipts.repairs] == ["no beginning"]
