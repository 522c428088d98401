"""A receipt's line: its checksum and one JSON object. A line is whole or it does not count.

    {"t": "begin", "ledger": …, "key": …}                    whose receipts these are
    {"t": "stream", "stream": …, "identity": {…}, "workspace": …, "began": …}
    {"t": "renamed", "old": …, "new": …}
    {"t": "intent", "batch": …, "workspace": …, "at": …, "n": …, "label": …, "streams": [[name, mapping, leads], …],
     "values": …}
    {"t": "verdict", "batch": …, "verdict": …, "status": …, "cause": …, "at": …}
    {"t": "word", "batch": …, "word": …, "positions": [...] | null, "at": …}
    {"t": "known" | "forgotten" | "recalled", "stream": …, "records": packed}
    {"t": "imported" | "unimported", "workspace": …, "values": packed}

A `told` in any line, such as 7: with it the receipts were told for the seventh time what no batch tells.
`n` is how many leads a batch has; a batch that created nothing keeps it when its leads are compacted away. What is
packed is base64 of items of one length: records are keyed hashes of 16 bytes; leads are their
place in the batch, the record's hash and two fingerprints; values are a kind and a keyed hash.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import starmap
from typing import Any, TypeAlias

import orjson

from state.key_files import FINGERPRINT_BYTES

ReceiptLine: TypeAlias = Mapping[str, Any]

FORMAT = 1
MATCH_KINDS = ("email", "domain", "phone")
_NUMBER = {kind: number for number, kind in enumerate(MATCH_KINDS)}

_LEAD = struct.Struct(f"!B{FINGERPRINT_BYTES}s{FINGERPRINT_BYTES}s{FINGERPRINT_BYTES}s")
_VALUE = struct.Struct(f"!B{FINGERPRINT_BYTES}s")
_RECORD = struct.Struct(f"!{FINGERPRINT_BYTES}s")


def encode(line: ReceiptLine) -> bytes:
    """Return the line as it is in the file, newline included."""
    document = orjson.dumps(dict(line))
    return b"%08x %s\n" % (zlib.crc32(document), document)


def decode(raw: bytes) -> ReceiptLine | None:
    """Return the line's object; None if the line is not whole."""
    checksum, _, document = raw.rstrip(b"\n").partition(b" ")
    if not raw.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(document):
        return None
    try:
        found = orjson.loads(document)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("t"), str) else None


def batch_in(damaged: bytes) -> str | None:
    """Return the batch that a damaged line names, if that can still be read."""
    found = _BATCH.search(damaged)
    return found[1].decode() if found else None


_BATCH = re.compile(rb'"batch":"([0-9]{8}-[0-9]{6}-[0-9a-z]{6})"')


def pack_leads(leads: Iterable[tuple[int, bytes, bytes, bytes]]) -> str:
    """Pack (position, record's hash, source fingerprint, wire fingerprint) of each lead."""
    return _pack(_LEAD, leads)


def unpack_leads(packed: str) -> Iterator[tuple[int, bytes, bytes, bytes]]:
    return _unpack(_LEAD, packed)


def pack_values(values: Iterable[tuple[str, bytes]]) -> str:
    """Pack (kind, keyed hash) of each value."""
    return _pack(_VALUE, [(_NUMBER[kind], value) for kind, value in values])


def unpack_values(packed: str) -> Iterator[tuple[str, bytes]]:
    return ((MATCH_KINDS[kind], value) for kind, value in _unpack(_VALUE, packed))


def pack_records(hashes: Iterable[bytes]) -> str:
    return _pack(_RECORD, ((each,) for each in hashes))


def unpack_records(packed: str) -> Iterator[bytes]:
    return (each for (each,) in _unpack(_RECORD, packed))


def _pack(item: struct.Struct, rows: Iterable[tuple[Any, ...]]) -> str:
    return base64.b64encode(b"".join(starmap(item.pack, rows))).decode("ascii")


def _unpack(item: struct.Struct, packed: str) -> Iterator[tuple[Any, ...]]:
    """Unpack items. Raise ValueError if the text was not packed by this program."""
    try:
        yield from item.iter_unpack(base64.b64decode(packed, validate=True))
    except (ValueError, struct.error) as error:
        raise ValueError("is packed wrongly") from error
