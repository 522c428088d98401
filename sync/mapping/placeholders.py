"""Recognises placeholders: text that stands for "no value" in exports and forms, and is never a name, label or address.

Short on purpose: a company may be called None, Unknown or NA, and a person Null; for those a mapping has nullif().
"""

from __future__ import annotations

import re

_MARKS = "-\u2013\u2014\u2212_.\u2026?/\\~,;|"  # hyphen, dashes, minus, ellipsis …; and what glues empty parts
_ONLY_MARKS = re.compile(rf"[{re.escape(_MARKS)}\s]+")
_NO_VALUE = re.compile(
    r"#?n\s?/\s?a"
    # what a spreadsheet shows for a broken formula, in English, German, French, Spanish, Italian, Dutch and Portuguese
    r"|#(?:null|ref|value|num|name|div/0|n/a|spill|calc|field|blocked|connect|unknown|busy|wert|bezug|zahl|kalk|"
    r"\xfcberlauf|feld|valeur|nombre|nom|nul|valore|nome|rif|waarde|naam|verw|getal|leeg|deel/0|valor)[!?]"
    r"|#(?:\xa1(?:valor|ref|num|div/0|nulo|desbordamiento|calc)!|\xbfnombre\?)|#n/[bdv]|#getting_data"
    r"|-{1,2}\s?none\s?-{1,2}|-{2,}\s?[^-]{1,30}\s?-{2,}|\((?:null|none|nil)\)|<(?:null|none|nil)>|\[(?:null|none|nil)\]"
    r"|\[object object\]|\{\}|\[\]|\"\"|''|\\n",
    re.IGNORECASE,
)
_EXCEL_NV = "#NV"  # German for #N/A; in small letters it may be a label
_UNSET = frozenset({"null", "NULL", "undefined", "NaN"})
_BEGINS = "nN#-(<[{\"'\\"
_MAY_BEGIN = frozenset(_MARKS + _BEGINS).union(word[0] for word in (*_UNSET, _EXCEL_NV))
_LONGEST = 40


def may_begin(character: str) -> bool:
    """Return whether a placeholder may begin with this character."""
    return character in _MAY_BEGIN


def is_placeholder(text: str, *, surname: bool = False) -> bool:
    """Return whether trimmed text only says that there is no value. A `surname` may be Null in any case."""
    if not text or len(text) > _LONGEST:
        return False
    if text in _UNSET:
        return not surname
    if text == _EXCEL_NV:
        return True
    if text[0] in _MARKS and _ONLY_MARKS.fullmatch(text):
        return True
    return text[0] in _BEGINS and _NO_VALUE.fullmatch(text) is not None
