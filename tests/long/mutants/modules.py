"""The modules that decide, and for each the tests that must notice when it decides otherwise, as arguments of pytest.

Tests that try thousands of values are left out: a mutant may cost each of them, and a table notices as well.
"""

from __future__ import annotations

MODULES: dict[str, tuple[str, ...]] = {
    "sync/delivery/outcome.py": ("tests/engine/test_outcome.py", "-k", "not can_do_harm"),
    "sync/delivery/pace.py": ("tests/engine/test_pace.py", "-k", "not whatever_comes and not for_years"),
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
    "state/recovery.py": ("tests/state/test_owner.py", "tests/state/test_receipts_ledger.py"),
    "state/receipts/compare.py": ("tests/state/test_receipts_compare.py",),
}
