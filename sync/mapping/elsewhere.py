"""Functions as other languages call them, and what to write here."""

from __future__ import annotations

from collections.abc import Mapping

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
        "not offered: a value that changes by itself would make every lead a changed one; map a column of the source",
    ),
    **dict.fromkeys(("random", "uuid", "rand", "newid"), "not offered: each reading would make another lead"),
}
