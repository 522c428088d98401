"""Keys and cursor columns: their types on each database, values, and other spellings that the database calls equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

DAY = 86_400_000_000


# ---- keys


@dataclass(frozen=True, slots=True)
class KeyKind:
    """`literal` makes the n-th key as SQL; `spellings` are other literals of it that the database calls equal."""

    name: str
    types: Mapping[str, str] = field(repr=False)
    literal: Callable[[int], str] = field(repr=False)
    spellings: Callable[[int, str], Sequence[str]] = field(default=lambda n, backend: (), repr=False)


_WORDS = ("acme", "zo\u00eb", "o'neil", "\u0141\u00f3d\u017a gmbh")


def _word(n: int) -> str:
    return f"{_WORDS[n % len(_WORDS)]}-{n}"


def _text(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"


def _exact_word(n: int) -> str:
    """Keys that differ in nothing but case are two."""
    word = _word(n // 2)
    return _text(word.upper() if n % 2 else word)


def _respelled(n: int, backend: str) -> Sequence[str]:
    word = _word(n)
    if not word.isascii():
        # What databases think of other alphabets depends on their locale; all agree on these letters.
        ascii_only = "".join(c.upper() if c.isascii() else c for c in word)
        spelled = [ascii_only, ascii_only.capitalize() if ascii_only[0].isascii() else ascii_only]
    else:
        spelled = [word.upper(), word.capitalize()]
    if backend == "mariadb":
        spelled += [word.upper(), f"{word} ", word.replace("\u00eb", "e").replace("\u00f3", "O")]
    return [_text(each) for each in spelled]


KEYS: tuple[KeyKind, ...] = (
    KeyKind(
        "folded",
        {
            "sqlite": "text collate nocase",
            "postgresql": "citext",
            "mariadb": "varchar(40) collate utf8mb4_general_ci",
        },
        lambda n: _text(_word(n)),
        _respelled,
    ),
    KeyKind(
        "collated",
        {
            "sqlite": "varchar(40) collate nocase",
            "postgresql": 'text collate "folds"',
            "mariadb": "char(40) collate utf8mb4_unicode_ci",
        },
        lambda n: _text(_word(n)),
        _respelled,
    ),
    KeyKind(
        "exact",
        {"sqlite": "text", "postgresql": "text", "mariadb": "varchar(40) collate utf8mb4_bin"},
        _exact_word,
    ),
    # A column without a type: 1 and '1' are two keys.
    KeyKind("typeless", {"sqlite": ""}, lambda n: f"'{n // 2}'" if n % 2 else str(n // 2)),
    KeyKind("number", {"sqlite": "integer", "postgresql": "bigint", "mariadb": "bigint"}, lambda n: str(n * 7 - 10)),
    KeyKind(
        "padded",
        {"postgresql": "char(12)", "mariadb": "char(12)"},
        lambda n: _text(f"k{n}"),
        lambda n, backend: [_text(f"k{n}   ")],
    ),
    KeyKind(
        "amount",
        {"sqlite": "numeric", "postgresql": "numeric(12,4)", "mariadb": "decimal(12,4)"},
        lambda n: f"{n - 2}.10",
    ),
    KeyKind("coarse", {"sqlite": "float", "postgresql": "real", "mariadb": "float"}, lambda n: f"{n - 2}.1"),
    KeyKind(
        "ratio",
        {"sqlite": "real", "postgresql": "double precision", "mariadb": "double"},
        lambda n: f"{n - 2}.123456789",
    ),
    KeyKind(
        "guid",
        {"sqlite": "char(36)", "postgresql": "uuid", "mariadb": "uuid"},
        lambda n: f"'6f1b4f5e-0d7c-4c0a-9d53-{n:012d}'",
    ),
    KeyKind(
        "moment", {"postgresql": "timestamp", "mariadb": "datetime(6)"}, lambda n: f"'2026-01-02 03:04:05.{n:06d}'"
    ),
)


# ---- cursor columns


@dataclass(frozen=True, slots=True)
class CursorKind:
    """`literal` writes a position (microseconds since 1970; a sequence: its millionths) in SQL.

    `odd` are literals that the column takes and that mean no position.
    """

    name: str
    types: Mapping[str, tuple[str, ...]] = field(repr=False)
    literal: Callable[[int], str] = field(repr=False)
    modified_as: str | None = field(default=None, repr=False)
    zone: str = field(default="UTC", repr=False)
    odd: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)


def _at(position: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=position)


def _stamp(position: int) -> str:
    return f"'{_at(position):%Y-%m-%d %H:%M:%S.%f}'"


def _local(position: int) -> str:
    return f"'{_at(position).astimezone(ZoneInfo('Europe/Berlin')):%Y-%m-%d %H:%M:%S.%f}'"


def _fraction(position: int) -> str:
    """A fraction only where there is one, as many programs write it."""
    micros = position % 1_000_000
    return f".{micros:06d}".rstrip("0") if micros else ""


def _millionths(position: int) -> str:
    sign, size = ("-", -position) if position < 0 else ("", position)
    return f"{sign}{size // 1_000_000}.{size % 1_000_000:06d}"


_TEXT = {"sqlite": ("text", "datetime"), "postgresql": ("text", "varchar(40)"), "mariadb": ("varchar(40)",)}
_WHOLE = {"sqlite": ("integer", "numeric"), "postgresql": ("bigint", "numeric"), "mariadb": ("bigint", "decimal(20,0)")}
_FRACTIONS = {
    "sqlite": ("real", "numeric"),
    "postgresql": ("real", "double precision", "numeric(20,6)"),
    "mariadb": ("float", "double", "decimal(20,6)"),
}
_NO_NUMBER = {"sqlite": ("''", "'soon'"), "postgresql": ("'NaN'",)}

CURSORS: tuple[CursorKind, ...] = (
    CursorKind(
        "zoned",
        {
            "postgresql": tuple(f"timestamptz({p})" for p in (0, 1, 3, 5, 6)),
            "mariadb": tuple(f"timestamp({p}) null" for p in (0, 1, 3, 6)),
        },
        _stamp,
        odd={"postgresql": ("'infinity'", "'-infinity'")},
    ),
    CursorKind(
        "naive",
        {
            "postgresql": tuple(f"timestamp({p})" for p in (0, 2, 3, 6)),
            "mariadb": tuple(f"datetime({p})" for p in (0, 2, 3, 6)),
            "sqlite": ("timestamp", "datetime"),
        },
        _stamp,
        odd={"postgresql": ("'infinity'", "'0044-03-15 10:00:00 BC'"), "sqlite": ("''", "'never'")},
    ),
    CursorKind(
        "local",
        {"postgresql": ("timestamp(6)",), "mariadb": ("datetime(6)",), "sqlite": ("datetime",)},
        _local,
        zone="Europe/Berlin",
    ),
    CursorKind(
        "day",
        {"postgresql": ("date",), "mariadb": ("date",), "sqlite": ("date",)},
        lambda position: f"'{_at(position):%Y-%m-%d}'",
        odd={"postgresql": ("'infinity'",)},
    ),
    CursorKind("text", _TEXT, lambda position: f"'{_at(position):%Y-%m-%d %H:%M:%S}{_fraction(position)}'"),
    CursorKind(
        "zulu",
        _TEXT,
        lambda position: f"'{_at(position):%Y-%m-%dT%H:%M:%S}{_fraction(position)}Z'",
        odd={"sqlite": ("''",)},
    ),
    CursorKind("minutes", _TEXT, lambda position: f"'{_at(position):%Y-%m-%d %H:%M}'"),
    CursorKind("epoch_s", _WHOLE, lambda position: str(position // 1_000_000), "epoch_s", odd=_NO_NUMBER),
    CursorKind("epoch_ms", _WHOLE, lambda position: str(position // 1_000), "epoch_ms", odd=_NO_NUMBER),
    CursorKind("counter", _WHOLE, lambda position: str(position // 1_000_000), "sequence", odd=_NO_NUMBER),
    CursorKind("version", _FRACTIONS, _millionths, "sequence", odd=_NO_NUMBER),
)
