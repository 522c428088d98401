"""The modules that decide, and for each the tests that must notice when it decides otherwise."""

from __future__ import annotations

MODULES: dict[str, tuple[str, ...]] = {
    "sync/delivery/outcome.py": ("tests/engine/test_outcome.py",),
    "sync/delivery/pace.py": ("tests/engine/test_pace.py",),
    "sync/polling/judge.py": ("tests/engine/test_judge.py",),
    "sync/polling/sweep.py": ("tests/engine/test_sweep.py",),
    "sync/polling/guard.py": ("tests/engine/test_guard.py",),
    "state/slots.py": ("tests/state/test_slots.py",),
    "state/verdicts.py": (
        "tests/state/test_in_flight.py",
        "tests/state/test_doubt_words.py",
        "tests/state/test_bisecting.py",
        "tests/state/test_queues.py",
    ),
    "state/gate.py": ("tests/state/test_gate.py",),
    "state/recovery.py": (
        "tests/state/test_receipts_ledger.py::test_a_batch_that_was_cut_off_is_what_its_receipts_say",
        "tests/state/test_receipts_ledger.py::test_a_missing_intent_proves_nothing_where_receipts_are_missing",
        "tests/state/test_receipts_ledger.py::test_a_word_that_only_the_receipts_kept_reaches_the_ledger",
        "tests/state/test_receipts_ledger.py::test_what_nobody_knows_is_sent_again_only_where_that_was_asked_for",
        "tests/state/test_owner.py::test_a_missing_intent_proves_nothing_after_a_power_cut",
        "tests/state/test_owner.py::test_what_is_left_waits_for_its_end_also_under_the_owner_after_next",
        "tests/state/test_rebuild.py",
    ),
    "state/receipts/compare.py": (
        "tests/state/test_receipts_ledger.py",
        "tests/state/test_receipts_damaged.py",
        "tests/state/test_rebuild.py",
    ),
}
