"""What becomes of each reading: records seen for the first time, changed, touched, gone, back again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from state.diagram import Fit, LeadExists, State, Version
from state.rows import Decision, OnChange, Reading, RetryMode, Stored
from sync.polling import judge as judging
from sync.polling.judge import Rules, is_before

JANUARY, MARCH, MAY = (f"2026-0{month}-01T00:00:00.000000Z" for month in (1, 3, 5))
ALL, RESEND = Rules("hold"), Rules("resend")


def version(
    content: str | None = "a", modified: str | None = MARCH, *, fit: Fit = "eligible", mapping: int = 1
) -> Version:
    source = None if fit == "deleted" or content is None else content.encode()
    return Version(fit, modified, mapping, source, f"{mapping}{content}".encode() if fit == "eligible" else None)


def read(content: str | None = "a", modified: str | None = MARCH, **options: Any) -> Reading:
    return Reading("7", version(content, modified, **options))


def stored(
    state: State,
    lead: LeadExists = "no",
    latest: Version | None = None,
    *,
    base: Version | None = None,
    base_batch: str | None = None,
    drift: bool = False,
    again: RetryMode | None = None,
    approved: bool = False,
) -> Stored:
    return Stored(1, "7", state, lead, latest or version(), base, base_batch, drift, again, approved)


def delivered(latest: Version | None = None, base: Version | None = None, *, drift: bool = False) -> Stored:
    return stored("delivered", "yes", latest, base=base or latest or version(), base_batch="b", drift=drift)


def judge(reading: Reading, stored: Stored | None, rules: Rules) -> Decision | None:
    """As the program does; what is to be written is of this reading."""
    change = judging.judge(reading, stored, rules)
    assert change is None or change.reading is reading
    if change is not None and stored is not None:
        # which delivery a lead stands for is no judgement, unless it was there before
        became_known = change.state == "known" != stored.state
        assert change.base_batch == (None if became_known else stored.base_batch)
        assert not became_known or change.base == reading.version
        assert change.state not in {"forgotten", "ignored"} or change.base == stored.base
    return change


def verdict(change: Decision | None) -> tuple[State, LeadExists, bool] | None:
    return None if change is None else (change.state, change.lead_exists, change.drift)


# -- seen for the first time


@pytest.mark.parametrize(
    ("fit", "state"),
    [("eligible", "pending"), ("filtered", "filtered"), ("unfit", "quarantined"), ("deleted", "withdrawn")],
)
def test_under_start_all_every_record_is_wanted(fit: Fit, state: State) -> None:
    for modified in (None, JANUARY, MAY):
        assert verdict(judge(read("a", modified, fit=fit), None, ALL)) == (state, "no", False)


@pytest.mark.parametrize(("modified", "is_old"), [(JANUARY, True), (None, True), (MARCH, False), (MAY, False)])
def test_under_a_date_older_records_are_ignored(modified: str | None, is_old: bool) -> None:
    rules = Rules("hold", since=MARCH)
    expected: dict[Fit, State] = {"eligible": "pending", "unfit": "quarantined"}
    expected |= {"filtered": "filtered", "deleted": "withdrawn"}
    for fit, young in expected.items():
        state = "ignored" if is_old and fit in {"eligible", "unfit"} else young
        assert verdict(judge(read("a", modified, fit=fit), None, rules)) == (state, "no", False)


@pytest.mark.parametrize(("modified", "was_there"), [(JANUARY, True), (None, True), (MARCH, False), (MAY, False)])
def test_under_now_what_was_there_before_is_known(modified: str | None, was_there: bool) -> None:
    rules = Rules("resend", began=MARCH, baseline=True)
    first = judge(read("a", modified), None, rules)
    assert verdict(first) == (("known", "yes", False) if was_there else ("pending", "no", False))
    assert first is not None
    assert first.base == (version("a", modified) if was_there else None)
    unfit = judge(read("a", modified, fit="unfit"), None, rules)
    assert verdict(unfit) == (("known", "yes", False) if was_there else ("quarantined", "no", False))
    assert verdict(judge(read("a", modified, fit="filtered"), None, rules)) == ("filtered", "no", False)
    assert verdict(judge(read("a", modified, fit="deleted"), None, rules)) == ("withdrawn", "no", False)


def test_once_the_first_scan_is_over_a_new_record_is_new_however_old_its_date() -> None:
    assert verdict(judge(read("a", JANUARY), None, Rules("hold", baseline=False))) == ("pending", "no", False)


@pytest.mark.parametrize(
    ("modified", "point", "before"),
    [
        (None, MARCH, True),
        (JANUARY, MARCH, True),
        (MARCH, MARCH, False),
        ("9", "10", True),
        ("10", "9", False),
        ("10", "10", False),
        ("000000000000000000000009", "10", True),
        ("99999999999999999999", "100000000000000000000", True),
        ("-96", "-95", True),
        ("-5", "3", True),
        ("7.10000000000000000001", "7.1", False),
        # what cannot be read was there before, as far as anybody knows
        ("odd", "8", True),
        ("NaN", "8", True),
        ("odd", MARCH, True),
        ("9999", MARCH, True),
    ],
)
def test_times_compare_as_text_and_sequences_as_numbers(modified: str | None, point: str, before: bool) -> None:
    assert is_before(modified, point) == before


# -- seen again


@pytest.mark.parametrize("state", ["pending", "filtered", "quarantined", "held", "ignored", "withdrawn", "sending"])
def test_the_same_again_is_nothing_to_do(state: State) -> None:
    lead: LeadExists = "maybe" if state == "sending" else "no"
    assert judge(read(), stored(state, lead), ALL) is None
    gone = version(fit="deleted")
    assert judge(Reading("7", gone), stored(state, lead, gone), ALL) is None


def test_what_was_not_mapped_cannot_be_judged_again() -> None:
    """It was to be judged again only after it was read: it goes on waiting for that."""
    unmapped = replace(read(), mapped=False)
    assert judge(unmapped, replace(stored("pending"), again="judge"), ALL) is None
    assert verdict(judge(read(), replace(stored("duplicate"), again="judge"), ALL)) == ("pending", "no", False)


def test_an_ignored_record_waits_until_it_changes() -> None:
    rules = Rules("hold", since=MARCH)
    ignored = stored("ignored", latest=version("a", JANUARY))
    assert verdict(judge(read("a", JANUARY, mapping=2, fit="unfit"), ignored, rules)) == ("ignored", "no", False)
    assert verdict(judge(read("a", MAY), ignored, rules)) == ("ignored", "no", False)  # touched
    assert verdict(judge(read("a", JANUARY, mapping=2), ignored, rules)) == ("ignored", "no", False)  # remapped
    assert verdict(judge(read("b", JANUARY), ignored, rules)) == ("pending", "no", False)  # changed under an old date
    assert verdict(judge(read("b", MAY), ignored, rules)) == ("pending", "no", False)
    assert verdict(judge(read("b", MAY, mapping=2), ignored, rules)) == ("pending", "no", False)
    assert verdict(judge(read("a", MAY, fit="deleted"), ignored, rules)) == ("withdrawn", "no", False)


def test_an_old_record_that_only_the_mapping_makes_eligible_is_ignored_too() -> None:
    """`start` is a date: what did not change since then is not wanted, whichever mapping looks at it."""
    rules = Rules("hold", since=MARCH)
    old = stored("filtered", latest=version("a", JANUARY, fit="filtered"))
    assert verdict(judge(read("a", JANUARY, mapping=2), old, rules)) == ("ignored", "no", False)
    assert verdict(judge(read("b", JANUARY), old, rules)) == ("pending", "no", False)
    assert verdict(judge(read("b", MAY, mapping=2), old, rules)) == ("pending", "no", False)
    assert verdict(judge(read("a", JANUARY, mapping=2, fit="unfit"), old, rules)) == ("ignored", "no", False)
    young = stored("filtered", latest=version("a", MAY, fit="filtered"))
    assert verdict(judge(read("a", MAY, mapping=2), young, rules)) == ("pending", "no", False)


@pytest.mark.parametrize(
    ("before", "mapping"),
    [(MAY, 1), (JANUARY, 2)],
    ids=["its own date is set back", "start and mapping were edited"],
)
@pytest.mark.parametrize(
    ("state", "lead", "fit"),
    [
        ("pending", "no", "eligible"),
        ("held", "no", "eligible"),
        ("quarantined", "no", "unfit"),
        ("known", "yes", "eligible"),
    ],
)
def test_a_start_that_is_a_date_takes_back_nothing_that_was_decided(
    before: str, mapping: int, state: State, lead: LeadExists, fit: Fit
) -> None:
    latest = version("a", before, fit=fit)
    decided = stored(state, lead, latest, base=latest if lead == "yes" else None)
    again = judge(read("a", JANUARY, mapping=mapping, fit=fit), decided, Rules("hold", since=MARCH))
    assert verdict(again) == (state, lead, False)


@pytest.mark.parametrize("fit", ["filtered", "deleted"])
def test_what_is_not_wanted_is_not_called_older_than_the_start(fit: Fit) -> None:
    old = stored("filtered", latest=version("a", JANUARY, fit="filtered"))
    state = "filtered" if fit == "filtered" else "withdrawn"
    assert verdict(judge(read("a", JANUARY, mapping=2, fit=fit), old, Rules("hold", since=MARCH))) == (
        state,
        "no",
        False,
    )


@pytest.mark.parametrize("on_change", ["hold", "resend"])
def test_a_record_that_was_known_changes_as_if_we_had_sent_it(on_change: OnChange) -> None:
    known = stored("known", "yes", base=version())
    assert verdict(judge(read("a", MAY), known, Rules(on_change))) == ("known", "yes", False)
    changed = judge(read("b", MAY), known, Rules(on_change))
    assert verdict(changed) == (("known", "yes", True) if on_change == "hold" else ("pending", "yes", True))


def test_drift_goes_when_the_delivered_version_comes_back() -> None:
    drifted = delivered(version("b", MAY), version("a", MARCH), drift=True)
    back = judge(read("a", "2026-06-01T00:00:00.000000Z"), drifted, ALL)
    assert verdict(back) == ("delivered", "yes", False)
    waiting = stored("pending", "yes", version("b", MAY), base=version("a"), base_batch="b", drift=True)
    assert verdict(judge(read("a", JANUARY), waiting, RESEND)) == ("delivered", "yes", False)


def test_a_change_between_a_filter_and_back_counts() -> None:
    filtered = stored("delivered", "yes", version("a", MAY, fit="filtered"), base=version("a"), base_batch="b")
    assert verdict(judge(read("a", MAY), filtered, RESEND)) == ("delivered", "yes", False)
    assert verdict(judge(read("b", MAY), filtered, RESEND)) == ("pending", "yes", True)
    assert verdict(judge(read("b", MAY), filtered, ALL)) == ("delivered", "yes", True)


@pytest.mark.parametrize("on_change", ["hold", "resend"])
def test_a_touched_record_stays_and_a_later_edit_of_the_mapping_finds_it_unmoved(on_change: OnChange) -> None:
    rules = Rules(on_change)
    touched = judge(read("a", MAY), delivered(), rules)
    assert verdict(touched) == ("delivered", "yes", False)
    assert touched is not None
    after = stored("delivered", "yes", version("a", MAY), base=touched.base, base_batch="b")
    assert verdict(judge(read("a", MAY, mapping=2), after, rules)) == ("delivered", "yes", False)


def test_a_resend_that_waits_goes_on_waiting_when_its_record_is_touched() -> None:
    """Also where the lead's own version cannot be compared any more."""
    for base in (version("a"), Version("eligible", MARCH, 1, None, None)):
        waiting = stored("pending", "yes", version("b", MARCH), base=base, base_batch="b", drift=True)
        assert verdict(judge(read("b", MAY), waiting, RESEND)) == ("pending", "yes", True)
        assert verdict(judge(read("b", MAY), waiting, ALL)) == ("delivered", "yes", True)  # on_change was edited


# -- rejected by the server


@pytest.mark.parametrize("lead", ["no", "yes"])
def test_what_the_server_rejected_rests_until_it_changes_or_is_mapped_anew(lead: LeadExists) -> None:
    base = version("0") if lead == "yes" else None
    rejected = stored(
        "quarantined", lead, version("a"), base=base, base_batch="b" if base else None, drift=lead == "yes"
    )
    states = [
        judge(read("a", MAY), rejected, RESEND),
        judge(read("b", MAY), rejected, RESEND),
        judge(read("a", MAY, fit="filtered"), rejected, RESEND),
        judge(read("a", MAY, fit="deleted"), rejected, RESEND),
    ]
    gone = ["filtered", "withdrawn"] if lead == "no" else ["delivered", "delivered"]
    assert [change and change.state for change in states] == ["quarantined", "pending", *gone]
    anew = judge(read("a", MARCH, mapping=2), rejected, RESEND)
    assert anew is not None
    assert anew.state == ("pending" if lead == "no" else "delivered")
    assert anew.drift == (lead == "yes")


def test_a_new_lead_that_the_server_rejected_is_not_sent_again_for_a_touch_where_changes_are_held() -> None:
    assert verdict(judge(read("a", MAY), stored("quarantined"), ALL)) == ("quarantined", "no", False)


def test_what_waits_for_approval_goes_on_waiting_for_it() -> None:
    held = stored("held")
    for change in (judge(read("a", MAY), held, ALL), judge(read("b", MAY), held, ALL)):
        assert verdict(change) == ("held", "no", False)
    assert verdict(judge(read("b", MAY, fit="filtered"), held, ALL)) == ("filtered", "no", False)


def test_a_resend_that_waits_for_approval_goes_on_waiting_when_its_record_is_touched() -> None:
    """Also where the lead's own version cannot be compared any more."""
    for base in (version("a"), Version("eligible", MARCH, 1, None, None)):
        held = stored("held", "yes", version("b", MARCH), base=base, base_batch="b", drift=True)
        assert verdict(judge(read("b", MAY), held, RESEND)) == ("held", "yes", True)
        assert verdict(judge(read("c", MAY), held, RESEND)) == ("held", "yes", True)


# -- a person's word


def test_a_person_s_approval_is_not_taken_back_by_a_touch_but_by_a_change() -> None:
    """The stream holds changes, so only their word sends it; it was given for the lead that was there."""
    for base in (version("a"), Version("eligible", MARCH, 1, None, None)):
        for state in ("pending", "quarantined"):  # quarantined: the server rejected it
            waiting = stored(state, "yes", version("b", MARCH), base=base, base_batch="b", drift=True, approved=True)
            assert verdict(judge(read("b", MAY), waiting, ALL)) == (state, "yes", True)
            assert verdict(judge(read("c", MAY), waiting, ALL)) == ("delivered", "yes", True)
            assert verdict(judge(read("b", MAY, mapping=2), waiting, ALL)) == ("delivered", "yes", True)


@pytest.mark.parametrize("state", ["delivered", "known"])
@pytest.mark.parametrize("on_change", ["hold", "resend"])
def test_drift_that_a_person_or_a_rule_left_there_is_not_sent_for_a_touch(state: State, on_change: OnChange) -> None:
    batch = "b" if state == "delivered" else None
    left = stored(state, "yes", version("b", MARCH), base=version("a"), base_batch=batch, drift=True)
    assert verdict(judge(read("b", MAY), left, Rules(on_change))) == (state, "yes", True)
    changed = verdict(judge(read("c", MAY), left, Rules(on_change)))
    assert changed == ((state if on_change == "hold" else "pending"), "yes", True)
    assert verdict(judge(read("a", MAY), left, Rules(on_change))) == (state, "yes", False)


def mapped(content: str | None = "a", modified: str | None = MARCH, **options: Any) -> Reading:
    """A reading that was mapped, so that a lead could be sent from it."""
    latest = version(content, modified, **options)
    return Reading("7", latest, b"{}", b"{}" if latest.fit == "eligible" else None)


@pytest.mark.parametrize("rules", [ALL, RESEND, Rules("hold", since=MAY), Rules("hold", began=MAY)])
@pytest.mark.parametrize(
    ("state", "lead", "drift"),
    [("quarantined", "no", False), ("held", "no", False), ("quarantined", "yes", True), ("delivered", "yes", True)],
)
@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (mapped("b"), "pending"),  # as it was
        (mapped("b", MAY), "pending"),
        (mapped("c", MAY), "pending"),
        (mapped("c", MAY, mapping=2), "pending"),
        (mapped("b", mapping=2), "pending"),
        (mapped("b", fit="filtered"), "filtered"),
        (mapped(None, MAY, fit="deleted"), "withdrawn"),
        (mapped("c", fit="unfit"), None),
    ],
)
def test_what_a_person_wants_sent_is_sent_if_it_can_be(
    rules: Rules, state: State, lead: LeadExists, drift: bool, reading: Reading, expected: State | None
) -> None:
    base = version("a") if lead == "yes" else None
    asked = stored(state, lead, version("b"), base=base, base_batch="b" if base else None, drift=drift, again="send")
    change = judge(reading, asked, rules)
    assert change is not None
    unfit = "delivered" if lead == "yes" and rules.on_change == "hold" else "quarantined"
    if lead == "yes" and expected in {"filtered", "withdrawn"}:
        expected = "delivered"
    assert verdict(change) == (expected or unfit, lead, drift)


def test_a_lead_that_stands_for_the_record_again_is_not_sent_once_more() -> None:
    asked = stored("delivered", "yes", version("b"), base=version("a"), base_batch="b", drift=True, again="send")
    assert verdict(judge(mapped("a", MAY), asked, RESEND)) == ("delivered", "yes", False)


@pytest.mark.parametrize("again", ["judge", "send"])
def test_a_reading_that_was_not_mapped_cannot_be_judged_again(again: RetryMode) -> None:
    """It was made before somebody asked for it: the record waits for its stream's next turn."""
    asked = stored("delivered", "yes", version("b"), base=version("a"), base_batch="b", drift=True, again=again)
    assert judge(replace(read("b"), mapped=False), asked, RESEND) is None
    assert judge(mapped("b"), asked, RESEND) is not None


def test_what_a_person_dropped_stays_forgotten_until_it_changes() -> None:
    sent: tuple[tuple[LeadExists, Version | None], ...] = (("no", None), ("yes", version("a")))
    for lead, base in sent:
        dropped = stored("forgotten", lead, version("a"), base=base, base_batch="b" if base else None)
        assert verdict(judge(read("a", MAY), dropped, RESEND)) == ("forgotten", lead, False)
        assert verdict(judge(read("a", mapping=2), dropped, RESEND)) == ("forgotten", lead, False)
        assert verdict(judge(read("a", mapping=2, fit="unfit"), dropped, RESEND)) == ("forgotten", lead, False)
        assert verdict(judge(read("b", MAY), dropped, RESEND)) == ("pending", lead, lead == "yes")
        assert verdict(judge(read("b", MARCH), dropped, RESEND)) == ("pending", lead, lead == "yes")
    unusable = stored("forgotten", latest=version(None, fit="unfit"))
    assert verdict(judge(read(None, MAY, fit="unfit"), unusable, ALL)) == ("forgotten", "no", False)
    assert verdict(judge(read("a", MAY), unusable, ALL)) == ("pending", "no", False)


# -- on the wire


@pytest.mark.parametrize("state", ["sending", "in_doubt"])
@pytest.mark.parametrize("lead", ["maybe", "yes"])
@pytest.mark.parametrize("fit", ["eligible", "filtered", "unfit", "deleted"])
def test_a_version_read_while_on_the_wire_is_only_stored(state: State, lead: LeadExists, fit: Fit) -> None:
    base = version("0") if lead == "yes" else None
    batch = "b0" if base else None
    on_the_wire = stored(state, lead, base=base, base_batch=batch, drift=lead == "yes")
    reading = read("b", MAY, fit=fit)
    change = judge(reading, on_the_wire, RESEND)
    assert change == Decision(reading, state, lead, base, batch, drift=lead == "yes", batch="*")


# -- gone, and unusable


@pytest.mark.parametrize("state", ["pending", "filtered", "quarantined", "held", "ignored"])
def test_a_tombstone_withdraws_what_is_unsent(state: State) -> None:
    assert verdict(judge(read("a", MAY, fit="deleted"), stored(state), ALL)) == ("withdrawn", "no", False)


@pytest.mark.parametrize("on_change", ["hold", "resend"])
def test_a_record_that_is_gone_and_comes_back_is_no_new_record(on_change: OnChange) -> None:
    gone = judge(read("a", MAY, fit="deleted"), delivered(), Rules(on_change))
    assert verdict(gone) == ("delivered", "yes", False)
    assert gone is not None
    withdrawn = stored("delivered", "yes", version("a", MAY, fit="deleted"), base=gone.base, base_batch="b")
    assert verdict(judge(read("a", MAY), withdrawn, Rules(on_change))) == ("delivered", "yes", False)
    assert verdict(judge(read("b", MAY), withdrawn, Rules(on_change))) == (
        ("delivered", "yes", True) if on_change == "hold" else ("pending", "yes", True)
    )


def test_an_unusable_record_is_quarantined_and_usable_again_sent() -> None:
    unusable = read(None, MARCH, fit="unfit")
    assert verdict(judge(unusable, None, ALL)) == ("quarantined", "no", False)
    bad = stored("quarantined", latest=unusable.version)
    assert judge(unusable, bad, ALL) is None
    assert verdict(judge(read("a", MARCH), bad, ALL)) == ("pending", "no", False)


def test_an_unusable_reading_of_a_delivered_record_sends_nothing_when_it_is_usable_again() -> None:
    for mapping in (1, 2):  # 2: the mapping was edited in between, so nobody can compare
        unusable = judge(read(None, MARCH, fit="unfit", mapping=mapping), delivered(), RESEND)
        assert unusable is not None
        assert unusable.state in {"quarantined", "delivered"}
        after = stored(
            unusable.state,
            "yes",
            unusable.reading.version,
            base=unusable.base,
            base_batch="b",
            drift=unusable.drift,
        )
        again = judge(read("a", MARCH, mapping=mapping), after, RESEND)
        assert again is not None
        assert again.state == "delivered"


def test_under_now_a_row_ahead_of_the_present_was_there_too() -> None:
    rules = Rules("hold", began=MARCH, baseline=True, ahead=MAY)
    assert verdict(judge(read("a", "2030-01-01T00:00:00.000000Z"), None, rules)) == ("known", "yes", False)
    between = judge(read("a", "2026-04-01T00:00:00.000000Z"), None, rules)
    assert verdict(between) == ("pending", "no", False)


def test_under_now_an_edited_where_does_not_send_what_was_there() -> None:
    before = stored("filtered", latest=version("a", JANUARY, fit="filtered"))
    after_edit = read("a", JANUARY, mapping=2)
    assert verdict(judge(after_edit, before, Rules("hold", began=MARCH))) == ("known", "yes", False)
    assert verdict(judge(read("b", MAY, mapping=2), before, Rules("hold", began=MARCH))) == ("pending", "no", False)


def test_under_now_an_edited_where_sends_what_came_later() -> None:
    before = stored("filtered", latest=version("a", MAY, fit="filtered"))
    assert verdict(judge(read("a", MAY, mapping=2), before, Rules("hold", began=MARCH))) == ("pending", "no", False)
