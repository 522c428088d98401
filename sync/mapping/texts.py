"""Functions on text: letters, blanks, parts, patterns, phones, hosts."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import idna
import re2

from sync.mapping.emails import addresses_in
from sync.mapping.values import Unusable, number_as_text, trimmed, type_name
from sync.words import Json

LONGEST = 4_000_000
"""Characters that a function takes or gives at most."""
_LONGEST_SEARCHED = 1_000_000
_LONGEST_PATTERN, _LONGEST_REPLACEMENT, _WIDEST = 1000, 200, 10_000
_MEMORY_OF_A_PATTERN = 8 << 20

_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST_URL = 2048
_SEVERAL = re.compile(r"[\s,;]\S*[.@]")
"""Another host or address behind the first."""
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_BEHIND_APOSTROPHE = re.compile(r"(?<=['\u2019])[^\W\d_]{2,}")


def plain(value: Json, expects: str = "expects text") -> str:
    """Text as it is, a number as its digits. Raises Unusable for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unusable(f"{expects}, got {type_name(value)}")
    return number_as_text(value)


def lower(text: str) -> str:
    """The text in small letters."""
    return text.lower()


def upper(text: str) -> str:
    """The text in capital letters."""
    return text.upper()


def title(text: str) -> str:
    """Each word with a capital first letter, its other letters small."""

    def word(found: re.Match[str]) -> str:
        small = _titled(found[0])
        return _BEHIND_APOSTROPHE.sub(lambda part: _titled(part[0]), small)

    return _WORD.sub(word, text)


def capitalize(text: str) -> str:
    """The first letter a capital, the others small."""
    return _titled(text)


def _titled(text: str) -> str:
    return text[:1].title() + text[1:].lower()


def trim(text: str) -> str:
    """The text without white space around it (every mapped field is trimmed anyway)."""
    return trimmed(text)


def trim_left(text: str, characters: str | None = None) -> str:
    """The text without white space, or without these characters, at its beginning."""
    return text.lstrip(characters or None)


def trim_right(text: str, characters: str | None = None) -> str:
    """The text without white space, or without these characters, at its end."""
    return text.rstrip(characters or None)


def split(text: str, sep: str) -> list[str]:
    """The parts of the text between separators, as a list."""
    if not sep:
        raise Unusable("split() expects a separator that is not empty")
    return text.split(sep)


def replace(text: str, old: str, new: str) -> str:
    """The text with each occurrence of `old` replaced by `new`."""
    if not old:
        return text
    if len(new) > len(old) and len(text) + text.count(old) * (len(new) - len(old)) > LONGEST:
        raise Unusable(f"replace() would give more than {LONGEST:,} characters")
    return text.replace(old, new)


def substring(text: str | float, start: float, length: float | None = None) -> str:
    """Part of the text: from `start` (0 is the first character, -1 the last) to the end, or so many characters."""
    whole = plain(text)
    begin = _whole(start)
    begin = max(len(whole) + begin, 0) if begin < 0 else begin
    return whole[begin:] if length is None else whole[begin : begin + max(_whole(length), 0)]


def find_first(text: str, part: str) -> int | None:
    """The place where the part first stands in the text (0 is the beginning); null if it does not."""
    at = text.find(part)
    return at if at >= 0 and part else None


def find_last(text: str, part: str) -> int | None:
    """The place where the part last stands in the text (0 is the beginning); null if it does not."""
    at = text.rfind(part)
    return at if at >= 0 and part else None


def pad_left(text: str | float, width: float, pad: str = " ") -> str:
    """The text filled up to that width at its beginning with blanks, or with the character `pad`."""
    return plain(text).rjust(_width(width), _pad(pad))


def pad_right(text: str | float, width: float, pad: str = " ") -> str:
    """The text filled up to that width at its end with blanks, or with the character `pad`."""
    return plain(text).ljust(_width(width), _pad(pad))


def _pad(pad: str) -> str:
    if len(pad) != 1:
        raise Unusable("expects one character to pad with")
    return pad


def _width(width: float) -> int:
    if (whole := _whole(width)) > _WIDEST:
        raise Unusable(f"expects a width of at most {_WIDEST:,}")
    return whole


def _whole(number: float) -> int:
    if isinstance(number, float) and not number.is_integer():
        raise Unusable("expects a whole number")
    return max(-(2**40), min(int(number), 2**40))


def digits(text: str | float) -> str | None:
    """Only the digits of the text; null if there are none."""
    found = "".join(str(unicodedata.decimal(mark)) for mark in plain(text) if mark.isdecimal())
    return found or None


def e164(phone: str | float, region: str | None) -> str | None:
    """The phone number as +49301234567; `region` ('DE') is for numbers without a country; null if it is not valid."""
    import phonenumbers  # slow to import, and most mappings do without

    if region is not None and not isinstance(region, str):
        raise Unusable(f"e164() expects a region such as 'DE', got {type_name(region)}")
    try:
        number = phonenumbers.parse(plain(phone), region.strip().upper() if region else None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def region_fault(region: Json) -> tuple[str, str] | None:
    """Return what is wrong with a region that stands in the file."""
    import phonenumbers

    if region is None or (isinstance(region, str) and region.strip().upper() in phonenumbers.SUPPORTED_REGIONS):
        return None
    return "the region of e164() must be a two-letter country code", "such as 'DE' or 'US'"


def domain(url_or_email: str) -> str | None:
    """The host of a URL or e-mail address: small letters, ASCII (IDNA), without www.; null if there is none or many."""
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
    """The parts with `glue` between them, nulls and blank ones left out; null if none is left."""
    filled = [text for part in parts if part is not None and trimmed(text := plain(part, "join() expects text"))]
    return glue.join(filled) or None


def to_string(value: Json) -> str | None:
    """Text as it is, anything else as its JSON; null stays null."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# ------------------------------------------------------------------------------------------- regular expressions


def regex_match(text: str | float, pattern: str) -> bool:
    """True where the pattern matches somewhere in the text (`^` and `$` are its beginning and end)."""
    return _search(text, pattern) is not None


def regex_extract(text: str | float, pattern: str) -> str | None:
    """The part that the pattern's first group matches, or without groups all of it; null if it does not match."""
    found = _search(text, pattern)
    return None if found is None else found.group(min(found.re.groups, 1))


def regex_replace(text: str | float, pattern: str, replacement: str) -> str:
    """The text with each match replaced; in the replacement, `\\1` is what the first group matched."""
    return str(_compiled(pattern).sub(replacement, _searched(text)))


def _search(text: str | float, pattern: str) -> Any:
    return _compiled(pattern).search(_searched(text))


def _searched(text: str | float) -> str:
    searched = plain(text)
    if len(searched) > _LONGEST_SEARCHED:
        raise Unusable(f"expects text of at most {_LONGEST_SEARCHED:,} characters")
    if not searched.isascii():
        try:
            searched.encode()
        except UnicodeEncodeError:
            raise Unusable("expects valid Unicode text") from None
    return searched


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    """RE2: its time grows with the text's length alone, whatever the pattern."""
    options = re2.Options()
    options.max_mem = _MEMORY_OF_A_PATTERN
    options.log_errors = False
    return re2.compile(pattern, options=options)


_NOT_IN_RE2 = (
    (re.compile(r"\(\?<?[=!]"), "looking ahead or behind"),
    (re.compile(r"\\[1-9]|\(\?P="), "referring back to a group"),
    (re.compile(r"\(\?>|[*+?}]\+"), "possessive or atomic groups"),
    (re.compile(r"\\Z"), "\\Z"),
)


def pattern_fault(pattern: Json) -> tuple[str, str] | None:
    """Return what is wrong with a pattern that stands in the file."""
    if not isinstance(pattern, str):
        return "the pattern must be text", r"such as '^\d+$'"
    if len(pattern) > _LONGEST_PATTERN:
        return f"the pattern is longer than {_LONGEST_PATTERN:,} characters", "split it up"
    try:
        _compiled(pattern)
    except (re2.error, UnicodeEncodeError) as error:
        for missing, words in _NOT_IN_RE2:
            if missing.search(pattern):
                hint = r"\z is the end of the text" if words == "\\Z" else "find it with two patterns, or in the query"
                return f"the pattern uses {words}, which is not offered: its time would have no bound", hint
        said = error.args[0] if error.args else ""
        reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else "it is not valid Unicode text"
        return f"the pattern is not a regular expression: {reason}", "see https://github.com/google/re2/wiki/Syntax"
    return None


def replacement_fault(pattern: str, replacement: Json) -> tuple[str, str] | None:
    """Return what is wrong with the replacement for a good pattern."""
    if not isinstance(replacement, str):
        return "the replacement must be text", "such as '' to remove what is found"
    if len(replacement) > _LONGEST_REPLACEMENT:
        return f"the replacement is longer than {_LONGEST_REPLACEMENT} characters", ""
    groups = _compiled(pattern).groups
    for number in re.findall(r"(?<!\\)(?:\\\\)*\\(\d{1,2}|g<\d+>)", replacement):
        if int(re.sub(r"\D", "", number)) > groups:
            return f"the replacement names a group that the pattern lacks (it has {groups})", "put ( ) into the pattern"
    if re.search(r"(?<!\\)(?:\\\\)*\\(?![\\\d]|g<\w+>)", replacement):
        return "the replacement holds a \\ that stands for nothing", "write \\\\ for one, \\1 for the first group"
    return None
