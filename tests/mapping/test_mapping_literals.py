"""`check` points out a constant that its field never equals, with what would be right, and no other."""

from __future__ import annotations

from typing import Any, cast

import pytest

from connectors.interface import FieldKind
from sync.mapping.literals import doubts
from tests.mapping.mapping_cases import WHERE, mapping

STAGES = {"118827341": "PQL", "lead": "Lead", "customer": "Customer"}
KINDS = {
    ("is_company",): FieldKind("boolean"),
    ("status",): FieldKind("integer"),
    ("amount",): FieldKind("decimal"),
    ("score",): FieldKind("number"),
    ("id",): FieldKind("text"),
    ("country",): FieldKind("text", length=2),
    ("active",): FieldKind("text", length=1),
    ("bits",): FieldKind("bits"),
    ("yes_no",): FieldKind("text", {"Y": "Y", "N": "N"}),
    ("stage",): FieldKind("text", STAGES),
    ("kind",): FieldKind("text", {"gold": "gold", "silver": "silver"}),
    ("tags",): FieldKind("text", {"a": "a", "b": "b"}, several=True),
    ("topics",): FieldKind("list", {"t1": "Sales", "t2": "t2"}),
    ("others",): FieldKind("list"),
    ("born",): FieldKind("date"),
    ("changed",): FieldKind("time"),
    ("First Name",): FieldKind("text"),
    ("contacts", "priv"): FieldKind("integer"),
}


LOOKUPS: dict[str, dict[str, Any]] = {
    "stages": {"lead": "L", "PQL": "P", "gone": "G"},
    "kinds": {"gold": 1, "bronze": 3},
    "whole": {"gold": 1},
}


def found(table: dict[str, Any], kinds: Any = KINDS) -> list[tuple[str, str, str]]:
    compared = mapping({"name": "name"} | table, lookups=LOOKUPS).compared
    return [(one.where.removeprefix(f"{WHERE}."), one.what, one.hint) for one in doubts(compared, kinds)]


@pytest.mark.parametrize(
    ("where", "what", "hint"),
    [
        (
            "is_company == 'true'",
            "is_company == 'true' never holds: is_company holds true or false",
            "write is_company == `true`, or just is_company",
        ),
        (
            "is_company != 'f'",
            "is_company != 'f' always holds: is_company holds true or false",
            "write is_company != `false`, or just is_company",
        ),
        (
            "is_company == 'x'",
            "is_company == 'x' never holds: is_company holds true or false",
            "write is_company or !is_company",
        ),
        (
            "status == 'active'",
            "status == 'active' never holds: status holds whole numbers",
            "write numbers in backticks: `0`",
        ),
        (
            "'1' == status",
            "status == '1' never holds: status holds whole numbers",
            "write numbers in backticks: status == `1`",
        ),
        ("status == `1.5`", "status == `1.5` never holds: status holds whole numbers", "compare with a whole number"),
        (
            "amount == '10'",
            "amount == '10' never holds: amount holds numbers",
            "write numbers in backticks: amount == `10`",
        ),
        ("id == `4711`", "id == `4711` never holds: id holds text", "write id == '4711'"),
        (
            "id == `true`",
            "id == `true` never holds: id holds text",
            "write to_boolean(id) == `true`, or compare with text in 'quotes'",
        ),
        ("id == `[]`", "id == `[]` never holds: id holds text", "compare with a single value"),
        (
            "id == ['a', 'b']",
            'id == `["a", "b"]` never holds: id holds text',
            "write contains(['a', 'b'], id)",
        ),
        (
            "status != `[1, 2]`",
            "status != `[1, 2]` always holds: status holds whole numbers",
            "write !contains([`1`, `2`], status)",
        ),
        (
            '"First Name" == `1`',
            '"First Name" == `1` never holds: "First Name" holds text',
            "write \"First Name\" == '1'",
        ),
        (
            "country == 'Germany'",
            "country == 'Germany' never holds: country holds text of at most 2 characters",
            "shorten it: it has 7 characters",
        ),
        (
            "stage == 'PQL'",
            "stage == 'PQL' never holds: stage holds one of a list of choices",
            "that is what users see; write its code, stage == '118827341', or label(stage) == 'PQL'",
        ),
        ("kind == 'Gold'", "kind == 'Gold' never holds: kind holds one of a list of choices", "did you mean 'gold'?"),
        (
            "kind == 'sliver'",
            "kind == 'sliver' never holds: kind holds one of a list of choices",
            "did you mean 'silver'?",
        ),
        (
            "kind == 'x'",
            "kind == 'x' never holds: kind holds one of a list of choices",
            "the choices are: 'gold', 'silver'",
        ),
        (
            "tags == 'a,x'",
            "tags == 'a,x' never holds: tags holds some of a list of choices",
            "the choices are: 'a', 'b'",
        ),
        (
            "contains(['gold', 'Silver'], kind)",
            "kind == 'Silver' never holds: kind holds one of a list of choices",
            "did you mean 'silver'?",
        ),
        (
            "born == '31.01.2026'",
            "born == '31.01.2026' never holds: born holds dates such as '2026-01-31'",
            "write it in that form",
        ),
        (
            "changed == '2026-01-31'",
            "changed == '2026-01-31' never holds: changed holds times such as '2026-01-31T12:30:00Z'",
            "write it in that form, or compare by < and >=",
        ),
        (
            "changed > '01/31/2026'",
            (
                "changed > '01/31/2026' compares two forms of date, letter by letter: changed holds times "
                "such as '2026-01-31T12:30:00Z'"
            ),
            "write it in that form",
        ),
        (
            "changed >= '2026-01-31 10:00'",
            (
                "changed >= '2026-01-31 10:00' compares two forms of date, letter by letter: changed holds times "
                "such as '2026-01-31T12:30:00Z'"
            ),
            "write it in that form",
        ),
        ("status > '3'", "status > '3' fails for every record: status holds whole numbers", "write status > `3`"),
        ("'3' < status", "status > '3' fails for every record: status holds whole numbers", "write status > `3`"),
        ("id < `3`", "id < `3` fails for every record: id holds text", "write to_number(id) < `3`"),
        (
            "contains(status, '1')",
            "contains(status, '1') fails for every record: status holds whole numbers",
            "write status == `1`",
        ),
        (
            "starts_with(status, '1')",
            "starts_with(status, '1') fails for every record: status holds whole numbers",
            "write starts_with(to_string(status), '1')",
        ),
        (
            "contains(id, `1`)",
            "contains(id, `1`) fails for every record: text holds only text",
            "put the constant into 'quotes'",
        ),
        (
            "bits",
            "bits is text of bits, and any text counts as true, also '0'",
            "write bits == '1', or contains(bits, '1') where it has several bits",
        ),
        (
            "bits == `1`",
            "bits == `1` never holds: bits holds text of bits such as '1' or '0110'",
            "write bits == '1'",
        ),
        (
            "bits > `0`",
            "bits > `0` fails for every record: bits holds text of bits such as '1' or '0110'",
            "write to_number(bits) > `0`",
        ),
        (
            "active",
            "active is text, and any text counts as true, also 'N', '0' and 'false'",
            "write active == 'Y', or to_boolean(active)",
        ),
        (
            "name && !yes_no",
            "yes_no is text, and any text counts as true, also 'N', '0' and 'false'",
            "write yes_no == 'Y', or to_boolean(yes_no)",
        ),
        (
            "topics == 'Sales'",
            "topics == 'Sales' never holds: topics holds a list",
            "write contains(topics, 't1')",
        ),
        ("topics != 't2'", "topics != 't2' always holds: topics holds a list", "write !contains(topics, 't2')"),
        (
            "contains(topics, 'Sales')",
            "contains(topics, 'Sales') never holds: topics holds some of a list of choices",
            "that is what users see; write its code, contains(topics, 't1'), or contains(label(topics), 'Sales')",
        ),
        (
            "contains(topics, 'T1')",
            "contains(topics, 'T1') never holds: topics holds some of a list of choices",
            "did you mean 't1'?",
        ),
        ("topics > 'a'", "topics > 'a' never holds: topics holds a list", "compare with one of its values"),
        (
            "starts_with(topics, 't')",
            "starts_with(topics, 't') fails for every record: topics holds a list",
            "look at each value: topics[?starts_with(@, 't')]",
        ),
        ("others == 'a'", "others == 'a' never holds: others holds a list", "write contains(others, 'a')"),
        ("lower(id) == 'Acme'", "lower(id) never equals or holds 'Acme'", "write 'acme'"),
        ("contains(lower(id), 'Acme')", "lower(id) never equals or holds 'Acme'", "write 'acme'"),
        ("starts_with(upper(id), 'Ac')", "upper(id) never equals or holds 'Ac'", "write 'AC'"),
        ("contains(['ACME', 'x'], upper(id))", "upper(id) never equals or holds 'x'", "write 'X'"),
        ("id != ''", "id != '' holds where id is null, too", "write id alone: empty text and null are false"),
        (
            "unknown != ''",
            "unknown != '' holds where unknown is null, too",
            "write unknown alone: empty text and null are false",
        ),
        (
            "id == 'ab '",
            "id == 'ab ' asks for values with blanks around them; a CHAR column is read without them",
            "write id == 'ab', or trim(id) == 'ab'",
        ),
        (
            "nullif(status, '0')",
            "nullif(status, '0') changes nothing: status holds whole numbers",
            "write numbers in backticks: `0`",
        ),
        (
            "nullif(kind, ['gold', 'Silver'])",
            "nullif(kind, 'Silver') changes nothing: kind holds one of a list of choices",
            "did you mean 'silver'?",
        ),
        (
            "lookup('stages', stage)",
            "no value of stage equals the keys 'PQL', 'gone' of the lookup table",
            "'PQL' is what users see; its code is '118827341'",
        ),
        (
            "lookup('kinds', kind)",
            "no value of kind equals the key 'bronze' of the lookup table",
            "look at the choices in the source",
        ),
        (
            "id == status",
            "id holds text, status holds whole numbers: they are never equal",
            "write to_string(status)",
        ),
        (
            "is_company < contacts[0].id || changed > status",
            (
                "changed holds times such as '2026-01-31T12:30:00Z', status holds whole numbers: "
                "they cannot be put in order"
            ),
            "write to_string(status)",
        ),
        (
            "lower(status)",
            "lower(status) fails for every record: status holds whole numbers",
            "write to_string(status) in its place",
        ),
        (
            "split(amount, ',')",
            "split(\u2026 amount \u2026) fails for every record: amount holds numbers",
            "write to_string(amount) in its place",
        ),
        (
            "lookup('kinds', is_company)",
            "lookup(\u2026 is_company \u2026) fails for every record: is_company holds true or false",
            "write to_string(is_company) in its place",
        ),
        (
            "substring(id, country)",
            "substring(\u2026 country \u2026) fails for every record: country holds text of at most 2 characters",
            "write to_number(country) in its place",
        ),
        ("upper(trim(id)) == id && upper(id) != 'a'", "upper(id) never equals or holds 'a'", "write 'A'"),
    ],
)
def test_what_never_holds_is_pointed_out_with_what_would_be_right(where: str, what: str, hint: str) -> None:
    assert found({"where": where}) == [("where", what, hint)]


@pytest.mark.parametrize(
    "where",
    [
        "is_company",
        "!is_company",
        "is_company == `true` || is_company == `0`",
        "status == `1` && status != `true`",
        "status",
        "status > `3` && `3` < status",
        "amount == '12345678901234567.5' || amount == 'NaN'",
        "score == `1.5`",
        "id == '4711' && id",
        "id > 'a' && starts_with(id, 'A') && contains(id, 'x')",
        "country == 'DE' || country == '' || country == `null`",
        "active == 'Y'",
        "stage == '118827341' && label(stage) == 'PQL' && stage",
        "kind == 'gold' || kind == ''",
        "tags == 'a' || tags == 'a,b'",
        "contains(['gold'], kind)",
        "born == '2026-01-31' && born >= '2026' && born < '2026-02'",
        "changed > '2026-01-31' && changed == '2026-01-31T10:00:00Z' && changed < '2026-01-31T10'",
        "changed == 'infinity'",
        "lower(id) == 'acme' && lower(id) == lower('ACME')",
        "contains(topics, 't1') && topics && contains(label(topics), 'Sales') && contains(others, 'anything')",
        "topics == `null` || contains(topics, `1`)",
        "unknown == 'x' && unknown > `5` && contains(unknown, `1`)",
        "not_null(status, id) == 'x' && [status, id][0] == 'x'",
        "lookup('whole', kind) && lookup('whole', id) && lookup('whole', status) && lookup('stages', tags)",
        "nullif(id, 'x', '') && nullif(kind, '') && nullif(status, `0`) && nullif(is_company, `0`)",
        "lower(born) && title(id) && digits(status) && add(id, status) && round(amount) && to_string(is_company)",
        "born < changed && status == is_company && amount > score && id == kind",
        "join(' ', [id, status]) && contains(lower(id), 'a') && unique(tags) && json(id) && if(status, id, kind)",
    ],
)
def test_what_may_hold_is_left_alone(where: str) -> None:
    assert found({"where": where}) == []


def test_a_field_of_lists_is_looked_at_value_by_value() -> None:
    kinds = {("topics",): FieldKind(cast("Any", "list")), ("id",): FieldKind("text")}
    assert found({"where": "lower(topics) == id || id == topics"}, kinds) == [
        (
            "where",
            "lower(topics) fails for every record: topics holds a list",
            "look at each value: map(&lower(@), topics)",
        ),
        ("where", "id holds text, topics holds a list: they are never equal", "write contains(topics, id)"),
    ]
    assert not found({"where": "unique(topics) && length(topics) > `1`"}, kinds)


def test_every_place_of_the_mapping_is_looked_at_and_its_key_named() -> None:
    table = {
        "labels": ["if(status == 'x', 'a', 'b')", "'c'"],
        "role": "contacts[?priv == '0'].name | [0]",
        "contacts": [
            {"from": "contacts[?priv == 'a']", "name": "name", "where": "priv == 'b' && $.is_company == 'yes'"},
        ],
    }
    assert sorted((where, what.partition(" never")[0]) for where, what, _ in found(table)) == [
        ("contacts[0].from", "priv == 'a'"),
        ("contacts[0].where", "is_company == 'yes'"),
        ("contacts[0].where", "priv == 'b'"),
        ("labels[0]", "status == 'x'"),
        ("role", "priv == '0'"),
    ]


def test_without_a_source_only_what_is_certain_is_said() -> None:
    assert found({"where": "status == 'x' && lower(id) == 'X'"}, {}) == [
        ("where", "lower(id) never equals or holds 'X'", "write 'x'")
    ]
