"""A world around a real ledger: the source's records, what the server really holds, and what may be believed of it.

It knows none of the rules but the promises: what is on the server twice is there because somebody asked for it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from state.diagram import STATES
from state.ledger import Ledger
from state.rows import Claim, NoRoom, NothingToSend, OnChange, StreamRow, Verdict
from state.slots import GRACE_SECONDS, RateLimit
from sync.mapping.identity import Identity
from sync.mapping.result import Filtered, Lead, Note, Unfit
from sync.polling.judge import Rules, judge, read_record
from sync.shared.words import Json, Record
from tests.state.ledger_tools import WORKSPACE, FakeClock, UnsyncedDisk, check_the_books, declare, rows, unsynced

KEYS = ("hold/a", "hold/b", "resend/a", "resend/b", "resend/undated")
LIMIT = RateLimit(b"key", 2, 10.0)
TIMEOUT = 5.0
Landed = Literal["none", "some", "all"]
"""How much of a batch the server has created, whatever became of its answer."""


@dataclass(slots=True)
class Word:
    """What a person said of a record, and what it was like when they said it (`shown` as in Truth)."""

    again: bool = False
    """It is to be judged again, and sent if it can be."""
    sent: tuple[str, str] | None = None
    """One more lead of this is wanted, whatever the stream does with changes."""
    forgotten: tuple[tuple[str, str] | None, int] | None = None
    """Nothing is to be sent of this, as it was modified then."""
    left: tuple[str, str] | None = None
    """The change to this is not to be sent."""
    held: bool = False
    by_hand: int | None = None
    """The value to which the lead was changed by hand."""
    leads: int = 0
    """How many more leads were asked for."""


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
    """What the server rejected alone, while nothing else was read."""
    base: tuple[str, int] | None = None
    """The mapping's version and the value that the lead stands for; None once another mapping has read the record."""
    word: Word = field(default_factory=Word)

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

    def fingerprinted(self, projected: dict[str, Json]) -> dict[str, Json]:
        return projected

    def project(self, data: Mapping[str, Json]) -> dict[str, Json]:
        return dict(data)

    def identities(self, document: Mapping[str, Json]) -> list[Identity]:
        return []

    def identities_of_contacts(self, document: Mapping[str, Json]) -> list[list[Identity]]:
        return []

    @property
    def needs_contacts(self) -> bool:
        return False

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
    wanted: tuple[tuple[str, str] | None, ...]
    """`Word.sent` of each record."""
    claimed_at: float
    left: bool = False
    """Its intent has its receipt, so its request may have begun."""
    told: Verdict | None = None
    """The verdict that has its receipt."""
    worded: set[int] = field(default_factory=set)

    def positions(self, landed: Landed) -> frozenset[int]:
        """Of which leads a server that works on them one by one has created so many."""
        n = len(self.keys)
        return frozenset(range({"none": 0, "some": (n + 1) // 2, "all": n}[landed]))


class World:
    """`true_time` is the time that no clock of the machine shows."""

    def __init__(self, folder: Path, *, resend_unknown: bool = False, keys: Sequence[str] = KEYS) -> None:
        self.path = folder / "ledger.db"
        self.clock = FakeClock()
        self.true_time = 0.0
        self.arrivals: list[float] = []
        self.resend_unknown = resend_unknown
        self.truths = {key: Truth(key.split("/")[0]) for key in keys}
        self.versions = {"hold": "m1", "resend": "m1"}
        self.open: dict[str, OpenBatch] = {}
        self.doubt: dict[str, tuple[OpenBatch, frozenset[int]]] = {}
        """With the positions of the leads that landed."""
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
                truth = self.truths[key]
                content = "" if truth.deleted else json.dumps([truth.value, truth.wanted, truth.usable])
                self._shown(key, content, truth.fit)

    def _shown(self, key: str, content: str, fit: str) -> None:
        truth, version = self.truths[key], self.versions[key.split("/", maxsplit=1)[0]]
        if truth.shown is not None and truth.shown[0] == version and truth.shown[1] != content:
            truth.changed = True
        truth.shown, truth.shown_fit = (version, content), fit
        self._compare_no_more(truth)
        self._words_hold(key, truth)

    def _words_hold(self, key: str, truth: Truth) -> None:
        """Which words still hold for what was just read."""
        word = truth.word
        if truth.batch is not None:
            return
        if word.again:
            word.again = word.held = False
            word.forgotten = word.left = truth.barred = None
            if truth.believed == "yes" and self.row(key)["state"] == "pending":
                word.sent = truth.shown
        if truth.barred != truth.shown:
            truth.barred = None
        if word.sent != truth.shown:
            word.sent = None
        if word.left != truth.shown:
            word.left = None
        if truth.shown_fit != "eligible":
            word.held = False
        elif word.held and truth.believed == "yes":
            state = self.row(key)["state"]
            assert state in {"held", "delivered"}, f"{key} was held"
            word.held = state == "held"
        if word.forgotten is not None and truth.shown is not None:
            before, ticks = word.forgotten
            one_mapping = before is not None and before[0] == truth.shown[0]
            moved = ticks != truth.ticks and key != "resend/undated"
            changed = before != truth.shown if one_mapping else moved
            word.forgotten = None if changed else (truth.shown, truth.ticks)

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
                    self._shown(key, truth.shown[1], truth.shown_fit)

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
            assert not truth.word.again, f"{key} is sent before it was judged again"
            assert not truth.word.held, f"{key} is sent although it is held"
            assert truth.word.forgotten is None, f"{key} is sent although it was forgotten"
            if truth.believed == "yes" and truth.word.sent is None:
                assert truth.stream == "resend", f"{key} is sent again although its stream holds changes"
                assert truth.changed or self._moved(truth), f"{key} is sent again although nothing comparable changed"
        changed = tuple(self.truths[key].changed for key in keys)
        shown = tuple(self.truths[key].shown for key in keys)
        wanted = tuple(self.truths[key].word.sent for key in keys)
        batch = OpenBatch(got, keys, values, changed, shown, wanted, self.true_time)
        for key in keys:
            truth = self.truths[key]
            truth.batch, truth.changed, truth.word.sent = got.batch, False, None
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

    def conclude(self, name: str, verdict: Verdict, *, landed: Landed = "none", late: bool = False) -> None:
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
        self._conclude(name, batch, verdict, landed)

    def _conclude(self, name: str, batch: OpenBatch, verdict: Verdict, landed: Landed) -> None:
        positions = batch.positions("all" if verdict == "created" else landed if verdict == "in_doubt" else "none")
        self._create(batch, positions)
        if verdict == "in_doubt" and not self.resend_unknown:
            self.doubt[name] = (batch, positions)
        else:
            self._believe(batch, verdict, range(len(batch.keys)))

    def _arrive(self, batch: OpenBatch, *, late: bool, lingers: bool = False) -> None:
        """A request may reach the server at any moment until its end; one that was given up, a while after that."""
        self.arrivals.append(self.true_time + lingers * (GRACE_SECONDS - 0.001) if late else batch.claimed_at)
        times = sorted(self.arrivals)
        for first, last in zip(times, times[LIMIT.requests :], strict=False):
            assert last - first >= LIMIT.per, f"{LIMIT.requests + 1} requests within {last - first} s"

    def _create(self, batch: OpenBatch, positions: Collection[int]) -> None:
        for position in sorted(positions):
            self.truths[batch.keys[position]].created.append(batch.values[position])

    def _believe(self, batch: OpenBatch, verdict: Verdict, positions: Iterable[int]) -> None:
        for position in positions:
            truth, shown = self.truths[batch.keys[position]], batch.shown[position]
            truth.batch = None
            if verdict == "created":
                truth.believed, truth.word.by_hand = "yes", None
                truth.base = (shown[0], batch.values[position]) if shown else None
                self._compare_no_more(truth)
                continue
            truth.changed |= batch.changed[position]
            truth.believed = "yes" if truth.believed == "yes" else "no"
            if truth.shown == shown:
                truth.word.sent = batch.wanted[position]
            if verdict == "rejected" and len(batch.keys) == 1 and truth.shown == shown:
                truth.barred = shown

    def resolve(self, name: str, position: int | None = None) -> None:
        """A person looks at the server and tells the truth: of one lead, or of all that still have no word."""
        batch, landed = self.doubt[name]
        open_ = [n for n in range(len(batch.keys)) if n not in batch.worded]
        meant = open_ if position is None else [open_[position % len(open_)]]
        for truth in {n in landed for n in meant}:
            them = [n for n in meant if (n in landed) == truth]
            whole = them == open_
            self.ledger.verdicts.resolve(name, landed=truth, note="looked", positions=None if whole else them)
            self._believe(batch, "created" if truth else "refused", them)
            batch.worded.update(them)
        if len(batch.worded) == len(batch.keys):
            del self.doubt[name]
            found = self.ledger.verdicts.batch(name)
            assert found is not None
            one = "landed" if len(landed) == len(batch.keys) else "absent" if not landed else "settled"
            assert found["state"] == one

    # -- settling queues

    def reject(self, key: str) -> None:
        """The record's lead alone is rejected; whatever stands before it in the queue is created."""
        for _ in range(2 * len(self.truths)):
            got = self.claim(1)
            if isinstance(got, OpenBatch):
                self.conclude(got.claim.batch, "rejected" if got.keys == (key,) else "created")
                if got.keys == (key,):
                    return
            elif isinstance(got, NoRoom):
                self.advance(got.seconds)

    def row(self, key: str) -> dict[str, Any]:
        stream, id_ = key.split("/")
        sql = "SELECT * FROM records WHERE stream = ? AND id = ?"
        (found,) = rows(self.ledger, sql, self.streams[stream].id, id_)
        return found

    def hold(self, key: str) -> None:
        """As a guard does with what polls have queued: never with what a person has."""
        if self.truths[key].shown is None:
            return
        row = self.row(key)
        if row["state"] == "pending" and row["queued"] is not None:
            with self.ledger.file.write() as connection:
                connection.execute("UPDATE records SET state = 'held', part = NULL WHERE key = ?", (row["key"],))
            self.truths[key].word.held = True

    def say(self, key: str, what: str) -> None:
        """A person's word on a record, whether or not it is in the queue that the word is for."""
        truth = self.truths[key]
        if truth.shown is None:
            return
        row, queues = self.row(key), self.ledger.queues
        them = [row["key"]]
        moves = {
            "retry": lambda: queues.retry(them),
            "drop": lambda: queues.drop(them),
            "approve": lambda: queues.approve(them),
            "discard": lambda: queues.discard(them),
            "acknowledge": lambda: queues.acknowledge({row["key"]: row["source_fp"]}),
            "resend": lambda: queues.resend(them),
        }[what]()
        assert moves.total() <= 1
        for went in moves:
            self._said(truth, what, went, dated=row["modified"] is not None)

    def _said(self, truth: Truth, what: str, went: str, *, dated: bool) -> None:
        word = truth.word
        assert truth.batch is None, "a word moved what is on the wire"
        if went == "again":
            word.again = True
        elif went == "pending":
            word.held, word.left, truth.barred = False, None, None
            word.sent = truth.shown if truth.believed == "yes" else None
        elif went == "forgotten":
            word.again = word.held = False
            word.forgotten = (truth.shown, truth.ticks)
        elif what == "acknowledge":
            word.again, word.left, truth.changed = False, None, False
            word.by_hand = json.loads(truth.shown[1])[0] if truth.shown and truth.shown[1] else None
            truth.base = None
            if truth.shown is not None and word.by_hand is not None and truth.shown_fit == "eligible":
                truth.base = (truth.shown[0], word.by_hand)
        else:
            word.again = word.held = truth.changed = False
            word.sent, word.left = None, truth.shown
        word.leads += what == "resend"

    def crash(self, landed: Mapping[str, Landed], *, late: bool = False) -> None:
        """The process ends without a word; the next one recovers."""
        self.ledger.close()
        self.start()
        self.recover(landed, late=late)

    def recover(self, landed: Mapping[str, Landed], *, late: bool = False, rebooted: bool = False) -> None:
        """After a boot an intent that is missing proves nothing: a power cut may have taken it."""
        for batch in self.open.values():
            if batch.left:
                self._arrive(batch, late=late and self.clock.boot() <= batch.claim.deadline)
        recovered = self.ledger.recover(lambda _: "resend" if self.resend_unknown else "hold")
        assert {each.conclusion.batch for each in recovered} == set(self.open)
        for name, batch in self.open.items():
            verdict: Verdict = (batch.told or "in_doubt") if batch.left or rebooted else "refused"
            self._conclude(name, batch, verdict, landed.get(name, "none") if batch.left else "none")
        self.open = {}

    # -- what must hold

    def check(self) -> None:
        check_the_books(self.ledger)
        found = {f"{self.names[row['stream']]}/{row['id']}": row for row in rows(self.ledger)}
        assert set(found) == {key for key, truth in self.truths.items() if truth.shown is not None}
        assert sum(self.ledger.records.counts().values()) == len(found)
        for key, row in found.items():
            truth = self.truths[key]
            assert row["state"] in STATES
            assert (row["lead_exists"], row["batch"]) == (truth.believed, truth.batch), key
            self._check_state(key, truth, row)
        doubtful = {str(each["name"]): each["open"] for each in self.ledger.verdicts.in_doubt()}
        assert doubtful == {name: len(batch.keys) - len(batch.worded) for name, (batch, _) in self.doubt.items()}

    def _check_state(self, key: str, truth: Truth, row: Mapping[str, object]) -> None:
        state = row["state"]
        if truth.batch is not None:
            assert state == ("in_doubt" if truth.batch in self.doubt else "sending"), key
        elif truth.word.forgotten is not None:
            assert state == "forgotten", key
        elif truth.shown_fit in {"filtered", "deleted"}:
            without_a_lead = {"filtered": "filtered", "deleted": "withdrawn"}[truth.shown_fit]
            assert state == ("delivered" if truth.believed == "yes" else without_a_lead), key
        elif truth.believed == "yes":
            self._check_resend(key, truth, row)
            self._check_drift(key, truth, row)
        elif truth.word.held:
            assert state == "held", key
        elif truth.shown_fit == "unfit":
            assert state == "quarantined", key
        else:
            assert state == ("quarantined" if truth.barred == truth.shown else "pending"), key

    def _check_resend(self, key: str, truth: Truth, row: Mapping[str, object]) -> None:
        """A lead that exists is not sent again but by the stream's rule or a person's word, and that word holds."""
        word, state = truth.word, row["state"]
        if word.left is not None:
            assert state == "delivered", f"{key} was left as it is"
        elif word.held:
            assert state == "held", key
        elif word.sent is not None:
            assert state == ("quarantined" if truth.barred == truth.shown else "pending"), f"{key} was to be sent"
        elif truth.stream == "hold":
            assert state == "delivered" or (state == "quarantined" and word.again), key
        else:
            assert state in {"delivered", "pending", "quarantined"}, key

    def _check_drift(self, key: str, truth: Truth, row: Mapping[str, object]) -> None:
        moved = self._moved(truth)
        if moved is None:
            return
        assert row["drift"] == moved, key
        if truth.stream == "resend" and truth.barred != truth.shown and row["state"] != "held" and not truth.word.left:
            assert row["state"] == ("pending" if moved else "delivered"), key

    def _moved(self, truth: Truth) -> bool | None:
        """Where one mapping has read all since the lead was created, its value alone decides; None elsewhere."""
        if truth.base is None or truth.shown_fit != "eligible" or truth.shown is None:
            return None
        return bool(json.loads(truth.shown[1])[0] != truth.base[1])

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
        assert not truth.word.again, f"{key} was not judged again"
        if truth.shown_fit == "eligible" and row["state"] not in {"quarantined", "held", "forgotten"}:
            assert truth.created, f"{key} never reached the server"
            shown = json.loads(truth.shown[1])[0] if truth.shown else None
            lead = truth.created[-1] if truth.word.by_hand is None else truth.word.by_hand
            if shown != lead and key != "resend/undated":
                assert row["drift"] == 1, f"{key} changed, and neither was it sent nor is it listed as drift"
        if truth.stream == "hold" and not self.resend_unknown:
            most = 1 + truth.word.leads
            assert len(truth.created) <= most, f"{key} was created {len(truth.created)} times"
