"""Whether an edited query has the same records is decided by how they look, never by their ids."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from state.diagram import Version
from state.rows import Reading, Sampled
from state.streams import DeclaredStream
from sync.config.schema import Wire
from sync.engine.edited_queries import compared

T = [f"2026-01-0{n}T00:00:00.000000Z" for n in range(1, 7)]
DECLARED = DeclaredStream("erp.firms", {}, "main", "hold", "v1")


def lead(name: str | None) -> bytes | None:
    return None if name is None else b'{"name":"%s"}' % name.encode()


def before(
    times: Sequence[str | None], names: Sequence[str | None] = (), version: str = "v1", prefix: str = "f"
) -> list[Sampled]:
    names = names or [None] * len(times)
    return [
        Sampled(str(n), time, version, f"{prefix}{n}".encode(), lead(name))
        for n, (time, name) in enumerate(zip(times, names, strict=True))
    ]


def now(times: Sequence[str | None], names: Sequence[str | None] = (), prefix: str = "f") -> list[Reading]:
    return [
        Reading(each.id, Version("eligible", each.modified, 0, each.source_fp, None), None, each.payload)
        for each in before(times, names or ["New"] * len(times), prefix=prefix)
    ]


ABC = ["A", "B", "C", "D"]
NUMBERS: list[str | None] = ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("was", "is_", "verdict"),
    [
        pytest.param(before(T), now(T), "same", id="the same values"),
        pytest.param(before(T), now(T, prefix="g"), "same", id="a computed value changed, their times did not"),
        pytest.param(before(T, version="v0"), now(T), "same", id="another mapping: by their times"),
        pytest.param(before(T), now(T[::-1], prefix="g"), "others", id="other times, other values"),
        pytest.param(before([T[0]] * 4), now([T[0]] * 4, prefix="g"), "others", id="written together, other values"),
        pytest.param(before([T[0]] * 4, ABC), now([T[0]] * 4, ABC, "g"), "same", id="written together, same names"),
        pytest.param(
            before([T[0]] * 4, version="v0"), now([T[0]] * 4), "unknown", id="written together, nothing to compare"
        ),
        pytest.param(before(NUMBERS), now(NUMBERS, prefix="g"), "others", id="a sequence proves nothing"),
        pytest.param(before(["-1", "-2"]), now(["-1", "-2"], prefix="g"), "others", id="negative numbers neither"),
        pytest.param(before(["0.5", "7.25"]), now(["0.5", "7.25"], prefix="g"), "others", id="nor fractions"),
        pytest.param(before(NUMBERS, version="v0"), now(NUMBERS), "unknown", id="a sequence under another mapping"),
        pytest.param(before(NUMBERS, ABC, "v0"), now(NUMBERS, ABC, "g"), "same", id="a sequence, and the same names"),
        pytest.param(before([None] * 4), now([None] * 4), "same", id="without times, the same values"),
        pytest.param(before([None] * 4), now([None] * 4, prefix="g"), "others", id="without times, other values"),
        pytest.param(before(T), now(T[:4] + T[:2], prefix="f")[:1], "same", id="few are left"),
        pytest.param(before(T * 5), now(T * 5)[:2], "unknown", id="hardly one is left"),
        pytest.param(before(T), [], "unknown", id="none is left"),
        pytest.param(before(T), now(T[:4], prefix="f")[:4], "same", id="some are gone"),
        pytest.param(before(T), [*now(T)[:2], *now(T[::-1], prefix="g")[2:]], "others", id="most are others"),
    ],
)
def test_what_the_records_look_like_decides(was: list[Sampled], is_: list[Reading], verdict: str) -> None:
    assert compared(DECLARED, was, is_, Wire()).verdict == verdict
