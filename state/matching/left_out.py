"""Contacts that a lead goes without, because another lead stands for them already.

A company is not lost because one of its thirty contacts is known: it is sent without that contact. The lead's version
stays that of the whole mapping, so leaving out a contact is not a change.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import orjson

from state.matching.standing import StandingValues
from state.rows import Contact, Decision, LeftOut, Stored, Twin

Without = Callable[[bytes, Collection[int]], bytes]
"""Returns a payload without the contacts at these positions of its list."""


def carries_contacts(change: Decision) -> bool:
    """Return True if the payload of this change is kept, to be sent or shown, and has contacts."""
    if not any(contact.values for contact in change.reading.contacts or ()):
        return False
    if change.lead_exists == "no":
        return change.state in {"pending", "held", "quarantined"}
    return change.lead_exists == "yes" and (change.state in {"pending", "held", "quarantined"} or change.drift)


def leave_out(change: Decision, standing: StandingValues) -> Decision:
    """Return the change with the contacts its lead goes without.

    If the mapping requires contacts and none is left, the record is quarantined.
    """
    contacts = change.reading.contacts or ()
    found = [each for contact in contacts if (each := _stands_elsewhere(change, contact, standing))]
    change = replace(change, left_out=tuple(found))
    # Quarantined rather than filtered: the operator must see that `required` cannot be met.
    if change.state == "pending" and change.reading.needs_contacts and len(found) == len(contacts):
        return replace(change, reading=replace(change.reading, reason=_NONE_LEFT), state="quarantined")
    return change


def _stands_elsewhere(change: Decision, contact: Contact, standing: StandingValues) -> LeftOut | None:
    id_ = change.reading.id
    for kind, value in contact.values:
        if standing.is_imported(value):
            return LeftOut(contact.place, kind, value, None, "belongs to a lead that was imported as existing")
        own = change.lead_exists == "yes" and standing.bears(id_, value)
        if standing.is_of_before(value) and not own:
            rule = "belongs to a lead that was created before the ledger was rebuilt"
            return LeftOut(contact.place, kind, value, None, rule)
        batch = standing.doubtful_batch(value)
        if batch is not None and not own and not standing.was_in(batch, id_):
            rule = f"may belong to a lead of batch {batch}, in doubt since before the ledger was rebuilt"
            return LeftOut(contact.place, kind, value, None, rule)
    found = standing.owner(id_, contact.values)
    if found is None:
        return None
    owner, kind, value = found
    return LeftOut(contact.place, kind, value, Twin(owner.id, owner.key), f"belongs to {owner}")


_NONE_LEFT = orjson.dumps(
    [
        {
            "field": "contacts",
            "rule": "is required, and each of its contacts has a lead of its own",
            "hint": "take contacts out of `required`, or drop it",
        }
    ]
).decode()


def cut(changes: Sequence[Decision], without: Without) -> list[Decision]:
    """Return the changes with their payloads as they will be sent."""
    return [_cut(change, without) if change.left_out else change for change in changes]


def _cut(change: Decision, without: Without) -> Decision:
    if change.reading.payload is None or not change.left_out:
        return change
    payload = without(change.reading.payload, {each.place for each in change.left_out})
    return replace(change, reading=replace(change.reading, payload=payload, fields=None))


def spare_repeats(
    connection: sqlite3.Connection, changes: Sequence[Decision], known: Mapping[str, Stored]
) -> list[Decision]:
    """List a resend as drift instead of sending it, if all that was added are contacts with leads of their own."""
    return [_spared(connection, change, known.get(change.reading.id)) for change in changes]


def _spared(connection: sqlite3.Connection, change: Decision, stored: Stored | None) -> Decision:
    if not (change.left_out and change.lead_exists == "yes" and change.state == "pending" and change.drift and stored):
        return change
    # A person asked for this lead.
    if stored.again == "send" or (stored.state == "pending" and stored.approved):
        return change
    row = connection.execute(
        "SELECT p.lead FROM deliveries d JOIN payloads p ON p.id = d.payload WHERE d.batch = ? AND d.record = ?",
        (stored.base_batch, stored.key),
    ).fetchone()
    if row is None or row["lead"] != change.reading.payload:
        return change
    return replace(change, state=stored.resting)


def keep_left_out(
    connection: sqlite3.Connection, changes: Sequence[Decision], known: Mapping[str, Stored], keys: Mapping[str, int]
) -> int:
    """Write which contacts leads go without, and whose leads stand for them; return the number of contacts."""
    had = [change for change in changes if (stored := known.get(change.reading.id)) and stored.nested]
    stale = [each for each in had if each.left_out is not None or each.lead_exists == "no"]
    connection.executemany("DELETE FROM left_out WHERE record = ?", [(keys[each.reading.id],) for each in stale])
    rows = [
        (keys[change.reading.id], each.place, each.kind, each.value, _key_of(each.owner, keys), each.rule)
        for change in changes
        for each in change.left_out or ()
    ]
    connection.executemany(
        "INSERT OR REPLACE INTO left_out (record, place, kind, value, owner, rule) VALUES (?, ?, ?, ?, ?, ?)", rows
    )
    return len(rows)


def _key_of(owner: Twin | None, keys: Mapping[str, int]) -> int | None:
    """Return the owner's key, also if it was new on this page."""
    return None if owner is None else owner.key or keys[owner.id]
