"""Keys: the text by which a record is known, the way back to the values that the database compares, and key or cursor
values as JSON that round-trips exactly."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from itertools import product
from typing import Any, Literal
from uuid import UUID

from connectors.sql.values import clock_text, encodes, moment
from sync.shared.words import Json

KeyKind = Literal["integer", "decimal", "float", "text", "uuid", "bytes", "moment", "day", "clock", "any", "other"]
"""The kind of a key column. `any`: values of any kind, as in SQLite. `moment`, `day` and `clock`: times that the driver
accepts only as Python's datetime, date and time."""

_INTEGER = re.compile(r"0|-?[1-9]\d{0,39}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ESCAPED = re.compile(r"\\x([89a-f][0-9a-f])")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")


def id_text(key: Any) -> str:
    """Return the key as text, alike for every database: decimals without trailing zeros, bytes in hexadecimal."""
    for kind, write in _ID_TEXTS:
        if isinstance(key, kind):
            return write(key)
    return str(key)


def id_texts(keys: Sequence[Any], write: Callable[[Any], str] = id_text) -> list[str | None]:
    """Return the id that `write` makes of each value of a key's only column, None for NULL."""
    kinds = {*map(type, keys)} if write is id_text else set()
    if kinds == {int}:
        return list(map(str, keys))
    return [None if key is None else write(key) for key in keys]


def _text_id(key: str) -> str:
    """Return text with undecodable bytes, which it holds as surrogates, as visible escapes."""
    if key.isascii():
        return key
    try:
        return key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character, which no byte stands for
        return key.encode("utf-8", "backslashreplace").decode()


def _decimal_text(key: Decimal) -> str:
    if not key.is_finite():
        return str(key)
    text = format(key, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


@dataclass(frozen=True, slots=True)
class Mixture:
    """Writes the ids of a column that holds values of several kinds (SQLite). 1 and '1' are two keys there, so text
    that reads like another kind is put in quotes, and bytes that read like a number in angle brackets."""

    blobs: bool
    """True where the column holds bytes: then text that reads like bytes is quoted too."""

    def __call__(self, key: Any) -> str:
        text = id_text(key)
        if isinstance(key, _BYTES):
            return f"<{text}>" if not text or _reads_like_a_number(text) else text
        if not isinstance(key, str):
            return text
        inner = text.strip('"').removeprefix("<").removesuffix(">")
        like_bytes = self.blobs and text and _HEX.fullmatch(inner)
        return f'"{text}"' if like_bytes or _reads_like_a_number(inner) else text


def _reads_like_a_number(text: str) -> bool:
    return bool(_INTEGER.fullmatch(text)) or any(str(number) == text for number in _floats(text))


def row_id(values: Sequence[Any], writers: Sequence[Callable[[Any], str]] = ()) -> str | None:
    """Return the id of a key of these columns; None where one is NULL.

    `/` separates the columns, escaped as in a JSON pointer (RFC 6901), so that no two keys share an id. `writers` are
    those of the columns, if they are not `id_text`.
    """
    if any(value is None for value in values):
        return None
    texts = [write(value) for write, value in zip(writers or [id_text] * len(values), values, strict=True)]
    return texts[0] if len(texts) == 1 else "/".join(text.replace("~", "~0").replace("/", "~1") for text in texts)


def id_parts(id_: str, columns: int) -> list[str] | None:
    """Return the texts from which `row_id` made this id; None if it cannot have made it from so many columns."""
    if columns == 1:
        return [id_]
    parts = [part.replace("~1", "/").replace("~0", "~") for part in id_.split("/")]
    return parts if len(parts) == columns else None


def key_name(columns: Sequence[str]) -> str:
    """Return the key as an operator writes it: a column's name, or a list of several."""
    return columns[0] if len(columns) == 1 else json.dumps(list(columns), ensure_ascii=False)


def key_rows(ids: Iterable[str], kinds: Sequence[KeyKind]) -> list[tuple[Any, ...]]:
    """Return the rows of values, one for each key column, that find these ids; ids that no key of these kinds can have
    are left out."""
    split = (id_parts(id_, len(kinds)) for id_ in ids)
    return [
        row
        for parts in split
        if parts is not None
        for row in product(*(_candidates(text, kind) for text, kind in zip(parts, kinds, strict=True)))
    ]


def as_kind(value: Any, kind: KeyKind | None) -> list[Any]:
    """Return another column's value as a value of that kind is bound; empty where none of the kind can equal it."""
    if kind is None or value is None or isinstance(value, _OF_KIND.get(kind, object)):
        return [value]
    return _candidates(id_text(value), kind)


def _candidates(text: str, kind: KeyKind) -> list[Any]:
    return _CANDIDATES[kind](text)


def _integers(text: str) -> list[Any]:
    return [int(text)] if _INTEGER.fullmatch(text) else []


def _decimals(text: str) -> list[Any]:
    try:
        # No number is that long; longer text would only take long to parse.
        return [Decimal(text)] if len(text) <= 200 else []
    except InvalidOperation:
        return []


def _floats(text: str) -> list[Any]:
    try:
        return [float(text)] if len(text) <= 200 else []
    except ValueError:
        return []


def _bytes(text: str) -> list[Any]:
    return [bytes.fromhex(text)] if _HEX.fullmatch(text) else []


def _texts(text: str) -> list[Any]:
    """Return the text, and the one whose undecodable bytes were made visible as this text."""
    raw = _ESCAPED.sub(lambda byte: chr(0xDC00 + int(byte[1], 16)), text)
    return [text] if raw == text else [text, raw]


def _times(kind: type[datetime] | type[date] | type[time]) -> Callable[[str], list[Any]]:
    def candidates(text: str) -> list[Any]:
        try:
            return [kind.fromisoformat(text)]
        except ValueError:
            return []

    return candidates


def _anything(text: str) -> list[Any]:
    # SQLite's integers have 64 bits, and its driver raises for wider ones: those are stored as floats.
    small = [number for number in _integers(text) if -(2**63) <= number < 2**63]
    inner, wrapped = text[1:-1], len(text) > 1 and text[0] + text[-1]
    # As `Mixture` writes them.
    unwrapped = [inner] if wrapped == '""' else _bytes(inner) if wrapped == "<>" else []
    return [*_texts(text), *(small or _floats(text)), *_bytes(text), *unwrapped]


_CANDIDATES: dict[KeyKind, Callable[[str], list[Any]]] = {
    "integer": _integers,
    "decimal": _decimals,
    "float": _floats,
    "text": _texts,
    "uuid": lambda text: [text] if _UUID.fullmatch(text) else [],
    "bytes": _bytes,
    "moment": _times(datetime),
    "day": _times(date),
    "clock": _times(time),
    "any": _anything,
    "other": lambda text: [text],
}


def pack(value: Any) -> Json:
    """Return a database's value as JSON; `unpack` restores the very same value."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        # Undecodable bytes stand in text as surrogates, which JSON cannot hold.
        return str(value) if encodes(value) else {"text": _base64(value.encode("utf-8", "surrogatepass"))}
    for kind, name, write in _PACK:
        if isinstance(value, kind):
            return {name: write(value)}
    return str(value)


def unpack(value: Json) -> Any:
    """Return the value that `pack` packed."""
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    return _UNPACK[kind](text)


def _base64(raw: Any) -> str:
    return base64.b64encode(raw).decode()


_BYTES = (bytes, bytearray, memoryview)
_OF_KIND: dict[KeyKind, Any] = {
    "integer": int,
    "decimal": (int, Decimal),
    "float": (int, float, Decimal),
    "text": str,
    "uuid": (UUID, str),
    "bytes": _BYTES,
    "moment": datetime,
    "day": date,
    "clock": time,
}
_ID_TEXTS: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (str, _text_id),
    (int, lambda key: str(int(key))),
    (float, lambda key: str(float(key) or 0.0)),  # -0.0 equals 0.0
    (Decimal, _decimal_text),
    (_BYTES, lambda key: bytes(key).hex()),
    # Before date, of which datetime is a subclass.
    (datetime, moment),
    ((date, time), lambda key: str(key.isoformat())),
    (timedelta, clock_text),
)
_PACK: tuple[tuple[Any, str, Callable[[Any], str]], ...] = (
    (int, "integer", lambda value: str(int(value))),
    (float, "float", repr),
    (Decimal, "decimal", str),
    (_BYTES, "bytes", _base64),
    (UUID, "uuid", str),
    (datetime, "datetime", datetime.isoformat),
    (date, "date", date.isoformat),
    (time, "time", time.isoformat),
)
_UNPACK: dict[str, Callable[[str], Any]] = {
    "text": lambda text: base64.b64decode(text).decode("utf-8", "surrogatepass"),
    "integer": int,
    "float": float,
    "decimal": Decimal,
    "bytes": base64.b64decode,
    "uuid": UUID,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
}
