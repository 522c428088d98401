"""A second process that sends on the same API key: it takes slots from the ledger beside the daemon, as `send-test`
does. Run as `python -m tests.proof.sender CONFIG`; it ends when its standard input does, and says how many it sent."""

from __future__ import annotations

import select
import sys
from itertools import count
from pathlib import Path

import orjson

from state.ledger import Ledger
from state.slots import Slots
from sync.client import LeadsClient
from sync.config.load import load_config
from sync.outcome import Answer, of_answer
from sync.plan import Plan, rule_of


def is_over(seconds: float) -> bool:
    """Waits, and says whether the parent wants an end."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


def take(slots: Slots, rule, timeout: float) -> int | None:  # type: ignore[no-untyped-def] # a test's own helper
    while not isinstance(slot := slots.take(rule, timeout), int):
        if is_over(min(slot.seconds, 0.25)):
            return None
    return slot


def main(path: Path) -> None:
    config = load_config(path)
    plan = Plan.of(config)
    workspace = config.workspaces["main"]
    timeout = workspace.timeout.total_seconds()
    outcomes: dict[str, int] = {}
    with (
        Ledger(config.ledger_path) as ledger,
        LeadsClient(workspace.base_url, plan.api_keys["main"], timeout=timeout, clock=ledger.clock) as client,
    ):
        rule = rule_of(plan, "main", ledger.hasher)
        for number in count():
            slot = take(ledger.slots, rule, timeout)
            if slot is None:
                break
            answer = client.post(orjson.dumps([{"isContact": True, "name": f"Beside {number}"}]))
            outcome = of_answer(answer) if isinstance(answer, Answer) else answer
            ledger.slots.end(slot, arrived=outcome.verdict != "in_doubt")
            outcomes[outcome.verdict] = outcomes.get(outcome.verdict, 0) + 1
            if is_over(rule.per / 20):
                break
    print(orjson.dumps(outcomes).decode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
