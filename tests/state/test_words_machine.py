"""A state machine over the words of a person: whatever they say of whatever record, in whatever order with changes,
verdicts and edited mappings, nothing is sent that nobody wants, and nothing that somebody wants is lost."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from state.rows import NoRoom, Verdict
from tests.sizes import machine_settings, sized
from tests.state.ledger_world import Landed, OpenBatch, World
from tests.state.world_machine import WorldMachine

KEYS = ("hold/a", "resend/a", "resend/b")

keys = st.sampled_from(KEYS)
streams = st.sampled_from(["hold", "resend"])
whats = st.sampled_from(["touched", "touched", "touched", "on", "on", "back", "filtered", "unfit", "deleted"])
sometimes = st.sampled_from([False, False, True])
thens = st.sampled_from(
    [[], ["touched"], ["touched"], ["touched"], ["on"], ["back"], ["filtered", "filtered"], ["unfit"]]
)
"""What a record does after the word; a touch above all, which must not undo one."""
verdicts = st.sampled_from(["created", "refused", "rejected", "in_doubt", "in_doubt"])
landings = st.sampled_from(["none", "some", "all"])


class WordsMachine(WorldMachine[World]):
    @initialize(delivered=st.sampled_from([True, True, False]))
    def begin(self, delivered: bool) -> None:
        self.world = World(self.folder, keys=KEYS)
        self.world.read(*KEYS)
        if delivered:
            self.world.drain()

    def _then(self, key: str, changes: list[str]) -> None:
        for each in changes:
            self.world.change(key, each)
            self.world.read(key)

    def _forget(self, key: str, *, expire: bool, edit: bool) -> None:
        """What makes a record unfit to be sent as it is."""
        if expire:
            self.world.advance(1.0)
            self.world.ledger.verdicts.forget_payloads(0)
        if edit:
            self.world.edit_mapping(key.split("/", maxsplit=1)[0])

    @rule(
        key=keys,
        what=st.sampled_from(["acknowledge", "resend", "resend"]),
        change=st.sampled_from(["touched", "touched", "on", "back", "filtered", "unfit", "deleted"]),
        expire=sometimes,
        edit=sometimes,
        then=thens,
    )
    def a_lead_drifts_and_is_settled(
        self, key: str, what: str, change: str, expire: bool, edit: bool, then: list[str]
    ) -> None:
        self._then(key, ["on", change])
        self._forget(key, expire=expire, edit=edit)
        self.world.say(key, what)
        self._then(key, then)

    @rule(
        key=keys,
        what=st.sampled_from(["approve", "discard", "nothing"]),
        expire=sometimes,
        edit=sometimes,
        then=thens,
    )
    def a_poll_is_held_and_settled(self, key: str, what: str, expire: bool, edit: bool, then: list[str]) -> None:
        self._then(key, ["on"])
        self.world.hold(key)
        self._then(key, then[:1])
        self._forget(key, expire=expire, edit=edit)
        if what != "nothing":
            self.world.say(key, what)
        self._then(key, then)

    @rule(
        key=keys,
        what=st.sampled_from(["retry", "drop"]),
        how=st.sampled_from(["rejected", "unfit"]),
        expire=sometimes,
        edit=sometimes,
        then=thens,
    )
    def a_record_is_quarantined_and_settled(
        self, key: str, what: str, how: str, expire: bool, edit: bool, then: list[str]
    ) -> None:
        """Under `hold` a lead that exists comes there only by a person's word."""
        self._then(key, ["on"])
        if how == "unfit":
            self._then(key, ["unfit"])
        else:
            self.world.say(key, "resend")
            self.world.reject(key)
        self._then(key, then[:1])
        self._forget(key, expire=expire, edit=edit)
        self.world.say(key, what)
        self._then(key, then)

    @rule(key=keys, what=st.sampled_from(["retry", "drop", "approve", "discard", "acknowledge", "resend"]))
    def a_person_says_what_to_do(self, key: str, what: str) -> None:
        self.world.say(key, what)

    @rule(key=keys, changes=st.lists(whats, min_size=1, max_size=2))
    def a_record_changes(self, key: str, changes: list[str]) -> None:
        self._then(key, changes)

    @rule(key=keys, change=whats, verdict=verdicts, landed=landings, together=st.booleans())
    def what_is_due_goes_out(self, key: str, change: str, verdict: Verdict, landed: Landed, together: bool) -> None:
        """And a record changes meanwhile."""
        got = self.world.claim(100 if together else 1)
        if isinstance(got, NoRoom):
            self.world.advance(got.seconds)
            got = self.world.claim(100)
        self._then(key, [change])
        if isinstance(got, OpenBatch):
            self.world.conclude(got.claim.batch, verdict, landed=landed)

    @rule(position=st.integers(0, 2), whole=st.booleans())
    def doubts_are_settled_one_by_one(self, position: int, whole: bool) -> None:
        for name in sorted(self.world.doubt):
            self.world.resolve(name, None if whole else position)

    @rule(stream=streams)
    def a_mapping_is_edited(self, stream: str) -> None:
        self.world.edit_mapping(stream)

    @rule()
    def the_next_turn_of_each_stream(self) -> None:
        self.world.remap()


@pytest.mark.timeout(sized(300, 0, 0))
def test_a_persons_word_counts_and_nothing_else_does() -> None:
    run_state_machine_as_test(
        WordsMachine,
        settings=machine_settings((50, 10), (600, 20), (6000, 30)),
    )
