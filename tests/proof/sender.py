"""A second process that sends on the same API key beside the daemon, by the code of `send-test`, again and again.

Run as `python -m tests.proof.sender CONFIG`; it ends when its standard input says so, and prints the verdicts' count.
"""

from __future__ import annotations

import json
import select
import sys
from collections import Counter
from pathlib import Path

from state.ledger import Ledger
from sync.config.load import load_config
from sync.engine.compiled_config import CompiledConfig, rule_of
from sync.views.single_lead import make_lead, send, take_slot


class Over(Exception):
    """The parent wants an end."""


def wait(seconds: float) -> None:
    if select.select([sys.stdin], [], [], seconds)[0]:
        raise Over


def main(path: Path) -> None:
    config = load_config(path)
    workspace, api_key = config.workspaces["main"], CompiledConfig.of(config).api_keys["main"]
    verdicts: Counter[str] = Counter()
    with Ledger(config.ledger_path) as ledger:
        rule = rule_of(workspace.limit, api_key, ledger.hasher)
        try:
            while True:
                slot = take_slot(ledger, rule, workspace.timeout.total_seconds(), wait=wait, waits=lambda _: None)
                lead = make_lead(workspace.wire, ledger.clock.wall())
                verdicts[send(ledger, workspace, api_key, lead, rule=rule, slot=slot).outcome.verdict] += 1
                wait(rule.per / 20)
        except Over:
            print(json.dumps(verdicts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
