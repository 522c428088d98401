"""Functions on text: case, blanks, parts, phone numbers, hosts."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from urllib.parse import urlsplit

import idna

from sync.mapping.emails import addresses_in
from sync.mapping.unusable import UnusableValue, number_as_text, trimmed, type_name
from sync.shared.words import Json

LONGEST = 4_000_000
"""Characters that a function takes or gives at most."""
_WIDEST = 10_000
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)

_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST_URL = 2048
_SEVERAL = re.compile(r"[\s,;]\S*[.@]")
"""Another host or address behind the first."""
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_BEHIND_APOSTROPHE = re.compile(r"(?<=['\u2019])[^\W\d_]{2,}")


def plain(value: Json, expects: str = "expects text") -> str:
    """Return text as it is, a number as its digits. Raises UnusableValue for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnusableValue(f"{expects}, got {type_name(value)}")
    return number_as_text(value)


def lower(text: str) -> str:
    """Return the text in lower case."""
    return text.lower()


def upper(text: str) -> str:
    """Return the text in upper case."""
    return text.upper()


def title(text: str) -> str:
    """Return each word with a capital first letter, its other letters small."""
    if text.isascii() and "'" not in text:
        return text.title()

    def word(found: re.Match[str]) -> str:
        small = _titled(found[0])
        return _BEHIND_APOSTROPHE.sub(lambda part: _titled(part[0]), small)

    return _WORD.sub(word, text)


def capitalize(text: str) -> str:
    """Return the first letter a capital, the others small."""
    return _titled(text)


def _titled(text: str) -> str:
    return text[:1].title() + text[1:].lower()


def trim(text: str) -> str:
    """Return the text without white space around it (every mapped field is trimmed anyway)."""
    return trimmed(text)


def trim_left(text: str, characters: str | None = None) -> str:
    """Return the text without white space, or without these characters, at its beginning."""
    return text.lstrip(characters or None)


def trim_right(text: str, characters: str | None = None) -> str:
    """Return the text without white space, or without these characters, at its end."""
    return text.rstrip(characters or None)


def split(text: str, sep: str) -> list[str]:
    """Return the parts of the text between separators, as a list."""
    if not sep:
        raise UnusableValue("split() expects a separator that is not empty")
    return text.split(sep)


def replace(text: str, old: str, new: str) -> str:
    """Return the text with each occurrence of `old` replaced by `new`."""
    if not old:
        return text
    if len(new) > len(old) and len(text) + text.count(old) * (len(new) - len(old)) > LONGEST:
        raise UnusableValue(f"replace() would give more than {LONGEST:,} characters")
    return text.replace(old, new)


def substring(text: str | float, start: float, length: float | None = None) -> str:
    """Return part of the text: from `start` (0 is the first character, -1 the last) to the end, or so many
    characters."""
    whole = plain(text)
    begin = _whole(start)
    begin = max(len(whole) + begin, 0) if begin < 0 else begin
    return whole[begin:] if length is None else whole[begin : begin + max(_whole(length), 0)]


def find_first(text: str, part: str) -> int | None:
    """Return the position of the part's first occurrence in the text (0 is the beginning); null if there is none."""
    at = text.find(part)
    return at if at >= 0 and part else None


def find_last(text: str, part: str) -> int | None:
    """Return the position of the part's last occurrence in the text (0 is the beginning); null if there is none."""
    at = text.rfind(part)
    return at if at >= 0 and part else None


def pad_left(text: str | float, width: float, pad: str = " ") -> str:
    """Return the text, padded to that width at its beginning with blanks, or with the given character."""
    return plain(text).rjust(_width(width), _pad(pad))


def pad_right(text: str | float, width: float, pad: str = " ") -> str:
    """Return the text, padded to that width at its end with blanks, or with the given character."""
    return plain(text).ljust(_width(width), _pad(pad))


def _pad(pad: str) -> str:
    if len(pad) != 1:
        raise UnusableValue("expects one character to pad with")
    return pad


def _width(width: float) -> int:
    if (whole := _whole(width)) > _WIDEST:
        raise UnusableValue(f"expects a width of at most {_WIDEST:,}")
    return whole


def _whole(number: float) -> int:
    if isinstance(number, float) and not number.is_integer():
        raise UnusableValue("expects a whole number")
    return max(-(2**40), min(int(number), 2**40))


def digits(text: str | float) -> str | None:
    """Return only the digits of the text; null if there are none."""
    found = "".join(str(unicodedata.decimal(mark)) for mark in plain(text) if mark.isdecimal())
    return found or None


def e164(phone: str | float, region: str | None) -> str | None:
    """Return the phone number as +49301234567; `region` ('DE') is for numbers without a country; null if it is not
    valid."""
    import phonenumbers  # slow to import, and most mappings do without

    if region is not None and not isinstance(region, str):
        raise UnusableValue(f"e164() expects a region such as 'DE', got {type_name(region)}")
    try:
        number = phonenumbers.parse(plain(phone), region.strip().upper() if region else None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def region_fault(region: Json) -> tuple[str, str] | None:
    """Return what is wrong with a constant region of e164(); None if nothing is."""
    import phonenumbers

    if region is None or (isinstance(region, str) and region.strip().upper() in phonenumbers.SUPPORTED_REGIONS):
        return None
    return "the region of e164() must be a two-letter country code", "such as 'DE' or 'US'"


def domain(url_or_email: str) -> str | None:
    """Return the host of a URL or e-mail address: lower case, ASCII (IDNA), without www.; null if there is none, or
    more than one."""
    text = trimmed(url_or_email)
    if not text or len(text) > _LONGEST_URL:
        return None
    if "@" in text and "://" not in text and (found := addresses_in(text)).addresses:
        hosts = {_host(address) for address in found.addresses}
        return hosts.pop() if len(hosts) == 1 and not found.others else None
    return None if _SEVERAL.search(text) else _host(text)


def _host(text: str) -> str | None:
    try:
        host = urlsplit(text if "://" in text else f"//{text}").hostname or ""
        host = idna.encode(host, uts46=True).decode("ascii").lower().rstrip(".").removeprefix("www.")
    except ValueError:  # not a URL; idna's errors are of this kind, too
        return None
    return host if _HOST.fullmatch(host) else None


def join(glue: str, parts: list[Json]) -> str | None:
    """Return the parts with `glue` between them, nulls and blank ones left out; null if none is left."""
    filled = []
    for part in parts:
        if part is not None:
            text = part if type(part) is str else plain(part, "join() expects text")
            # What begins with a sign of ASCII is not blank, whatever follows.
            if " " < text[:1] < "\x7f" or trimmed(text):
                filled.append(text)
    return glue.join(filled) or None


def to_string(value: Json) -> str | None:
    """Return text as it is, anything else as its JSON; null stays null."""
    if value is None or isinstance(value, str):
        return value
    if type(value) is int:
        return int.__repr__(value)
    if type(value) is float and math.isfinite(value):
        return float.__repr__(value)
    return _JSON.encode(value)
