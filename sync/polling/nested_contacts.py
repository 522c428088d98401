"""Contacts nested in leads that were made before anything was matched with them: learned from what was sent, as far as
it is kept, and of the others from their records, which a sweep reads again."""

from __future__ import annotations

import orjson

from state.ledger import Ledger
from state.rows import Contact, LaneMove
from sync.polling.job import CONTACTS_LANE, StreamJob
from sync.polling.readings import contacts_of
from sync.polling.sweep import sweep_soon

AT_ONCE = 1000


def learn_contacts(ledger: Ledger, job: StreamJob) -> None:
    """Once matching looks inside the stream's leads: by what the contacts of those can be recognised that exist, may
    exist or wait. Costs nothing where that is known, or where nothing is matched with contacts."""
    row = job.row
    learned = CONTACTS_LANE in ledger.streams.lanes(row.id)
    wanted = ledger.records.looks_inside(row.id)
    if wanted == learned:
        return
    if not wanted:
        ledger.streams.move(row.id, LaneMove(CONTACTS_LANE, None))
        return
    after = 0
    while payloads := ledger.contacts.unlearned(row.id, after, AT_ONCE):
        after = payloads[-1].key
        ledger.contacts.learn((each.key, _contacts(ledger, job, each.payloads)) for each in payloads if each.payloads)
    if ledger.contacts.are_unlearned(row.id):
        sweep_soon(ledger, row.id)
    ledger.streams.move(row.id, LaneMove(CONTACTS_LANE, {"done": True}))


def _contacts(ledger: Ledger, job: StreamJob, payloads: list[bytes]) -> list[Contact]:
    """Those of all the leads that were made of one record."""
    return [
        contact for payload in payloads for contact in contacts_of(orjson.loads(payload), job.mapping, ledger.hasher)
    ]
