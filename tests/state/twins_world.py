"""A world of records that may be the same person: what the server holds, and who may still be sent.

It knows none of the rules but the promises: nobody is created who is there already as far as the ledger could know.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from state.diagram import Version
from state.ledger import Ledger
from state.matching.foreign import Foreign
from state.rows import Claim, Decision, MatchKind, Reading, Stored, StreamRow, Verdict
from sync.polling.judge import Rules, judge
from tests.state.ledger_tools import RULE, WORKSPACE, FakeClock, declare, put_new, rows, unsynced

ON: tuple[MatchKind, ...] = ("email",)
STREAMS: dict[str, tuple[MatchKind, ...]] = {"crm": ON, "erp": ON, "plain": ()}
KEYS = ("crm/a", "crm/b", "crm/c", "erp/a", "erp/b", "plain/a")
MERGING = ("a", "b", "c", "never read")
"""Records of the stream `crm`; one of them only ever appears as what others were merged into."""
VALUES = ("x", "y", "z")


@dataclass(slots=True)
class Truth:
    """One record as its source has it now, and what the ledger was last shown of it."""

    values: frozenset[str] = frozenset("x")
    wanted: bool = True
    merged_into: str | None = None
    ticks: int = 0
    shown: frozenset[str] | None = None
    shown_fit: str = ""
    ever_shown: set[str] = field(default_factory=set)
    judged_at: int = -1
    judged_on: tuple[MatchKind, ...] = ()
    barred: bool = False

    @property
    def fit(self) -> str:
        return "deleted" if self.merged_into else "eligible" if self.wanted else "filtered"


@dataclass(slots=True)
class Sent:
    key: str
    values: frozenset[str]


@dataclass(slots=True)
class Open:
    claim: Claim
    leads: list[Sent]
    landed: bool = False


_MISPLACED_VALUES = """
SELECT r.id FROM records r JOIN streams s ON s.id = r.stream
WHERE CASE s.indexed WHEN 'yes' THEN r.unindexed IS NOT NULL
  ELSE EXISTS (SELECT 1 FROM match_values v WHERE v.record = r.key) END
"""


class World:
    def __init__(self, folder: Path, *, unmatched: bool = False) -> None:
        """With `unmatched` no stream is matched before one is switched on."""
        self.ledger = Ledger(put_new(folder / "ledger.db"), own=True, clock=FakeClock(), connector=unsynced)
        self.match_on: dict[str, tuple[MatchKind, ...]] = dict.fromkeys(STREAMS, ()) if unmatched else dict(STREAMS)
        self.truths: dict[str, Truth] = {key: Truth() for key in KEYS}
        self.merges: set[frozenset[str]] = set()
        self.imported: set[str] = set()
        self.ever_imported: set[str] = set()
        self.server: list[Sent] = []
        self.open: dict[str, Open] = {}
        self.doubt: dict[str, Open] = {}
        self.time = 0
        self.register()

    def register(self) -> None:
        declared = [declare(name, match_on=kinds) for name, kinds in self.match_on.items()]
        self.streams: dict[str, StreamRow] = self.ledger.streams.register(declared)
        self.names = {row.id: name for name, row in self.streams.items()}

    def switch(self, stream: str) -> None:
        self.match_on[stream] = () if self.match_on[stream] else ON
        self.register()

    # -- the source and the poll

    def change(self, key: str, *, values: frozenset[str] | None = None, wanted: bool | None = None) -> None:
        truth = self.truths[key]
        truth.ticks += 1
        truth.values = truth.values if values is None else values
        truth.wanted = truth.wanted if wanted is None else wanted
        truth.merged_into = None  # it is there again

    def merge(self, loser: str, survivor: str) -> None:
        truth = self.truths[f"crm/{loser}"]
        truth.ticks += 1
        truth.merged_into = survivor

    def read(self, *keys: str) -> None:
        for stream in sorted({key.split("/")[0] for key in keys}):
            chosen = [key for key in keys if key.startswith(stream + "/")]
            self._commit(stream, {key: self._reading(key) for key in chosen})

    def _reading(self, key: str, kept: bytes | None = None) -> Reading:
        stream, id_ = key.split("/")
        truth, row = self.truths[key], self.streams[stream]
        modified = f"2026-01-01T00:00:00.{truth.ticks:06d}Z"
        if kept is None and truth.merged_into:
            gone = Version("deleted", modified, row.mapping, None, None)
            return Reading(id_, gone, merged_into=truth.merged_into)
        values = sorted(truth.values) if kept is None else json.loads(kept)
        source = json.dumps(values).encode()
        if kept is None and not truth.wanted:
            return Reading(id_, Version("filtered", modified, row.mapping, source, None))
        version = Version("eligible", modified, row.mapping, source, source)
        hashes: list[tuple[MatchKind, bytes]] = [("email", value.encode()) for value in values]
        payload = json.dumps({"email": values}).encode()
        return Reading(id_, version, source, payload, values=hashes)

    def _commit(self, stream: str, readings: dict[str, Reading]) -> None:
        row, judged = self.streams[stream], set()
        self.time += 1

        def notice(reading: Reading, stored: Stored | None) -> Decision | None:
            change = judge(reading, stored, Rules("hold"))
            if change is not None:
                judged.add(f"{stream}/{reading.id}")
            return change

        poll = self.ledger.streams.poll_started(row.id, "poll")
        counts = self.ledger.records.commit(row.id, list(readings.values()), notice, poll=poll)
        counts.pop("unqueued", None)
        assert counts.total() == len(readings)
        for key, reading in readings.items():
            truth = self.truths[key]
            truth.shown_fit = reading.version.fit
            if reading.merged_into:
                self.merges.add(frozenset({reading.id, reading.merged_into}))
            if reading.version.fit == "eligible":
                truth.shown = frozenset(json.loads(reading.payload)["email"]) if reading.payload else frozenset()
                truth.ever_shown |= truth.shown
            if key in judged and not self._is_on_the_wire(key):
                truth.judged_at, truth.judged_on = self.time, self.match_on[stream]

    def _is_on_the_wire(self, key: str) -> bool:
        return any(lead.key == key for batch in (*self.open.values(), *self.doubt.values()) for lead in batch.leads)

    def judge_again(self) -> bool:
        """As at the turn of each stream; whether anything was to do."""
        some = False
        for stream, row in self.streams.items():
            for _ in range(50):
                due = self.ledger.records.to_judge_again(row.id, row.mapping, 2)
                if not due:
                    break
                some = True
                readings = {f"{stream}/{id_}": self._reading(f"{stream}/{id_}", kept) for id_, kept, _ in due}
                self._commit(stream, readings)
            else:
                raise AssertionError("there is no end to what is to be judged again")
        return some

    def keep(self, value: str) -> None:
        Foreign(self.ledger.file).add(WORKSPACE, [("email", value.encode())])
        self.imported.add(value)
        self.ever_imported.add(value)

    def forget(self, value: str) -> None:
        Foreign(self.ledger.file).remove(WORKSPACE, [("email", value.encode())])
        self.imported.discard(value)

    # -- sending

    def claim(self, most: int) -> Open | None:
        got = self.ledger.outbox.claim(WORKSPACE, RULE, most=most, linger=0, timeout=60)
        if not isinstance(got, Claim):
            return None
        leads = [
            Sent(f"{self.names[each.stream]}/{each.id}", frozenset(json.loads(each.payload)["email"]))
            for each in got.deliveries
        ]
        taken = self._may_exist()
        for lead in leads:
            self._check_sent(lead, taken)
            taken.append(lead)
        self.open[got.batch] = Open(got, leads)
        return self.open[got.batch]

    def _may_exist(self) -> list[Sent]:
        waiting = [*self.open.values(), *self.doubt.values()]
        return [*self.server, *(lead for batch in waiting for lead in batch.leads)]

    def _check_sent(self, lead: Sent, taken: list[Sent]) -> None:
        truth = self.truths[lead.key]
        assert not any(other.key == lead.key for other in taken), f"{lead.key} is sent twice"
        person = self._person(lead.key)
        assert not any(other.key in person for other in taken), f"{lead.key} was merged with one that may exist"
        assert not lead.values & self.imported, f"{lead.key} was imported as existing"
        if not self.match_on[lead.key.split("/")[0]]:
            return
        for other in taken:
            rival = self.truths[other.key]
            jumped_in = truth.judged_on and not rival.judged_on and rival.judged_at > truth.judged_at
            assert jumped_in or not lead.values & other.values, f"{lead.key} is the same lead as {other.key}"

    def _person(self, key: str) -> set[str]:
        """The others that the ledger was told are the same person."""
        stream, id_ = key.split("/")
        found = {id_} if stream == "crm" else set()
        while more := {each for pair in self.merges if pair & found for each in pair} - found:
            found |= more
        return {f"crm/{each}" for each in found} - {key}

    def conclude(self, name: str, verdict: Verdict, *, landed: bool = False) -> None:
        batch = self.open.pop(name)
        self.ledger.verdicts.conclude(name, verdict, slot=batch.claim.slot)
        if verdict == "created":
            self.server += batch.leads
        if verdict == "in_doubt":
            batch.landed = landed
            self.doubt[name] = batch
        if verdict == "rejected" and len(batch.leads) == 1:
            self.truths[batch.leads[0].key].barred = True

    def resolve(self, name: str) -> None:
        batch = self.doubt.pop(name)
        self.ledger.verdicts.resolve(name, landed=batch.landed, note="looked")
        if batch.landed:
            self.server += batch.leads

    # -- what must hold

    def check(self) -> None:
        """Every duplicate is one of a record that stands for its lead, or one of the two is to be judged again. Match
        values are in the index or in their records' rows, never in both."""
        assert rows(self.ledger, _MISPLACED_VALUES) == []
        by_key = {row["key"]: row for row in rows(self.ledger)}
        for row in by_key.values():
            if row["state"] != "duplicate" or row["again"]:
                continue
            twin = by_key[row["twin"]]
            assert twin["lead_exists"] != "no" or twin["state"] in {"pending", "held"}, row["id"]
            if not twin["again"]:
                self._check_same(row, twin)

    def _check_same(self, row: dict[str, Any], twin: dict[str, Any]) -> None:
        key, other = (f"{self.names[each['stream']]}/{each['id']}" for each in (row, twin))
        mine, its = self.truths[key], self.truths[other]
        bears = its.ever_shown if twin["lead_exists"] != "no" else set(its.shown or ())
        assert other in self._person(key) or (mine.shown or set()) & bears, f"{key} has nothing in common with {other}"

    def drain(self) -> None:
        """Everything is settled truthfully and sent; then everybody who is wanted is there, once."""
        for name in list(self.open):
            self.conclude(name, "created")
        for _ in range(60):
            for name in list(self.doubt):
                self.resolve(name)
            some = self.judge_again()
            batch = self.claim(100)
            if batch:
                self.conclude(batch.claim.batch, "created")
            elif not some:
                break
        else:
            raise AssertionError("the queue does not drain")
        self.check()
        for row in rows(self.ledger):
            self._check_end(f"{self.names[row['stream']]}/{row['id']}", row)

    def _check_end(self, key: str, row: dict[str, object]) -> None:
        truth = self.truths[key]
        there = {lead.key for lead in self.server}
        if truth.shown_fit != "eligible":
            without_a_lead = {"deleted": "withdrawn", "filtered": "filtered"}[truth.shown_fit]
            with_a_lead = "delivered" if row["base_batch"] else "known"
            assert row["state"] == (with_a_lead if row["lead_exists"] == "yes" else without_a_lead)
            return
        match row["state"]:
            case "delivered":
                assert key in there
            case "known":
                assert self._person(key) & there or truth.ever_shown & self.ever_imported or self._kin_is_known(key)
            case "quarantined":
                assert truth.barred
            case "duplicate":
                (twin,) = rows(self.ledger, "SELECT * FROM records WHERE key = ?", row["twin"])
                assert twin["lead_exists"] == "yes"
                other = f"{self.names[twin['stream']]}/{twin['id']}"
                assert other not in self._person(key), f"{key} is known by the lead of one that it was merged with"
            case state:
                raise AssertionError(f"{key} ends as {state}")

    def _kin_is_known(self, key: str) -> bool:
        ids = [each.split("/")[1] for each in self._person(key)]
        found = rows(
            self.ledger, "SELECT * FROM records WHERE lead_exists = 'yes' AND stream = ?", self.streams["crm"].id
        )
        return any(each["id"] in ids for each in found)
