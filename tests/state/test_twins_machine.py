"""A state machine over records that may be the same person: whoever comes first, nobody is created twice or lost."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from state.rows import Verdict
from tests.sizes import machine_settings
from tests.state.twins_world import KEYS, MERGING, VALUES, World
from tests.state.world_machine import WorldMachine

keys = st.sampled_from(KEYS)
values = st.frozensets(st.sampled_from(VALUES), max_size=2)
verdicts = st.sampled_from(["created", "created", "refused", "rejected", "in_doubt", "in_doubt"])


class TwinsMachine(WorldMachine[World]):
    @initialize(begun=st.sampled_from(["", "read", "delivered"]), unmatched=st.booleans(), data=st.data())
    def begin(self, begun: str, unmatched: bool, data: st.DataObject) -> None:
        self.world = World(self.folder, unmatched=unmatched)
        for key in KEYS:
            self.world.change(key, values=data.draw(values))
        if begun:
            self.world.read(*KEYS)
        if begun == "delivered":
            self.world.drain()

    @rule(key=keys, values=values)
    def a_record_gets_other_values(self, key: str, values: frozenset[str]) -> None:
        self.world.change(key, values=values)
        self.world.read(key)

    @rule(key=keys)
    def a_record_is_wanted_or_not_any_more(self, key: str) -> None:
        self.world.change(key, wanted=not self.world.truths[key].wanted)
        self.world.read(key)

    @rule(one=keys, other=keys, values=values)
    def two_records_change_on_one_page(self, one: str, other: str, values: frozenset[str]) -> None:
        self.world.change(one, values=values)
        self.world.change(other, wanted=not self.world.truths[other].wanted)
        self.world.read(one, *({other} - {one}))

    @rule(stream=st.sampled_from(["crm", "erp", "plain"]))
    def a_stream_is_read_whole(self, stream: str) -> None:
        self.world.read(*(key for key in KEYS if key.startswith(stream)))

    @rule(loser=st.sampled_from(MERGING[:3]), survivor=st.sampled_from(MERGING), with_survivor=st.booleans())
    def records_are_merged(self, loser: str, survivor: str, with_survivor: bool) -> None:
        if loser != survivor:
            self.world.merge(loser, survivor)
            page = [f"crm/{loser}", *([f"crm/{survivor}"] if with_survivor and survivor in "abc" else [])]
            self.world.read(*page)

    @rule(loser=st.sampled_from("abc"), survivor=st.sampled_from("abc"), value=st.sampled_from(VALUES))
    def a_new_survivor_waits_when_its_loser_is_reported(self, loser: str, survivor: str, value: str) -> None:
        self.world.change(f"crm/{survivor}", values=frozenset({value}))
        self.world.read(f"crm/{survivor}")
        self.records_are_merged(loser, survivor, False)
        self.world.claim(100)

    @rule(most=st.sampled_from([1, 100]))
    def claim(self, most: int) -> None:
        self.world.claim(most)

    @rule(value=st.sampled_from(VALUES), verdict=verdicts)
    def a_value_is_imported_while_it_is_on_the_wire(self, value: str, verdict: Verdict) -> None:
        self.world.claim(100)
        self.world.keep(value)
        self._first_verdict(verdict)
        self.world.claim(100)

    def _first_verdict(self, verdict: Verdict) -> None:
        if self.world.open:
            self.world.conclude(next(iter(self.world.open)), verdict)

    @rule(
        most=st.sampled_from([1, 100]), loser=st.sampled_from("abc"), survivor=st.sampled_from("abc"), verdict=verdicts
    )
    def records_are_merged_while_one_is_on_the_wire(
        self, most: int, loser: str, survivor: str, verdict: Verdict
    ) -> None:
        self.world.change(f"crm/{survivor}", values=frozenset())
        self.world.read(f"crm/{survivor}")
        self.world.claim(most)
        self.records_are_merged(loser, survivor, False)
        self.world.judge_again()
        self._first_verdict(verdict)
        self.world.claim(100)

    @rule(most=st.sampled_from([1, 100]), key=keys, values=values, verdict=verdicts)
    def a_record_changes_while_it_is_on_the_wire(
        self, most: int, key: str, values: frozenset[str], verdict: Verdict
    ) -> None:
        self.world.claim(most)
        self.a_record_gets_other_values(key, values)
        self._first_verdict(verdict)
        self.world.claim(100)

    @precondition(lambda self: hasattr(self, "world") and self.world.open)
    @rule(data=st.data(), verdict=verdicts, landed=st.booleans())
    def a_verdict_comes(self, data: st.DataObject, verdict: Verdict, landed: bool) -> None:
        name = data.draw(st.sampled_from(list(self.world.open)))
        self.world.conclude(name, verdict, landed=landed)

    @precondition(lambda self: hasattr(self, "world") and self.world.doubt)
    @rule(data=st.data())
    def a_person_settles_a_batch(self, data: st.DataObject) -> None:
        self.world.resolve(data.draw(st.sampled_from(list(self.world.doubt))))

    @rule()
    def records_are_judged_again(self) -> None:
        self.world.judge_again()

    @rule(stream=st.sampled_from(["crm", "erp"]))
    def matching_is_switched(self, stream: str) -> None:
        self.world.switch(stream)

    @rule(value=st.sampled_from(VALUES))
    def a_value_is_imported(self, value: str) -> None:
        self.world.keep(value)

    @rule(value=st.sampled_from(VALUES))
    def an_import_is_taken_back(self, value: str) -> None:
        self.world.forget(value)


def test_nobody_is_created_twice_and_nobody_is_lost() -> None:
    run_state_machine_as_test(
        TwinsMachine,
        settings=machine_settings((45, 25), (1500, 50), (8000, 80)),
    )
