"""Keys: the text by which a record is known, and the way back to what the database compares.

Also how a key or a cursor's value travels through JSON and comes back exactly as it was.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from uuid import UUID

from connectors.sql.values import clock_text, moment
from sync.words import Json

KeyKind = Literal["integer", "decimal", "float", "text", "uuid", "bytes", "any", "other"]
"""`any`: a column of any mixture of values, as SQLite has them."""

_INTEGER = re.compile(r"0|-?[1-9]\d{0,39}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")


def id_text(key: Any) -> str:
    """The key as text, alike for every database: decimals without trailing zeros, bytes in hexadecimal."""
    match key:
        case str():
            # Undecodable bytes stand in text as surrogates; they become visible escapes.
            return key if key.isascii() else key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        case bool() | int():
            return str(int(key))
        case Decimal():
            return _decimal_text(key)
        case bytes() | bytearray() | memoryview():
            return bytes(key).hex()
        case datetime():
            return moment(key)
        case date() | time():
            return key.isoformat()
    return clock_text(key) if hasattr(key, "total_seconds") else str(key)


def _decimal_text(key: Decimal) -> str:
    if not key.is_finite():
        return str(key)
    text = format(key, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def key_values(ids: Iterable[str], kind: KeyKind) -> list[Any]:
    """What to compare the column with to find these ids. Text that no key of that kind can have is left out."""
    return [value for text in ids for value in _candidates(text, kind)]


def _candidates(text: str, kind: KeyKind) -> list[Any]:
    match kind:
        case "integer":
            return [int(text)] if _INTEGER.fullmatch(text) else []
        case "decimal":
            return _numbers(text)[:1]
        case "float":
            return _numbers(text)[1:]
        case "uuid":
            return [text] if _UUID.fullmatch(text) else []
        case "bytes":
            return [bytes.fromhex(text)] if _HEX.fullmatch(text) else []
        case "any":
            integers = [int(text)] if _INTEGER.fullmatch(text) and abs(int(text)) < 2**63 else []
            raw = [bytes.fromhex(text)] if _HEX.fullmatch(text) else []
            return [text, *integers, *(integers or _numbers(text)[1:]), *raw]
    return [text]


def _numbers(text: str) -> list[Any]:
    """As a decimal and as a float; empty where it is no number."""
    try:
        number = Decimal(text)
        return [number, float(number)] if len(text) <= 200 else []
    except (InvalidOperation, OverflowError):
        return []


def same_key(text: str) -> str:
    """A form that two spellings share which a collation may call equal (case, accents, trailing spaces)."""
    bare = text.rstrip(" ")
    if not bare.isascii():
        parts = unicodedata.normalize("NFKD", bare)
        bare = "".join(part for part in parts if not unicodedata.combining(part))
    return bare.casefold()


def pack(value: Any) -> Json:
    """A database's value as JSON; `unpack` gives back the very same."""
    match value:
        case None | bool():
            return value
        case str() if value.isascii() or _encodes(value):
            return str(value)
        case str():
            return {"text": base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()}
        case int():
            return int(value) if abs(value) < 2**53 else {"integer": str(value)}
        case float():
            return {"float": repr(value)}
        case Decimal():
            return {"decimal": str(value)}
        case bytes() | bytearray() | memoryview():
            return {"bytes": base64.b64encode(value).decode()}
        case UUID():
            return {"uuid": str(value)}
        case datetime():
            return {"datetime": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
    return str(value)


def unpack(value: Json) -> Any:
    """What `pack` packed."""
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    return _UNPACK[kind](text)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_UNPACK: dict[str, Any] = {
    "text": lambda text: base64.b64decode(text).decode("utf-8", "surrogatepass"),
    "integer": int,
    "float": float,
    "decimal": Decimal,
    "bytes": base64.b64decode,
    "uuid": UUID,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
}
