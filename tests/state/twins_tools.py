"""What the tests of twins share: two streams of one workspace, people with values, and the turns of a stream."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from state.diagram import Version
from state.ledger import Ledger
from state.rows import MatchKind, Reading, StreamRow, Verdict
from tests.state.ledger_tools import (
    claim,
    commit,
    declare,
    reading,
    row,
    rows,
    states,
)

LATER = "2026-02-02T00:00:00.000000Z"
EMAIL: tuple[MatchKind, ...] = ("email",)


def two_streams(
    ledger: Ledger, kinds: tuple[MatchKind, ...] = EMAIL, others: tuple[MatchKind, ...] | None = None, **options: Any
) -> tuple[StreamRow, StreamRow]:
    """`crm` and `erp`, of one workspace."""
    declared = [
        declare("crm", match_on=kinds, **options),
        declare("erp", match_on=kinds if others is None else others),
    ]
    found = ledger.streams.register(declared)
    return found["crm"], found["erp"]


def kind_of(value: str) -> MatchKind:
    """An e-mail address, or `domain:…`, `phone:…`."""
    kinds: dict[str, MatchKind] = {"": "email", "domain": "domain", "phone": "phone"}
    return kinds[value.rpartition(":")[0]]


def person(
    stream: StreamRow, id_: str, *values: str, content: str = "a", modified: str = "2026-01-01T00:00:00.000000Z"
) -> Reading:
    """A lead with these values: an e-mail address, or `domain:…`, `phone:…`."""
    hashes = [(kind_of(each), each.encode()) for each in values]
    plain = reading(id_, content + "".join(values), mapping=stream.mapping, modified=modified)
    return replace(plain, values=hashes)


def gone(stream: StreamRow, id_: str, into: str | None = None) -> Reading:
    return Reading(id_, Version("deleted", LATER, stream.mapping, None, None), merged_into=into)


def filtered(stream: StreamRow, id_: str) -> Reading:
    return reading(id_, "b", mapping=stream.mapping, modified=LATER, fit="filtered")


def judge_again(ledger: Ledger, *streams: StreamRow, seen: tuple[Reading, ...] = ()) -> dict[str, str]:
    """The turn of each stream: what is to be judged again is read as `seen` has it. What became of whom."""
    found = {each.id: each for each in seen}
    for stream in streams:
        due = ledger.records.to_judge_again(stream.id, stream.mapping, 100)
        commit(ledger, stream, [found[id_] for id_, _, _ in due])
        assert ledger.records.to_judge_again(stream.id, stream.mapping, 100) == []
    return states(ledger)


def send(ledger: Ledger, verdict: Verdict = "created", most: int = 100) -> list[str]:
    claimed = claim(ledger, most)
    ledger.verdicts.conclude(claimed.batch, verdict, slot=claimed.slot)
    return [each.id for each in claimed.deliveries]


def twin_of(ledger: Ledger, id_: str) -> str | None:
    found = rows(ledger, "SELECT o.id FROM records d JOIN records o ON o.key = d.twin WHERE d.id = ?", id_)
    return str(found[0]["id"]) if found else None


def reason(ledger: Ledger, id_: str) -> object:
    return json.loads(row(ledger, id_)["reason"] or "null")


def into_state(ledger: Ledger, stream: StreamRow, state: str) -> None:
    """Brings record `a` with the value `x` into a state."""
    commit(ledger, stream, [person(stream, "a", "x")])
    match state:
        case "held" | "ignored" | "quarantined":
            with ledger.file.write() as connection:
                connection.execute("UPDATE records SET state = ?", (state,))
        case "sending":
            claim(ledger)
        case "delivered" | "in_doubt":
            send(ledger, "created" if state == "delivered" else "in_doubt")
        case "filtered after delivery" | "withdrawn after delivery":
            send(ledger)
            commit(ledger, stream, [filtered(stream, "a") if state.startswith("filtered") else gone(stream, "a")])
        case "filtered" | "withdrawn":
            commit(ledger, stream, [filtered(stream, "a") if state == "filtered" else gone(stream, "a")])


def claimable(ledger: Ledger) -> set[str]:
    found = rows(ledger, "SELECT id FROM records WHERE state = 'pending' AND again IS NULL")
    return {each["id"] for each in found}


def settle_all(ledger: Ledger) -> None:
    """Whatever is on the wire or in doubt landed; whatever waits is sent."""
    for each in rows(ledger, "SELECT name, slot FROM batches WHERE state = 'sending'"):
        ledger.verdicts.conclude(each["name"], "created", slot=each["slot"])
    for each in ledger.verdicts.in_doubt():
        ledger.verdicts.resolve(str(each["name"]), landed=True, note="looked")
    if claimable(ledger):
        send(ledger)
