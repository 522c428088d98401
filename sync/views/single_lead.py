"""The test lead of `send-test`: one recognisable lead, sent through the governor beside the daemon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from state.ledger import Ledger
from state.rows import NoRoom, Verdict
from state.slots import RateLimit
from sync.config.schema import Wire, Workspace
from sync.delivery.client import LeadsClient
from sync.delivery.outcome import Outcome, of_answer
from sync.delivery.pace import REST_HINTS
from sync.mapping.wire_fields import CONTACTS, IS_CONTACT, LABELS, WireField, contact_fields, encode, lead_fields
from sync.shared.secrets import Secret
from sync.shared.words import Json
from sync.views.phrases import printable

LABEL = "closingdealz-sync-test"

EXIT_CODES: dict[Verdict, int] = {"created": 0, "refused": 75, "rejected": 65, "paused": 77, "in_doubt": 65}


@dataclass(frozen=True, slots=True)
class SingleLead:
    """A test lead. `fields` lists (wire path, value) to look for in ClosingDealz."""

    name: str
    document: dict[str, Json]
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SentTestLead:
    """The outcome of the request, `seconds` after it began."""

    outcome: Outcome
    seconds: float

    @property
    def exit_code(self) -> int:
        """Return the exit code of a single test lead: 0 where it was created."""
        return EXIT_CODES[self.outcome.verdict]


_VALUES = {
    "industry": "Test",
    "emails": f"{LABEL}@example.com",
    "phones": "+1 202 555 0100",
    "socials": "https://www.example.com/test",
    "addresses": "1 Example Street, Example City",
}
_CONTACT = {
    "name": "Test",
    "last_name": "Contact",
    "role": "Tester",
    "emails": "test.contact@example.com",
    "phones": "+1 202 555 0101",
}


def make_lead(wire: Wire, at: float, which: str = "") -> SingleLead:
    """Make a company lead with one contact and a value in every field whose wire name can be configured.

    `at` (seconds since 1970 UTC) and `which` make its name unique.
    """
    name = f"closingdealz-sync test {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} {which}".rstrip()
    lead, contact = lead_fields(wire), contact_fields(wire)
    values = {"name": name, **_VALUES, "labels": LABEL}
    document: dict[str, Json] = {IS_CONTACT: False}
    document |= {lead[key].name: _as_sent(lead[key], value) for key, value in values.items()}
    document[CONTACTS] = [{contact[key].name: _as_sent(contact[key], value) for key, value in _CONTACT.items()}]
    fields = [(lead[key].path, value) for key, value in values.items()]
    fields += [(f"{CONTACTS}[].{contact[key].path}", value) for key, value in _CONTACT.items()]
    return SingleLead(name, document, tuple(fields))


def _as_sent(field: WireField, text: str) -> Json:
    if field.member:
        return [{field.member: text}]
    return [text] if field.name == LABELS else text


def take_slot(
    ledger: Ledger, rule: RateLimit, timeout: float, *, wait: Callable[[float], None], waits: Callable[[NoRoom], None]
) -> int:
    """Take a slot for one request as soon as the limit allows, and return its id.

    `waits` is called with each full window, before `wait` sleeps for at most a second.
    """
    while isinstance(slot := ledger.slots.take(rule, timeout), NoRoom):
        waits(slot)
        # in short steps: room may come back earlier, when a request ends
        wait(min(slot.seconds, 1.0))
    return slot


def send(
    ledger: Ledger, options: Workspace, api_key: Secret, *leads: SingleLead, rule: RateLimit, slot: int
) -> SentTestLead:
    """Send the leads once, in one request. If the process dies meanwhile, its slot stays taken, as it must."""
    timeout = options.timeout.total_seconds()
    with LeadsClient(options.base_url, api_key, timeout=timeout, clock=ledger.clock) as client:
        began = ledger.clock.boot()
        answer = client.post(b"[" + b",".join(encode(lead.document) for lead in leads) + b"]")
        seconds = ledger.clock.boot() - began
    if not isinstance(answer, Outcome):
        answer = of_answer(answer, unknown_statuses=options.unknown_statuses, on_rejected=options.on_rejected)
    # without an answer the request counts as live for a grace period
    ledger.slots.end(slot, arrived=answer.verdict != "in_doubt")
    # there was room by our count: the window is longer, or another client uses the key
    if answer.status == 429:
        ledger.slots.learn(rule, slot)
    return SentTestLead(answer, seconds)


def sent_as_json(sent: SentTestLead, lead: SingleLead, workspace: str, options: Workspace) -> dict[str, Any]:
    """Return the result of one test lead as JSON; all keys are always there."""
    return {**outcome_as_json(sent, workspace, options), "lead": lead.document, "exit_code": sent.exit_code}


def outcome_as_json(sent: SentTestLead, workspace: str, options: Workspace) -> dict[str, Any]:
    """Return the outcome of the request as JSON."""
    outcome = sent.outcome
    return {
        "workspace": workspace,
        "base_url": options.base_url,
        "verdict": outcome.verdict,
        "cause": outcome.cause,
        "status": outcome.status,
        "message": outcome.message,
        "undocumented_members": list(outcome.members),
        "milliseconds": round(sent.seconds * 1000),
    }


def outcome_as_lines(sent: SentTestLead) -> list[str]:
    """Return the server's answer, and after how long it came."""
    outcome = sent.outcome
    status = "no answer" if outcome.status is None else f"HTTP {outcome.status}"
    cause = f": {printable(outcome.cause)}" if outcome.verdict != "created" else ""
    lines = [f"  {status} after {sent.seconds * 1000:,.0f} ms{cause}"]
    if outcome.message:
        lines.append(f'  the server says: "{printable(outcome.message)}"')
    if outcome.members:
        lines.append(f"  its answer also has members that the vendor does not document: {', '.join(outcome.members)}")
    return lines


def hint_of(outcome: Outcome) -> str:
    """Return the cure where the workspace cannot be sent to; else empty."""
    return REST_HINTS.get("plan" if outcome.pause == "room" else outcome.pause or "", "")
