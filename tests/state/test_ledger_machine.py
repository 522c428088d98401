"""A state machine over the real ledger: whatever happens in whatever order, nothing is lost and nothing sent twice."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from state.rows import Verdict
from state.slots import GRACE_SECONDS, MARGIN
from tests.sizes import machine_settings, sized
from tests.state.ledger_world import KEYS, LIMIT, TIMEOUT, Landed, OpenBatch, World
from tests.state.world_machine import WorldMachine

WINDOW = LIMIT.per * (1 + MARGIN)
EDGES = [0.0, 0.001, 1.0, TIMEOUT, TIMEOUT + GRACE_SECONDS, WINDOW - 0.001, WINDOW, WINDOW + GRACE_SECONDS + TIMEOUT]

keys = st.sampled_from(KEYS)
whats = st.sampled_from(["on", "on", "back", "touched", "touched", "filtered", "unfit", "deleted"])
landings: st.SearchStrategy[Landed] = st.sampled_from(["none", "some", "all", "all"])
sayings = st.sampled_from(["retry", "drop", "approve", "discard", "acknowledge", "resend", "resend"])
VERDICTS: tuple[Verdict, ...] = ("created", "created", "refused", "rejected", "paused", "in_doubt", "in_doubt")
verdicts = st.sampled_from(VERDICTS)
FATES: tuple[Literal["not begun", "on the wire"] | Verdict, ...] = ("not begun", "on the wire", *VERDICTS)
"""How far a batch came before a kill."""


class LedgerMachine(WorldMachine[World]):
    @initialize(
        resend_unknown=st.sampled_from([False, False, False, True]), begun=st.sampled_from(["", "read", "delivered"])
    )
    def begin(self, resend_unknown: bool, begun: str) -> None:
        self.world = World(self.folder, resend_unknown=resend_unknown)
        if begun:
            self.world.read(*KEYS)
        if begun == "delivered":
            self.world.drain()

    @rule(key=keys, what=whats)
    def a_record_changes_and_is_read(self, key: str, what: str) -> None:
        self.world.change(key, what)
        self.world.read(key)

    @rule(key=keys, what=whats, again=whats)
    def a_record_changes_twice_and_is_read_after_each(self, key: str, what: str, again: str) -> None:
        for each in (what, again):
            self.world.change(key, each)
            self.world.read(key)

    @rule(stream=st.sampled_from(["hold", "resend"]))
    def a_stream_is_read_whole(self, stream: str) -> None:
        self.world.read(*(key for key in KEYS if key.startswith(stream)))

    @rule(stream=st.sampled_from(["hold", "resend"]), remap=st.booleans())
    def a_mapping_is_edited(self, stream: str, remap: bool) -> None:
        self.world.edit_mapping(stream)
        if remap:
            self.world.remap()

    @rule(key=keys, what=whats)
    def a_record_changes_together_with_its_mapping(self, key: str, what: str) -> None:
        self.world.change(key, what)
        self.world.edit_mapping(key.split("/", maxsplit=1)[0])
        self.world.read(key)

    @rule(key=keys, what=whats, later=st.lists(whats, min_size=1, max_size=2))
    def a_record_goes_on_changing_after_that(self, key: str, what: str, later: list[str]) -> None:
        self.a_record_changes_together_with_its_mapping(key, what)
        for each in later:
            self.world.change(key, each)
            self.world.read(key)

    @rule()
    def unsent_leads_are_mapped_again(self) -> None:
        self.world.remap()

    @rule(most=st.sampled_from([1, 2, 100]), linger=st.sampled_from([0.0, 0.0, 2.0]), dawdle=st.sampled_from(EDGES))
    def claim_then_dawdle(self, most: int, linger: float, dawdle: float) -> None:
        self.world.claim(most, linger)
        self.world.advance(dawdle)

    @rule(most=st.sampled_from([1, 100]), key=keys, what=whats, verdict=verdicts, landed=landings)
    def a_record_changes_while_it_is_on_the_wire(
        self, most: int, key: str, what: str, verdict: Verdict, landed: Landed
    ) -> None:
        self.world.claim(most)
        self.world.change(key, what)
        self.world.read(key)
        if self.world.open:
            self.world.conclude(next(iter(self.world.open)), verdict, landed=landed)

    @rule(
        latency=st.sampled_from([0.0, 0.1, TIMEOUT]),
        verdict=st.sampled_from(["refused", "in_doubt"]),
        late=st.booleans(),
        apart=st.sampled_from(EDGES),
    )
    def a_burst_of_requests(self, latency: float, verdict: Verdict, late: bool, apart: float) -> None:
        """As many as the governor lets go, then as many again after a moment at the edge of the window."""
        self.world.read(*KEYS)
        for _ in range(2):
            started = [batch for _ in range(LIMIT.requests + 1) if isinstance(batch := self.world.claim(1), OpenBatch)]
            self.world.advance(latency)
            for batch in started:
                self.world.conclude(batch.claim.batch, verdict, late=late)
            self.world.advance(apart)

    @precondition(lambda self: hasattr(self, "world") and self.world.open)
    @rule(data=st.data(), verdict=verdicts, landed=landings, late=st.booleans())
    def a_verdict_comes(self, data: st.DataObject, verdict: Verdict, landed: Landed, late: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.world.open)))
        self.world.conclude(name, verdict, landed=landed, late=late)

    @precondition(lambda self: hasattr(self, "world") and self.world.doubt)
    @rule(data=st.data())
    def a_person_settles_a_batch(self, data: st.DataObject) -> None:
        self.world.resolve(data.draw(st.sampled_from(sorted(self.world.doubt))))

    @precondition(lambda self: hasattr(self, "world") and self.world.doubt)
    @rule(data=st.data(), position=st.integers(0, 4), again=st.booleans())
    def a_person_settles_one_lead(self, data: st.DataObject, position: int, again: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.world.doubt)))
        self.world.resolve(name, position)
        if again and name in self.world.doubt:
            self.world.resolve(name)

    @rule(key=keys, what=sayings)
    def a_person_says_what_to_do(self, key: str, what: str) -> None:
        self.world.say(key, what)

    @rule(data=st.data(), late=st.booleans())
    def the_process_is_killed(self, data: st.DataObject, late: bool) -> None:
        """Before a request began, while it was on the wire, or with its verdict in hand."""
        for name in sorted(self.world.open):
            match data.draw(st.sampled_from(FATES)):
                case "not begun":
                    pass
                case "on the wire":
                    self.world.leave(name)
                case verdict:
                    self.world.tell(name, verdict)
        self.world.crash({name: data.draw(landings) for name in sorted(self.world.open)}, late=late)

    @rule(data=st.data(), boot=st.sampled_from([1.0, 30.0]))
    def the_machine_reboots(self, data: st.DataObject, boot: float) -> None:
        """The requests of the old boot arrived before its end at the latest; the new one counts from its own start."""
        landed = {name: data.draw(landings) for name in sorted(self.world.open)}
        self.world.ledger.close()
        self.world.true_time += boot
        self.world.clock.reboot(boot)
        self.world.start()
        self.world.recover(landed, rebooted=True)

    @rule(seconds=st.sampled_from(EDGES))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(seconds=st.sampled_from([-86400.0, -3.0, 3.0, 86400.0]))
    def the_wall_clock_jumps(self, seconds: float) -> None:
        self.world.clock.wall_now += seconds


@pytest.mark.timeout(sized(300, 0, 0))
def test_the_ledger_keeps_its_promises() -> None:
    run_state_machine_as_test(
        LedgerMachine,
        settings=machine_settings((25, 40), (400, 50), (5000, 80)),
    )
