"""What is decided first, for speed, is what would be decided anyway: over every state, version, rule and mark."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from state.diagram import LEAD_EXISTS, STATES, Fit, Version
from state.rows import Reading, RetryMode, Stored
from sync.polling.judge import Rules, decide, judge
from tests.sizes import sized

TIMES = st.sampled_from([None, *(f"2026-0{month}-01T00:00:00.000000Z" for month in (1, 3, 5)), "7"])
PRINTS = st.sampled_from([None, b"a", b"b"])
VERSIONS = st.builds(Version, st.sampled_from(get_args(Fit)), TIMES, st.integers(1, 2), PRINTS, PRINTS)
PLACES = st.sampled_from([(state, exists) for state in STATES for exists in sorted(LEAD_EXISTS[state])])
FLAGS = st.booleans()


@st.composite
def stored(draw: st.DrawFn, latest: Version | None = None) -> Stored:
    state, exists = draw(PLACES)
    base = draw(st.none() | VERSIONS) if exists != "no" else None
    batch = draw(st.sampled_from([None, "b"]))
    again: RetryMode | None = draw(st.sampled_from([None, None, "judge", "send"]))
    nested = draw(st.sampled_from([None, 0, 1]))
    known = latest or draw(VERSIONS)
    return Stored(1, "7", state, exists, known, base, batch, draw(FLAGS), again, draw(FLAGS), nested)


RULES = st.builds(Rules, st.sampled_from(["hold", "resend"]), TIMES, TIMES, FLAGS, TIMES)
READINGS = st.builds(lambda version, **marks: Reading("7", version, **marks), VERSIONS, mapped=FLAGS, moved=FLAGS)


@settings(max_examples=sized(250, 6_000, 60_000), deadline=None)
@given(st.data())
def test_the_short_way_decides_as_the_long_one(data: st.DataObject) -> None:
    reading, rules = data.draw(READINGS), data.draw(RULES)
    # Independent versions are rarely the same, which is the case that the short way is for.
    known = data.draw(st.none() | stored() | stored(reading.version))
    assert judge(reading, known, rules) == decide(reading, known, rules)


def test_every_place_of_a_record_that_is_the_same_or_new() -> None:
    version = Version("eligible", "2026-03-01T00:00:00.000000Z", 1, b"a", b"w")
    places = [(state, exists) for state in STATES for exists in sorted(LEAD_EXISTS[state])]
    marks: Any = product((True, False), (None, "judge", "send"), (True, False), (None, "2026-04-01T00:00:00.000000Z"))
    for mapped, again, moved, since in marks:
        for baseline, began in product((True, False), (None, "2026-02-01T00:00:00.000000Z")):
            rules = Rules("resend", since, began, baseline)
            for fit in get_args(Fit):
                reading = Reading("7", Version(fit, version.modified, 1, b"a", b"w"), mapped=mapped, moved=moved)
                assert judge(reading, None, rules) == decide(reading, None, rules)
                for state, exists in places:
                    known = Stored(1, "7", state, exists, reading.version, version, "b", drift=False, again=again)
                    assert judge(reading, known, rules) == decide(reading, known, rules)
