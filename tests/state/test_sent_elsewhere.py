"""A trial against a sandbox is not taken for leads in ClosingDealz when base_url changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from state.ledger import Ledger
from state.rows import Verdict
from state.streams import ADDRESS, DeclaredStream
from sync.shared.errors import LedgerUntrusted
from tests.state.ledger_tools import claim, declare, pending, register, rows

REAL = declare()
TRIAL = replace(REAL, identity={**REAL.identity, ADDRESS: "this machine"})


def send(ledger: Ledger, verdict: Verdict) -> None:
    pending(ledger, register(ledger, TRIAL), "a")
    one = claim(ledger)
    ledger.verdicts.conclude(one.batch, verdict, slot=one.slot)


@pytest.mark.parametrize("verdict", ["created", "in_doubt"])
def test_what_was_sent_to_a_sandbox_is_refused_for_closingdealz(ledger: Ledger, verdict: Verdict) -> None:
    send(ledger, verdict)
    with pytest.raises(LedgerUntrusted, match=r"were sent to this machine, .* now that of ClosingDealz") as refused:
        register(ledger, REAL)
    assert "[ledger] path" in refused.value.hint
    register(ledger, TRIAL)


@pytest.mark.parametrize("verdict", ["refused", "paused", "rejected"])
def test_a_trial_that_created_nothing_goes_on_anywhere(ledger: Ledger, verdict: Verdict) -> None:
    send(ledger, verdict)
    register(ledger, REAL)
    assert rows(ledger, "SELECT identity ->> 'address' AS address FROM streams") == [{"address": None}]
    register(ledger, TRIAL)


def test_a_proxy_is_no_sandbox_by_a_persons_word(ledger: Ledger) -> None:
    send(ledger, "created")
    ledger.streams.rename(REAL.name, REAL)
    register(ledger, REAL)


@pytest.mark.parametrize("renamed", [replace(REAL, name="erp.firms"), replace(TRIAL, name="erp.firms")])
def test_a_new_name_does_not_hide_it(ledger: Ledger, renamed: DeclaredStream) -> None:
    send(ledger, "created")
    with pytest.raises(LedgerUntrusted, match="is what the ledger knows as"):
        register(ledger, renamed)
