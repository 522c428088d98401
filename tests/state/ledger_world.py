"""A world around a real ledger: the source's records, what the server really holds, and what may be believed of it.

It knows none of the rules but the promises: what is on the server twice is there because somebody asked for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from ledger_tools import WORKSPACE, FakeClock, UnsyncedDisk, declare, rows, unsynced

from state.diagram import STATES
from state.ledger import Ledger
from state.rows import Claim, NoRoom, NothingToSend, OnChange, StreamRow, Verdict
from state.slots import GRACE_SECONDS, Rule
from sync.mapping.identity import Identity
from sync.mapping.outcome import Filtered, Lead, Note, Unfit
from sync.polling.judge import Rules, judge
from sync.polling.readings import read_record
from sync.words import Json, Record

KEYS = ("hold/a", "hold/b", "resend/a", "resend/b", "resend/undated")
LIMIT = Rule(b"key", 2, 10.0)
TIMEOUT = 5.0


@dataclass(slots=True)
class Truth:
    """One record: as its source has it now, what the ledger was last shown, and what is true of its lead."""

    stream: str
    value: int = 0
    ticks: int = 0
    wanted: bool = True
    usable: bool = True
    deleted: bool = False
    shown: tuple[str, str] | None = None
    """The mapping's version and the record's content when the ledger last read it."""
    shown_fit: str = ""
    created: list[int] = field(default_factory=list)
    """The values that the server was given, one for each lead that stands there."""
    believed: str = "no"
    batch: str | None = None
    changed: bool = False
    """A change was read, comparable under one mapping, that no lead stands for yet."""
    barred: tuple[str, str] | None = None
    """What the server rejected alone."""
    base: tuple[str, int] | None = None
    """The mapping's version and the value that the lead stands for; None once another mapping has read the record."""

    def record(self, id_: str) -> Record:
        modified = None if id_ == "undated" else f"2026-01-01T00:00:{self.ticks // 1000:02d}.{self.ticks % 1000:06d}Z"
        if self.deleted:
            return Record(id_, {}, modified, deleted=True)
        return Record(id_, {"v": self.value, "wanted": self.wanted, "usable": self.usable, "id": id_}, modified)

    @property
    def fit(self) -> str:
        if self.deleted:
            return "deleted"
        return "filtered" if not self.wanted else "eligible" if self.usable else "unfit"


@dataclass(frozen=True, slots=True)
class Style:
    """A mapping: another version makes other leads of the same records."""

    version: str

    def project(self, data: Mapping[str, Json]) -> dict[str, Json]:
        return dict(data)

    def identities(self, document: Mapping[str, Json]) -> list[Identity]:
        return []

    def apply(self, data: Mapping[str, Json]) -> Filtered | Lead | Unfit:
        if not data["wanted"]:
            return Filtered()
        if not data["usable"]:
            return Unfit((Note("name", "is missing"),))
        document = {"name": f"{data['id']} {data['v']}", "labels": [self.version], "v": data["v"]}
        return Lead(orjson.dumps(document, option=orjson.OPT_SORT_KEYS), (), document)


@dataclass(slots=True)
class OpenBatch:
    claim: Claim
    keys: tuple[str, ...]
    values: tuple[int, ...]
    changed: tuple[bool, ...]
    shown: tuple[tuple[str, str] | None, ...]
    claimed_at: float
    left: bool = False
    """Its intent has its receipt, so its request may have begun."""
    told: Verdict | None = None
    """The verdict that has its receipt."""


class World:
    """`true_time` is the time that no clock of the machine shows."""

    def __init__(self, folder: Path, *, resend_unknown: bool = False) -> None:
        self.path = folder / "ledger.db"
        self.clock = FakeClock()
        self.true_time = 0.0
        self.arrivals: list[float] = []
        self.resend_unknown = resend_unknown
        self.truths = {key: Truth(key.split("/")[0]) for key in KEYS}
        self.versions = {"hold": "m1", "resend": "m1"}
        self.open: dict[str, OpenBatch] = {}
        self.doubt: dict[str, tuple[OpenBatch, bool]] = {}
        self.ticks = 0
        self.start()

    def start(self) -> None:
        self.ledger = Ledger(self.path, own=True, clock=self.clock, connector=unsynced, disk=UnsyncedDisk())
        self.register()

    def register(self) -> None:
        registered = self.ledger.streams.register(
            [
                declare("hold", on_change="hold", mapping=self.versions["hold"]),
                declare("resend", on_change="resend", mapping=self.versions["resend"]),
            ]
        )
        self.streams: dict[str, StreamRow] = registered
        self.names = {row.id: name for name, row in registered.items()}

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.true_time += seconds

    # -- reading

    def change(self, key: str, what: str) -> None:
        truth = self.truths[key]
        self.ticks += 1
        truth.ticks = self.ticks
        match what:
            case "back":
                truth.value = 0
            case "on":
                truth.value += 1
            case "filtered":
                truth.wanted = not truth.wanted
            case "unfit":
                truth.usable = not truth.usable
            case "deleted":
                truth.deleted = not truth.deleted

    def read(self, *keys: str, rules: Rules | None = None) -> None:
        """One page with these records, of one stream each."""
        for stream in sorted({key.split("/")[0] for key in keys}):
            chosen = [key for key in keys if key.startswith(stream + "/")]
            self._commit(stream, [self.truths[key].record(key.split("/")[1]) for key in chosen])
            for key in chosen:
                self._shown(self.truths[key])

    def _shown(self, truth: Truth) -> None:
        content = "" if truth.deleted else json.dumps([truth.value, truth.wanted, truth.usable])
        now = (self.versions[truth.stream], content)
        if truth.shown is not None and truth.shown[0] == now[0] and truth.shown[1] != now[1]:
            truth.changed = True
        truth.shown, truth.shown_fit = now, truth.fit
        self._compare_no_more(truth)

    def _compare_no_more(self, truth: Truth) -> None:
        if truth.base is not None and truth.shown is not None and truth.base[0] != truth.shown[0]:
            truth.base = None

    def _commit(self, stream: str, records: list[Record]) -> None:
        row = self.streams[stream]
        known = self.ledger.records.look_up(row.id, [record.id for record in records])
        style = Style(self.versions[stream])
        reads = [read_record(each, style, row.mapping, self.ledger.hasher, known.get(each.id)) for each in records]
        on_change: OnChange = row.on_change
        counts = self.ledger.records.commit(
            row.id,
            [read.reading for read in reads],
            lambda reading, stored: judge(reading, stored, Rules(on_change)),
            poll=self.ledger.streams.poll_started(row.id, "poll"),
        )
        counts.pop("unqueued", None)
        assert counts.total() == len(records)

    def edit_mapping(self, stream: str) -> None:
        self.versions[stream] = {"m1": "m2", "m2": "m3", "m3": "m1"}[self.versions[stream]]
        self.register()

    def remap(self) -> None:
        """As at the turn of a stream: from the values that were kept, else from the source."""
        for stream, row in self.streams.items():
            while unsent := self.ledger.records.to_judge_again(row.id, row.mapping, 2):
                for id_, source, modified in unsent:
                    key = f"{stream}/{id_}"
                    truth = self.truths[key]
                    if source is None:
                        self.read(key)
                        continue
                    self._commit(stream, [Record(id_, orjson.loads(source), modified)])
                    assert truth.shown is not None
                    truth.shown = (self.versions[stream], truth.shown[1])
                    self._compare_no_more(truth)

    # -- sending

    def claim(self, most: int, linger: float = 0.0) -> NoRoom | NothingToSend | OpenBatch:
        got = self.ledger.outbox.claim(WORKSPACE, LIMIT, most=most, linger=linger, timeout=TIMEOUT)
        if not isinstance(got, Claim):
            return got
        assert 1 <= len(got.deliveries) <= most
        keys = tuple(f"{self.names[each.stream]}/{each.id}" for each in got.deliveries)
        assert len(set(keys)) == len(keys)
        payloads = [orjson.loads(each.payload) for each in got.deliveries]
        values = tuple(int(payload["v"]) for payload in payloads)
        for key, payload in zip(keys, payloads, strict=True):
            assert payload["labels"] == [self.versions[key.split("/")[0]]], f"{key} goes out as an old mapping had it"
        for key, delivery in zip(keys, got.deliveries, strict=True):
            truth = self.truths[key]
            assert truth.batch is None, f"{key} is claimed while it is in {truth.batch}"
            assert delivery.resend == (truth.believed == "yes")
            if truth.believed == "yes":
                assert truth.stream == "resend", f"{key} is sent again although its stream holds changes"
                assert truth.changed, f"{key} is sent again although nothing comparable changed"
        changed = tuple(self.truths[key].changed for key in keys)
        shown = tuple(self.truths[key].shown for key in keys)
        batch = OpenBatch(got, keys, values, changed, shown, self.true_time)
        for key in keys:
            truth = self.truths[key]
            truth.batch, truth.changed = got.batch, False
            truth.believed = "yes" if truth.believed == "yes" else "maybe"
        self.open[got.batch] = batch
        return batch

    def leave(self, name: str) -> None:
        """The request may begin from now on."""
        if not self.open[name].left:
            self.ledger.journal.intent(name)
            self.open[name].left = True

    def tell(self, name: str, verdict: Verdict) -> None:
        """The verdict gets its receipt; the ledger is not told yet."""
        self.leave(name)
        given_up = verdict == "in_doubt" and self.resend_unknown
        self.ledger.journal.verdict(name, "absent" if given_up else verdict, cause="as the world has it")
        self.open[name].told = verdict

    def conclude(self, name: str, verdict: Verdict, *, landed: bool = False, late: bool = False) -> None:
        self.tell(name, verdict)
        batch = self.open.pop(name)
        if self.clock.boot() > batch.claim.deadline:
            late = False  # no client writes anything after the deadline
        self._arrive(batch, late=late, lingers=late and verdict == "in_doubt")
        self.ledger.verdicts.conclude(
            name,
            verdict,
            slot=batch.claim.slot,
            cause="as the world has it",
            on_unknown="resend" if self.resend_unknown else "hold",
        )
        if verdict == "created" or (verdict == "in_doubt" and landed):
            self._create(batch)
        self._believe(name, batch, verdict, landed=landed)

    def _arrive(self, batch: OpenBatch, *, late: bool, lingers: bool = False) -> None:
        """A request may reach the server at any moment until its end; one that was given up, a while after that."""
        self.arrivals.append(self.true_time + lingers * (GRACE_SECONDS - 0.001) if late else batch.claimed_at)
        times = sorted(self.arrivals)
        for first, last in zip(times, times[LIMIT.requests :], strict=False):
            assert last - first >= LIMIT.per, f"{LIMIT.requests + 1} requests within {last - first} s"

    def _create(self, batch: OpenBatch) -> None:
        for key, value in zip(batch.keys, batch.values, strict=True):
            self.truths[key].created.append(value)

    def _believe(self, name: str, batch: OpenBatch, verdict: Verdict, *, landed: bool) -> None:
        if verdict == "in_doubt" and not self.resend_unknown:
            self.doubt[name] = (batch, landed)
            return
        sent = zip(batch.keys, batch.changed, batch.shown, batch.values, strict=True)
        for key, was_changed, shown, value in sent:
            truth = self.truths[key]
            truth.batch = None
            if verdict == "created":
                truth.believed = "yes"
                truth.base = (shown[0], value) if shown else None
                self._compare_no_more(truth)
                continue
            truth.changed |= was_changed
            truth.believed = "yes" if truth.believed == "yes" else "no"
            if verdict == "rejected" and len(batch.keys) == 1:
                truth.barred = shown

    def resolve(self, name: str) -> None:
        """A person looks at the server and tells the truth."""
        batch, landed = self.doubt.pop(name)
        self.ledger.verdicts.resolve(name, landed=landed, note="looked")
        self._believe(name, batch, "created" if landed else "refused", landed=landed)

    def crash(self, landed: Mapping[str, bool], *, late: bool = False) -> None:
        """The process ends without a word; the next one recovers."""
        self.ledger.close()
        self.start()
        self.recover(landed, late=late)

    def recover(self, landed: Mapping[str, bool], *, late: bool = False) -> None:
        for batch in self.open.values():
            if batch.left:
                self._arrive(batch, late=late and self.clock.boot() <= batch.claim.deadline)
        recovered = self.ledger.recover(lambda _: "resend" if self.resend_unknown else "hold")
        assert {each.conclusion.batch for each in recovered} == set(self.open)
        for name, batch in self.open.items():
            verdict: Verdict = (batch.told or "in_doubt") if batch.left else "refused"
            arrived = verdict == "created" or (verdict == "in_doubt" and landed.get(name, False))
            if arrived:
                self._create(batch)
            self._believe(name, batch, verdict, landed=arrived)
        self.open = {}

    # -- what must hold

    def check(self) -> None:
        found = {f"{self.names[row['stream']]}/{row['id']}": row for row in rows(self.ledger)}
        assert set(found) == {key for key, truth in self.truths.items() if truth.shown is not None}
        assert sum(self.ledger.records.counts().values()) == len(found)
        for key, row in found.items():
            truth = self.truths[key]
            assert row["state"] in STATES
            assert (row["lead_exists"], row["batch"]) == (truth.believed, truth.batch), key
            self._check_state(key, truth, row)
        doubtful = {str(each["name"]): each["open"] for each in self.ledger.verdicts.in_doubt()}
        assert doubtful == {name: len(batch.keys) for name, (batch, _) in self.doubt.items()}

    def _check_state(self, key: str, truth: Truth, row: Mapping[str, object]) -> None:
        state = row["state"]
        if truth.batch is not None:
            assert state == ("in_doubt" if truth.batch in self.doubt else "sending"), key
        elif truth.shown_fit in {"filtered", "deleted"}:
            assert state == {"filtered": "filtered", "deleted": "withdrawn"}[truth.shown_fit], key
        elif truth.believed == "yes":
            allowed = {"delivered"} if truth.stream == "hold" else {"delivered", "pending", "quarantined"}
            assert state in allowed, key
            self._check_drift(key, truth, row)
        elif truth.shown_fit == "unfit":
            assert state == "quarantined", key
        else:
            assert state == ("quarantined" if truth.barred == truth.shown else "pending"), key

    def _check_drift(self, key: str, truth: Truth, row: Mapping[str, object]) -> None:
        """Where one mapping has read all since the lead was created, its value alone decides."""
        if truth.base is None or truth.shown_fit != "eligible" or truth.shown is None:
            return
        moved = json.loads(truth.shown[1])[0] != truth.base[1]
        assert row["drift"] == moved, key
        if truth.stream == "resend" and truth.barred != truth.shown:
            assert row["state"] == ("pending" if moved else "delivered"), key

    def drain(self) -> None:
        """Everything that is due goes out, everybody tells the truth; then nothing may be missing."""
        for name in list(self.open):
            self.conclude(name, "created")
        for _ in range(200):
            for name in list(self.doubt):
                self.resolve(name)
            self.remap()
            got = self.claim(100)
            if isinstance(got, OpenBatch):
                self.conclude(got.claim.batch, "created")
            elif isinstance(got, NoRoom):
                self.advance(got.seconds)
            elif got.seconds is None:
                break
        else:
            raise AssertionError("the queue does not drain")
        self.check()
        assert self.ledger.outbox.pending(WORKSPACE) == 0
        found = {f"{self.names[row['stream']]}/{row['id']}": row for row in rows(self.ledger)}
        for key, row in found.items():
            self._check_end(key, self.truths[key], row)

    def _check_end(self, key: str, truth: Truth, row: Mapping[str, object]) -> None:
        if truth.shown_fit == "eligible" and row["state"] != "quarantined":
            assert truth.created, f"{key} never reached the server"
            shown = json.loads(truth.shown[1])[0] if truth.shown else None
            if shown != truth.created[-1] and key != "resend/undated":
                assert row["drift"] == 1, f"{key} changed, and neither was it sent nor is it listed as drift"
        if truth.stream == "hold" and not self.resend_unknown:
            assert len(truth.created) <= 1, f"{key} was created {len(truth.created)} times"
