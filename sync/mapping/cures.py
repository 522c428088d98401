"""Suggests what to write in an expression in place of another language's syntax and functions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_CURES = {
    "=": "write == to compare",
    "and": "write && for and",
    "or": "write || for or",
    "not": "write ! for not",
    "&": "write && for and",
    "like": "write contains(a, 'x'), starts_with(a, 'x') or regex_match(a, 'pattern')",
    "ilike": "write contains(lower(a), 'x')",
    "in": "write contains(['x', 'y'], a)",
    "between": "write a >= `1` && a <= `5`",
    "is": "write a == `null`, or !a for whatever is empty",
    "?": "write if(condition, then, else); for a fallback not_null(a, b)",
    "{": "a field is its name alone, without $ and braces",
    "+": "write add(a, b); to put text together, write join('', [a, b])",
    "-": "put a field name with a hyphen into double quotes",
    "- ": "write subtract(a, b)",
    "*": "write multiply(a, b)",
    "/": "write divide(a, b)",
    "%": "write mod(a, b)",
}

ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("coalesce", "ifnull", "isnull", "nvl", "default", "first_not_null"), "write not_null(a, b)"),
    **dict.fromkeys(("concat", "concat_ws", "string_join"), "write join(' ', [a, b])"),
    **dict.fromkeys(("substr", "mid", "slice"), "write substring(text, start, length) or text[start:end]"),
    **dict.fromkeys(("left", "right"), "write text[:10] or text[-10:]"),
    **dict.fromkeys(("len", "size", "count", "char_length"), "write length(value)"),
    **dict.fromkeys(("lcase", "lowercase", "to_lower", "downcase"), "write lower(text)"),
    **dict.fromkeys(("ucase", "uppercase", "to_upper", "upcase"), "write upper(text)"),
    **dict.fromkeys(("initcap", "titlecase", "proper"), "write title(text)"),
    **dict.fromkeys(("strip", "btrim"), "write trim(text)"),
    **dict.fromkeys(("ltrim", "lstrip"), "write trim_left(text)"),
    **dict.fromkeys(("rtrim", "rstrip"), "write trim_right(text)"),
    **dict.fromkeys(("lpad",), "write pad_left(text, width, character)"),
    **dict.fromkeys(("rpad",), "write pad_right(text, width, character)"),
    **dict.fromkeys(("parse_json", "from_json", "json_parse", "loads"), "write json(text)"),
    **dict.fromkeys(
        ("re_match", "regexp_like", "regexp_match", "matches", "rlike"), "write regex_match(text, 'pattern')"
    ),
    **dict.fromkeys(("regexp_substr", "re_find", "regexp_extract"), "write regex_extract(text, 'pattern')"),
    **dict.fromkeys(("regexp_replace", "re_replace", "re_sub"), "write regex_replace(text, 'pattern', '')"),
    **dict.fromkeys(("strip_html", "striptags", "strip_tags", "unescape", "html_unescape"), "write html_to_text(text)"),
    **dict.fromkeys(("case", "iif", "iff", "if_else", "ternary", "choose"), "write if(condition, then, else)"),
    **dict.fromkeys(("int", "float", "number", "cast", "to_int", "to_integer"), "write to_number(value)"),
    **dict.fromkeys(("bool", "boolean", "flag", "to_bool"), "write to_boolean(value)"),
    **dict.fromkeys(("str", "text", "string", "to_text"), "write to_string(value)"),
    **dict.fromkeys(
        ("strptime", "parse_date", "to_date", "str_to_date", "to_timestamp"), "write date(text, '%d.%m.%Y')"
    ),
    **dict.fromkeys(("strftime", "date_format", "to_char"), "write format_date(date, '%d.%m.%Y')"),
    **dict.fromkeys(("from_unixtime", "epoch", "from_timestamp"), "write from_epoch(number, 's')"),
    **dict.fromkeys(("distinct", "uniq", "dedup"), "write unique(list)"),
    **dict.fromkeys(("plus", "minus", "times", "modulo"), "write add, subtract, multiply, divide or mod(a, b)"),
    **dict.fromkeys(("root", "parent", "this"), "write $ for the whole record, $.name for its field"),
    **dict.fromkeys(
        ("now", "today", "current_date", "current_timestamp", "sysdate", "age"),
        "not offered: a value that changes by itself would make every lead look changed; map a column of the source",
    ),
    **dict.fromkeys(("random", "uuid", "rand", "newid"), "not offered: each poll would make a different lead"),
}
"""Functions as other languages call them, and what to write here."""

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_DIGITS_BEFORE = re.compile(r"\d+$", re.ASCII)
_CURLY = re.compile("[\u2018\u2019\u201c\u201d]")
_LETTERS_BEFORE = re.compile(r"\w*\Z")
_PATH_BEFORE = re.compile(r"[\w.$@]*\Z")
_LETTERS = re.compile(r"\w+")
_IN_SQUARE_BRACKETS = re.compile(r"\[['\"]?([A-Za-z_][\w ]*)['\"]?\]", re.ASCII)
_WORDS_BEFORE = re.compile(r"(?:[A-Za-z_]\w*[ \t]+)+$", re.ASCII)


def cure(text: str, position: int, found: str) -> str:
    """Return what to write in place of `found` at this position (from 0) of an expression; "" if no cure is known."""
    before, here = text[:position], text[position:]
    if found == "-" and before.endswith(" ") and here.startswith("- "):
        return "write subtract(a, b)"
    if here.startswith(">") and before.endswith("<"):
        return "write != for not equal"
    if found == "." and (whole := _DIGITS_BEFORE.search(before)):
        here = whole[0] + here
    if number := _NUMBER.match(here):
        return f"write numbers in backticks: `{number[0]}`"
    quotes = "write straight quotes: 'text'" if _CURLY.search(text) else ""
    return _cure_of_place(before, here) or _CURES.get(found.lower()) or _cure_of_words(before, here) or quotes


def _cure_of_place(before: str, here: str) -> str:
    """Return the cure for a name with other letters, in brackets or behind a $, or for a quote inside text; ""
    otherwise."""
    if here[:1].isalpha() and not here[:1].isascii():
        whole = json.dumps(_LETTERS_BEFORE.findall(before)[0] + _LETTERS.findall(here)[0], ensure_ascii=False)
        return f"a field name with letters other than A to Z needs double quotes: {whole}"
    if found := _IN_SQUARE_BRACKETS.match(before[-1:] + here):
        return f"a field of an object follows a dot: {_PATH_BEFORE.findall(before[:-1])[0]}.{json.dumps(found[1])}"
    if before.endswith("$") and (word := _WORD.match(here)):
        return f"write $.{word[0]} for the field of the whole record, or {word[0]} alone"
    return "a quote inside text is written \\'" if before.endswith("'") and here.startswith("'") else ""


def _cure_of_words(before: str, here: str) -> str:
    words = _WORDS_BEFORE.search(before)
    if not words or not _WORD.match(here):
        return ""
    if cure := _CURES.get(words[0].split()[-1].lower()):
        return cure
    return f"a field name with a blank needs double quotes: {json.dumps(words[0] + _words_from(here))}"


def _words_from(here: str) -> str:
    """Return the words that begin here, up to the first that is an operator in other languages."""
    words = []
    for word in re.split(r"[ \t]+", here):
        found = _WORD.match(word)
        if not found or word.lower() in _CURES:
            break
        words.append(found[0])
        if found[0] != word:
            break
    return " ".join(words)
