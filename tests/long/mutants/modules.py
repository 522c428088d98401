"""The modules that decide, and for each the tests that must notice when it decides otherwise, as arguments of pytest;
and faults that mutmut would not think of.

Tests that try thousands of values are left out: a mutant may cost each of them, and a table notices as well.
"""

from __future__ import annotations

from typing import NamedTuple


def _of(file: str, *tests: str) -> tuple[str, ...]:
    return tuple(f"{file}::{test}" for test in tests)


MODULES: dict[str, tuple[str, ...]] = {
    "sync/delivery/outcome.py": ("tests/engine/test_outcome.py", "-k", "not can_do_harm"),
    "sync/delivery/pace.py": ("tests/engine/test_pace.py", "-k", "not whatever_comes and not for_years"),
    "state/diagram.py": ("tests/state/test_diagram.py",),
    "sync/polling/judge.py": ("tests/engine/test_judge.py", "tests/engine/test_readings.py"),
    "sync/polling/sweep.py": (
        "tests/engine/test_sweep.py",
        "tests/engine/test_reread.py",
        *_of(
            "tests/engine/test_contacts_matched.py",
            "test_a_mapping_that_nests_contacts_from_now_on_does_not_claim_that_old_leads_have_them",
            "test_contacts_of_leads_are_learned_page_by_page_and_once",
            "test_contacts_of_leads_that_were_created_before_count",
            "test_switched_on_while_both_wait_the_older_one_is_sent",
        ),
        "tests/connectors/test_sql_one_record.py::test_a_key_that_is_spelled_anew_stays_the_record_that_it_was",
    ),
    "sync/polling/guard.py": (
        "tests/engine/test_guard.py",
        "tests/engine/test_guard_polls.py",
        "tests/engine/test_reread.py::test_each_page_is_held_at_once",
    ),
    "state/parts.py": (
        "tests/state/test_bisecting.py",
        "tests/state/test_verdicts_decide.py",
        "-k",
        # thousands of leads, and what they hold the table holds as well
        "not whatever_is_refused and not ten_thousand and not one_lead_of_a_hundred and not hold_up and not too_large",
    ),
    "state/slots.py": ("tests/state/test_slots.py",),
    "state/verdicts.py": (
        "tests/state/test_verdicts_decide.py",
        "tests/state/test_verdicts_told.py",
        *_of(
            "tests/state/test_in_flight.py",
            "test_a_conclusion_counts_once",
            "test_a_lead_that_is_rejected_without_a_word_says_at_least_how",
            "test_a_refused_half_stays_a_half",
            "test_a_rejected_batch_is_halved_until_the_offender_stands_alone",
            "test_a_resend_that_is_refused_is_still_to_be_sent_even_if_it_is_touched_or_changed_meanwhile",
            "test_a_version_read_while_in_doubt_waits_for_a_persons_word",
            "test_after_the_verdict_the_latest_version_is_judged",
            "test_on_unknown_resend_puts_the_leads_back_and_says_so",
            "test_the_account_of_the_wire_is_kept_with_the_batch",
        ),
        *_of(
            "tests/state/test_bisecting.py",
            "test_leads_that_are_sent_again_do_not_hold_up_the_others",
            "test_leads_that_the_server_names_are_asked_alone_first",
            "test_the_halves_of_one_batch_are_done_before_another_batch_is_looked_at",
            "test_wrong_places_cost_requests_and_no_lead",
        ),
        *_of(
            "tests/state/test_owner.py",
            "test_a_missing_intent_proves_nothing_after_a_power_cut",
            "test_an_answer_settles_a_batch_that_was_put_in_doubt_unless_a_person_was_quicker",
            "test_an_answer_that_the_receipts_got_before_the_doubt_agrees_with_the_ledger",
        ),
        *_of(
            "tests/state/test_doubt_words.py",
            "test_a_batch_of_which_only_its_name_is_known_is_settled_whole_and_not_in_parts",
            "test_a_word_on_no_lead_settles_nothing",
            "test_the_last_lead_settles_the_batch",
        ),
        *_of(
            "tests/state/test_rebuild.py",
            "test_one_word_settles_a_lead_that_was_read_since_and_one_that_was_not",
            "test_words_on_leads_that_were_not_read_since_are_taken_over",
        ),
        *_of(
            "tests/state/test_twins_merged.py",
            "test_a_survivor_has_its_losers_lead[survivor, tombstone-in_doubt-duplicate-known]",
            "test_a_survivor_has_its_losers_lead[tombstone, survivor-sending-duplicate-known]",
            "test_a_survivor_on_the_wire_is_judged_after_its_verdict",
            "test_one_more_lead_of_a_survivor_that_changed_lists_nobody",
            "test_two_leads_of_one_person_are_shown_whichever_of_them_is_settled_last",
        ),
        *_of(
            "tests/state/test_twins_rebuilt.py",
            "test_absent_it_is_held_no_longer_than_a_person_wants",
            "test_landed_it_is_known",
        ),
        *_of(
            "tests/engine/test_contacts_matched.py",
            "test_a_version_that_was_read_while_the_lead_was_on_the_wire_is_matched_before_it_is_sent",
        ),
        "tests/engine/test_heirs.py::test_heirs_wait_for_the_verdict_on_the_lead",
        "tests/state/test_slots.py::test_the_slot_of_a_batch_on_the_wire_keeps_its_boot",
    ),
    "state/gate.py": ("tests/state/test_gate.py",),
    "state/recovery.py": (
        *_of(
            "tests/state/test_receipts_ledger.py",
            "test_a_batch_that_was_cut_off_is_what_its_receipts_say",
            "test_a_missing_intent_proves_nothing_where_receipts_are_missing",
            "test_a_word_that_only_the_receipts_kept_reaches_the_ledger",
            "test_an_answer_that_only_the_receipts_kept_settles_a_doubt",
            "test_what_nobody_knows_is_sent_again_only_where_that_was_asked_for",
        ),
        *_of(
            "tests/state/test_owner.py",
            "test_a_missing_intent_proves_nothing_after_a_power_cut",
            "test_what_is_left_waits_for_its_end_also_under_the_owner_after_next",
        ),
        *_of(
            "tests/state/test_rebuild.py",
            "test_words_on_leads_that_were_not_read_since_are_taken_over",
            "test_words_that_both_know_are_no_news",
            "test_words_that_differ_hold_each_for_its_lead",
        ),
    ),
    "state/receipts/compare.py": ("tests/state/test_receipts_compare.py",),
}


class PlantedFault(NamedTuple):
    """A text of a module, what takes its place, and the test that must notice."""

    module: str
    text: str
    becomes: str
    test: str


FAULTS = (
    PlantedFault(
        "state/disk.py",
        "os.fsync(descriptor)",
        "pass",
        "tests/engine/test_durable.py::"
        "test_a_receipt_is_on_the_disk_before_its_request_and_its_verdict_before_the_next",
    ),
    *(
        PlantedFault(
            "state/database.py",
            "PRAGMA synchronous = FULL",
            f"PRAGMA synchronous = {other}",
            "tests/engine/test_durable.py::test_every_connection_of_a_real_ledger_syncs_at_each_commit",
        )
        for other in ("NORMAL", "OFF")
    ),
    PlantedFault(
        "sync/polling/sweep.py",
        "known.get(id_) != modified",
        "id_ not in known",
        "tests/engine/test_sweep.py::test_a_record_is_read_again_where_it_is_listed_with_another_time",
    ),
)
