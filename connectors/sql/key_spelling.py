"""Keys that a database may treat as equal although they are spelled differently: case, accents, blanks, and more.

Only the database knows which are equal. This module finds the few pairs that are worth asking about.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from sqlalchemy import text

from connectors.sql.columns import StreamColumns
from connectors.sql.connection import Database
from connectors.sql.statements import Relation, one_row
from sync.shared.errors import SourceRefused

_LEADING_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
_WHOLE = re.compile(r"(?<=[0-9])\.0$")
_NEITHER = re.compile(r"[\W_]+")
_UMLAUTS = re.compile(r"([aou])(?:\1|e)+")
_DOUBLED = re.compile(r"([^\W\d_])\1+")
_STROKED = re.compile(r"LATIN SMALL LETTER (?:DOTLESS )?([A-Z])(?: WITH .+)?")
_SMALL_KANA = re.compile(r"KATAKANA LETTER SMALL (\w+)")
_LETTERS = {"æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ŋ": "n", "ĸ": "k"}


@lru_cache(maxsize=4096)
def alike(id_: str) -> str:
    """Return a form shared by all spellings of a key that any collation may call equal. It is much coarser than each
    collation, so it proves nothing. The ledger stores it, so it must not change."""
    if id_.isascii():
        if id_.isdigit():
            return id_.lstrip("0") or "0"
        folded = _WHOLE.sub("", id_.lower())
    else:
        folded = "".join(map(_folded, unicodedata.normalize("NFKD", id_).casefold()))
    folded = _NEITHER.sub("", _LEADING_ZEROS.sub("", folded))
    # ä, ae, å and aa; ß, ss and s
    folded = _DOUBLED.sub(r"\1", _UMLAUTS.sub(r"\1", folded))
    return folded or "=" + unicodedata.normalize("NFKC", id_).casefold().strip()


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    """Return the letter or digit of one character (decomposed, lower case); a blank for characters that separate two
    numbers."""
    if character.isascii():
        return character
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.digit(character))
    if category[0] in "PSZ":
        return " "
    if category[0] in "MC" or category == "Lm" or ord(character) > 0xFFFF:
        # older collations of MySQL call all characters beyond the first plane equal
        return ""
    return _LETTERS.get(character) or _plain_letter(character)


def _plain_letter(character: str) -> str:
    """Return the letter without strokes and hooks; kana in full size, and all as katakana."""
    if "ぁ" <= character <= "ゖ":
        character = chr(ord(character) + 0x60)
    name = unicodedata.name(character, "")
    if small := _SMALL_KANA.fullmatch(name):
        return unicodedata.lookup(f"KATAKANA LETTER {small[1]}")
    stroked = _STROKED.fullmatch(name)
    return stroked[1].lower() if stroked else character


def _same_key(text: str) -> str:
    """Return a form shared by two spellings that a collation may call equal (case, accents, trailing spaces)."""
    bare = text.rstrip(" ")
    if not bare.isascii():
        parts = unicodedata.normalize("NFKD", bare)
        bare = "".join(part for part in parts if not unicodedata.combining(part))
    return bare.casefold()


class Nearest:
    """Finds the parent's id that a child's reference means, as the database compared them."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = frozenset(ids)
        # The other forms are made for the first reference that no id equals: most pages have none.
        self._same: dict[str, str] = {}
        self._alike: dict[str, str] = {}

    def to(self, id_: str) -> str:
        """Return the nearest id; the given one where none is near."""
        if id_ in self._ids:
            return id_
        if not self._same:
            self._same = {_same_key(each): each for each in self._ids}
        if (near := self._same.get(_same_key(id_))) is not None:
            return near
        if not self._alike:
            self._alike = {alike(each): each for each in self._ids}
        return self._alike.get(alike(id_), id_)


def may_respell(database: Database, columns: StreamColumns, relation: Relation, key: str, stream: str) -> bool:
    """Return whether the column may treat two spellings as equal: True wherever that cannot be excluded.

    Numbers, UUIDs and bytes have one spelling; so has PostgreSQL's text, unless a collation is nondeterministic.
    """
    if database.backend == "sqlite":
        # 1 and 1.0 are equal; between numbers and bytes there may be text
        ends = columns.extremes(relation, key)
        return any(isinstance(end, str | float) for end in ends) or len({type(end) for end in ends}) > 1
    if database.backend == "postgresql":
        from connectors.sql import postgresql

        code = database.run(one_row(relation, [key], limit=0), stream).columns[0][1]
        if code in postgresql.TEXTS:
            return _has_loose_collations(database, stream)
        return bool(code >= postgresql.FIRST_OF_USERS)  # citext
    return columns.key_kind(relation, key) in ("text", "other", None)


def _has_loose_collations(database: Database, stream: str) -> bool:
    sql = text("SELECT 1 FROM pg_catalog.pg_collation WHERE NOT collisdeterministic LIMIT 1")
    try:
        return bool(database.run(sql, stream).rows)
    except SourceRefused:  # PostgreSQL before 12 has no such collations
        return False
