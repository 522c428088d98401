"""One example: a random table, its rows, what changes between the polls, and how each stream reads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.proof.meaning_columns import KINDS, Column
from tests.proof.meaning_keys import CURSORS, DAY, KEYS, CursorKind, KeyKind
from tests.proof.meaning_where import Condition, conditions

PARENTS = 3
WAYS = ("table", "view", "query", "child")
NAMES = ("plain", "Mixed Case", "order", "naïve", "camelCase", "a.b")
ODD_TEXTS = {"42": 42, " 7 ": 7, "10-50": None, "50+": None, "ca. 50": None, "n/a": None}
"""Texts mapped to `employee_count`, and what may be sent of them."""
ODD_DATES = {"2024-02-29": "2024-02-29", "0000-00-00": None, "2024-13-01": None, "soon": None, "infinity": None}
ODD_EMAILS = {"info@example.com": "info@example.com", " x@example.org ": "x@example.org", "none": None, "a@b@c": None}

Cell = str | None
"""A SQL literal; None for NULL."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is first written. `moment` is what its cursor column holds; `texts` are those of `ODD_TEXTS`,
    `ODD_DATES` and `ODD_EMAILS`; `parent` is a number of PARENTS, written in that spelling."""

    tag: int
    moment: Cell
    cells: tuple[Cell, ...]
    parent: int
    parent_spelling: int
    texts: tuple[Cell, Cell, Cell]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a row between two polls. `spelling`: its key is written otherwise; `cells`: other values."""

    tag: int
    touched: bool
    spelling: int | None
    cells: tuple[Cell, ...] | None


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that one example needs; nothing in it is drawn later."""

    backend: str
    columns: tuple[Column, ...]
    key: KeyKind
    cursor: CursorKind
    cursor_type: str
    rows: tuple[Row, ...]
    changes: tuple[Change, ...]
    later: tuple[Row, ...]
    conditions: tuple[Condition | None, ...]
    """One for each of WAYS."""
    page_size: int
    on_change: str
    start: str
    composite: bool
    """The key is the tenant and the key column together; each key stands under two tenants."""
    child_by: str
    follow_children: bool
    unseen: int
    """Rows whose cursor column tells no time or number: only a sweep finds them, or nobody needs it."""
    next: int
    step: int
    """A sequence: behind all it holds, and how far it goes with each change; in millionths."""


@st.composite
def scenarios(draw: st.DrawFn, backend: str) -> Scenario:
    """Any example for that database."""
    columns = draw(_columns(backend))
    key = draw(st.sampled_from([each for each in KEYS if backend in each.types]))
    cursor = draw(st.sampled_from([each for each in CURSORS if backend in each.types]))
    cursor_type = draw(st.sampled_from(cursor.types[backend]))
    moments, unreadable, behind = draw(_moments(backend, cursor, cursor_type))
    # A column of nothing but rubbish is refused: the first row's is none.
    held = [moments[:1], *[moments] * draw(st.integers(0, 8))]
    rows = [draw(_row(tag, choices, columns, backend)) for tag, choices in enumerate(held)]
    changes = [change for row in rows if (change := draw(_change(row, key, columns, backend)))]
    later = [draw(_row(len(rows) + n, [None], columns, backend)) for n in range(draw(st.integers(0, 3)))]
    where = [draw(st.none() | conditions(columns, backend)) for _ in WAYS]
    fractions = cursor.name == "version"
    step = draw(st.sampled_from((100_000, 1_000_000, 3_000_000) if fractions else (1_000_000, 3_000_000)))
    return Scenario(
        backend,
        tuple(columns),
        key,
        cursor,
        cursor_type,
        tuple(rows),
        tuple(changes),
        tuple(later),
        tuple(where),
        page_size=draw(st.sampled_from((1, 2, 3, 1000))),
        on_change=draw(st.sampled_from(("hold", "resend"))),
        # A new row may be dated before T0 if its column tells the time; then it counts as known.
        start=draw(st.sampled_from(("all", "now"))) if cursor.modified_as == "sequence" else "all",
        composite=draw(st.booleans()),
        child_by=draw(st.sampled_from(("table", "view", "query"))),
        follow_children=draw(st.booleans()),
        unseen=sum(row.moment in unreadable for row in rows),
        next=behind,
        step=step,
    )


@st.composite
def _columns(draw: st.DrawFn, backend: str) -> Sequence[Column]:
    kinds = draw(st.lists(st.sampled_from([each for each in KINDS if backend in each.types]), min_size=2, max_size=5))
    names = draw(st.permutations(NAMES))
    return [
        Column(name, kind, draw(st.sampled_from(kind.types[backend]))) for name, kind in zip(names, kinds, strict=False)
    ]


@st.composite
def _moments(
    draw: st.DrawFn, backend: str, cursor: CursorKind, cursor_type: str
) -> tuple[Sequence[Cell], Sequence[Cell], int]:
    """What the cursor column holds at first: few values, so that there are ties, some nearly equal, some no time.
    Also which of them tell nothing, and the greatest position."""
    if cursor.modified_as == "sequence":
        base = draw(st.sampled_from((-5_000_000, 0, 7_000_000, 16_777_000_000)))
        near: tuple[int, ...] = (0, 1, 100_000, 1_000_000, 7_100_000)
    else:
        base = 1_700_000_000_000_000 + draw(st.integers(0, 300)) * DAY
        near = (0, 1, 123_456, 999_999, 60_000_000, DAY)
    positions = draw(st.lists(st.sampled_from(near), min_size=1, max_size=4, unique=True))
    unreadable: list[Cell] = []
    if draw(st.booleans()):
        unreadable.append(None)
    odd: Sequence[str] = (
        () if cursor_type in ("bigint", "integer") and backend == "postgresql" else cursor.odd.get(backend, ())
    )
    if len(odd) > 0 and draw(st.booleans()):
        unreadable.append(draw(st.sampled_from(odd)))
    times = [cursor.literal(base + each) for each in positions]
    return [*times, *unreadable], unreadable, base + max(positions)


@st.composite
def _cells(draw: st.DrawFn, columns: Sequence[Column], backend: str) -> tuple[Cell, ...]:
    return tuple(
        None if value is None else column.literal(value, backend)
        for column in columns
        for value in (draw(st.sampled_from((*column.kind.values, None))),)
    )


@st.composite
def _row(draw: st.DrawFn, tag: int, moments: Sequence[Cell], columns: Sequence[Column], backend: str) -> Row:
    texts = (_text_of(draw, ODD_TEXTS), _text_of(draw, ODD_DATES), _text_of(draw, ODD_EMAILS))
    return Row(
        tag,
        draw(st.sampled_from(moments)),
        draw(_cells(columns, backend)),
        draw(st.integers(0, PARENTS - 1)),
        draw(st.integers(0, 5)),
        texts,
    )


def _text_of(draw: st.DrawFn, texts: Iterable[str]) -> Cell:
    text = draw(st.sampled_from((*texts, None)))
    return None if text is None else f"'{text}'"


@st.composite
def _change(draw: st.DrawFn, row: Row, key: KeyKind, columns: Sequence[Column], backend: str) -> Change | None:
    kind = draw(st.sampled_from(("none", "touch", "respell", "respell and touch", "other values", "all")))
    if kind == "none":
        return None
    other = draw(_cells(columns, backend)) if kind in ("other values", "all") else None
    spelling = draw(st.integers(0, 5)) if kind in ("respell", "respell and touch", "all") else None
    return Change(row.tag, kind != "respell", spelling, other)


def tenant_of(n: int) -> int:
    return n % 2


def key_of(scenario: Scenario, n: int, spelling: int | None = None) -> str:
    """The n-th key as a literal, perhaps in another spelling."""
    number = n // 2 if scenario.composite else n
    spellings = scenario.key.spellings(number, scenario.backend)
    if spelling is None or not spellings or spelling >= len(spellings):
        return scenario.key.literal(number)
    return spellings[spelling]
