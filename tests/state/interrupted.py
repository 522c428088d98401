"""A small program around a real ledger that can be cut off before and after every statement, commit and send."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from state.disk import SystemDisk
from state.ledger import Ledger
from state.rows import Claim, LaneMove, Reading, Verdict
from state.slots import RateLimit
from sync.shared.errors import LedgerError, SyncError
from tests.state.ledger_tools import WORKSPACE, FakeClock, commit, declare, reading, rows

RULE = RateLimit(b"key", 1000, 60.0)
FIRST, SECOND = "2026-01-01T00:00:00.000000Z", "2026-02-02T00:00:00.000000Z"

PAGES: tuple[tuple[tuple[str, str, str], ...], ...] = (
    (("a", "1", FIRST), ("b", "1", FIRST), ("bad", "1", FIRST), ("busy", "1", FIRST), ("plan", "1", FIRST)),
    (("a", "2", SECOND), ("slow-landed", "1", FIRST), ("c", "1", FIRST)),
    (("b", "2", SECOND), ("c", "1", SECOND), ("slow-lost", "1", FIRST), ("d", "1", FIRST)),
)
"""What the source shows, page by page: id, content, modified. In each stream."""
WANTED = {"a": "2", "b": "2", "busy": "1", "plan": "1", "slow-landed": "1", "slow-lost": "1", "c": "1", "d": "1"}
STREAMS = {"hold": "hold", "resend": "resend"}


class Killed(BaseException):
    """The process ended here, as far as the ledger can tell."""


class Cut(SystemDisk):
    """Counts every step; the `at`-th one kills. Once dead, nothing reaches the file any more."""

    def __init__(self, at: int = 0, *, after: bool = False, die: Callable[[], None] | None = None) -> None:
        self.at, self.after, self.die = at, after, die
        self.steps: list[str] = []
        self.is_dead = False
        self.connections: list[sqlite3.Connection] = []
        self.ledger: Ledger | None = None

    def step(self, name: str, do: Callable[[], Any]) -> Any:
        if self.is_dead:
            raise Killed
        self.steps.append(name)
        here = len(self.steps) == self.at
        if here and not self.after:
            self._kill()
        done = do()
        if here:
            self._kill()
        return done

    def _kill(self) -> None:
        if self.die:
            self.die()
        self.is_dead = True
        raise Killed

    def connect(self, path: Path) -> sqlite3.Connection:
        cut = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                if sql.startswith("PRAGMA synchronous"):
                    sql = "PRAGMA synchronous = OFF"
                cursor: sqlite3.Cursor = cut.step(sql, lambda: sqlite3.Connection.execute(self, sql, parameters))
                return cursor

            def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
                cursor: sqlite3.Cursor = cut.step(sql, lambda: sqlite3.Connection.executemany(self, sql, parameters))
                return cursor

        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Connection)
        self.connections.append(connection)
        return connection

    def write(self, descriptor: int, data: bytes) -> int:
        written: int = self.step("write receipt", lambda: os.write(descriptor, data))
        return written

    def sync(self, descriptor: int) -> None:
        """Counted, not done: this is about order, not about the disk."""
        del descriptor
        self.step("sync receipt", lambda: None)

    def bury(self) -> None:
        """What the kernel does for a dead process: its files are closed, its locks are gone."""
        for connection in self.connections:
            connection.close()
        if self.ledger:
            with contextlib.suppress(SyncError, Killed):
                self.ledger.close()


class Outside:
    """The server and its truth. `log` makes it survive the process."""

    def __init__(self, log: Path | None = None) -> None:
        self.created: list[str] = []
        self.sent: dict[str, Verdict] = {}
        self.landed: set[str] = set()
        self.met: Counter[str] = Counter()
        self._log = log
        if log and log.exists():
            for line in log.read_text().splitlines():
                self._apply(*json.loads(line))

    def send(self, claim: Claim) -> Verdict:
        """One request; what comes of it depends on what is in it, and on whether the server met it before."""
        leads = [json.loads(each.payload)["name"] + f" of {each.stream}" for each in claim.deliveries]
        verdict, lands = self._decide(leads)
        event = (claim.batch, leads, verdict, lands)
        if self._log:
            descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(descriptor, (json.dumps(event) + "\n").encode())
            os.close(descriptor)
        self._apply(*event)
        return verdict

    def _decide(self, leads: list[str]) -> tuple[Verdict, bool]:
        words = {lead.split()[0]: lead for lead in leads}
        if "bad" in words:
            return "rejected", False
        refusals: tuple[tuple[str, Verdict], ...] = (("busy", "refused"), ("plan", "paused"))
        for word, verdict in refusals:
            if word in words and not self.met[words[word]]:
                return verdict, False
        for word in ("slow-landed", "slow-lost"):
            if word in words and not self.met[words[word]]:
                return "in_doubt", word == "slow-landed"
        return "created", True

    def _apply(self, batch: str, leads: list[str], verdict: Verdict, lands: bool) -> None:
        assert batch not in self.sent, "a batch is sent once"
        self.sent[batch] = verdict
        if verdict != "rejected":
            self.met.update(leads)
        if lands:
            self.landed.add(batch)
            self.created += leads


def program(path: Path, outside: Outside, cut: Cut, *, receipts_copy: Path | None = None) -> Ledger:
    """Opens, recovers, polls, delivers and settles until nothing is left to do. The caller closes."""
    ledger = cut.ledger = Ledger(
        path, own=True, clock=FakeClock(), connector=cut.connect, disk=cut, receipts_copy=receipts_copy
    )
    streams = ledger.streams.register([declare("hold", on_change="hold"), declare("resend", on_change="resend")])
    ledger.recover()
    for number in range(len(PAGES)):
        open_claim = _claim(ledger)
        for name in STREAMS:
            _poll(ledger, streams[name], number)
        if open_claim:  # it dawdled while pages were read
            _post(ledger, outside, cut, open_claim)
        _deliver(ledger, outside, cut)
    _settle(ledger, outside, cut)
    _deliver(ledger, outside, cut)
    return ledger


def _poll(ledger: Ledger, stream: Any, number: int) -> None:
    if ledger.streams.lanes(stream.id).get("live", 0) > number:
        return
    page: list[Reading] = [
        reading(id_, content, mapping=stream.mapping, modified=modified) for id_, content, modified in PAGES[number]
    ]
    commit(ledger, stream, page, lane=LaneMove("live", number + 1))


def _claim(ledger: Ledger) -> Claim | None:
    got = ledger.outbox.claim(WORKSPACE, RULE, most=4, linger=0, timeout=60)
    return got if isinstance(got, Claim) else None


def _post(ledger: Ledger, outside: Outside, cut: Cut, claim: Claim) -> None:
    ledger.journal.intent(claim.batch)
    verdict = cut.step("send", lambda: outside.send(claim))
    try:
        ledger.journal.verdict(claim.batch, verdict, cause=verdict)
    except LedgerError:  # as the sender does it: the ledger alone may still keep what was answered
        with contextlib.suppress(LedgerError):
            ledger.verdicts.conclude(claim.batch, verdict, slot=claim.slot, status=None, cause=verdict)
        raise
    ledger.verdicts.conclude(claim.batch, verdict, slot=claim.slot, status=None, cause=verdict)


def _deliver(ledger: Ledger, outside: Outside, cut: Cut) -> None:
    for _ in range(60):
        claim = _claim(ledger)
        if claim is None:
            return
        _post(ledger, outside, cut, claim)
    raise AssertionError("the queue does not drain")


def _settle(ledger: Ledger, outside: Outside, cut: Cut) -> None:
    """A person looks at the server and tells the truth; then what did not land goes out."""
    for _ in range(5):
        doubt = ledger.verdicts.in_doubt()
        if not doubt:
            return
        for each in doubt:
            batch = str(each["name"])
            ledger.verdicts.resolve(batch, landed=batch in outside.landed, note="looked")
        _deliver(ledger, outside, cut)
    raise AssertionError("the doubt does not end")


def check_cut_off(
    path: Path, outside: Outside, *, receipts_copy: Path | None = None, answers_known: bool = False
) -> None:
    """Just after the kill, before anybody recovers: every request is known, and what is unknown says so. With
    `answers_known` the process saw each answer, so that nothing is."""
    if not path.exists():
        assert not outside.sent
        return
    with Ledger(path, own=True, clock=FakeClock(), receipts_copy=receipts_copy) as ledger:
        known = {row["name"]: row["state"] for row in rows(ledger, "SELECT * FROM batches")}
        for batch, verdict in outside.sent.items():
            assert known[batch] in {"sending", verdict, "landed", "absent"}, "each request was in the ledger first"
        never_sent = [batch for batch in known if batch not in outside.sent]
        assert len(never_sent) <= 2
        assert all(known[batch] == "sending" for batch in never_sent)
        in_doubt_before = {batch for batch, state in known.items() if state == "in_doubt"}
        recovered = {each.conclusion.batch: each.outcome for each in ledger.recover()}
        assert {batch for batch, state in known.items() if state == "sending"} == set(recovered)
        for batch, outcome in recovered.items():
            surely = {outside.sent[batch]} if batch in outside.sent else {"refused"}
            assert outcome in surely | (set() if answers_known else {"in_doubt"}), (
                "what is not known is in doubt, what is known is true"
            )
        now_in_doubt = {batch for batch, outcome in recovered.items() if outcome == "in_doubt"}
        assert {each["name"] for each in ledger.verdicts.in_doubt()} == in_doubt_before | now_in_doubt
        assert not rows(ledger, "SELECT * FROM records WHERE state = 'sending'")
        assert len(now_in_doubt) <= 1, "one request at a time"


def check_end(ledger: Ledger, outside: Outside) -> None:
    """The server against the source."""
    numbers = {row.name: row.id for row in ledger.streams.all().values()}
    created = Counter(outside.created)
    assert max(created.values()) == 1, "no version of a lead is there twice"
    for stream in STREAMS:
        for id_, content in WANTED.items():
            mine = {lead for lead in created if lead.startswith(id_ + " ") and lead.endswith(f"of {numbers[stream]}")}
            latest = f"{id_} {content} of {numbers[stream]}"
            (row,) = rows(ledger, "SELECT * FROM records WHERE id = ? AND stream = ?", id_, numbers[stream])
            assert (row["state"], row["lead_exists"]) == ("delivered", "yes")
            if stream == "hold":
                assert len(mine) == 1
                assert bool(row["drift"]) == (latest not in mine)
            else:
                assert latest in mine
                assert len(mine) <= int(content)
        (bad,) = rows(ledger, "SELECT * FROM records WHERE id = 'bad' AND stream = ?", numbers[stream])
        assert (bad["state"], bad["lead_exists"]) == ("quarantined", "no")
    assert not [lead for lead in created if lead.startswith("bad")]
    assert len(rows(ledger)) == len(STREAMS) * (len(WANTED) + 1)
