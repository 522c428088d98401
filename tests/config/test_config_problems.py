"""Every fault of a file is named at its place, in plain words, all at once, and no secret is quoted."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core.core_schema import ErrorType

from connectors.registry import CONNECTORS
from sync.config import explain
from tests.config.conftest import Load, Problems, Shelf

A_SECRET = 'must be a table such as { env = "NAME" }, { file = "PATH" } or { credential = "NAME" }'
ONE_OF_THREE = 'needs exactly one of env, file, credential, such as { env = "NAME" }'
A_NAME = "a name may hold only letters, digits, - and _, and at most 64 of them"
AN_EXPRESSION = 'must be an expression in quotes, such as "name", or a number, true or false'
EXPRESSIONS = 'must be an expression in quotes, such as "[email]", or a list of expressions'
A_START = 'must be "all", "now" or a date such as "2026-01-31"'
FUTURE = 'lies in the future (to send only what changes from now on, write "now")'
A_DURATION = 'must be a duration such as "30s", "5m", "2h" or "7d"'
ITSELF = "is the ledger's own folder, which already has its receipts (name another folder, on another disk)"
FIVE_FIELDS = 'must be five fields (minute, hour, day, month, weekday) such as "*/5 6-20 * * mon-fri", not 1'
WEEKDAYS = "must name weekdays (mon, tue, …, sun): their numbers do not mean the same everywhere"
NO_LISTEN = 'must be an address and a port such as "127.0.0.1:9464"'
LOOPBACK = (
    "must be on this machine (127.0.0.1, ::1, localhost): to reach it from elsewhere, put a "
    "proxy with a login in front of it"
)
BRACES = "may hold no braces except in the placeholder {batch}"
PRINTABLE = "must be printable text and not empty"
SAME_KEY = "is the same key as workspaces.main.api_key: one API key is one workspace, with one rate limit"
NO_URL = 'must be an address such as "https://app.closingdealz.io"'
NO_PORT = 'must be an address such as "https://app.closingdealz.io", with a port from 1 to 65535'
HTTPS = "must be https: plain http is allowed only to this machine (127.0.0.1, ::1, localhost)"
TOO_LATE = (
    "is not a cron expression: Error validating expression '25': "
    "the last value (25) is higher than the maximum value (23)"
)
A_LIST = "is required: an expression that yields a list, such as the name of a child"

S = "sources.erp"
C = "sources.erp.streams.companies"


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} must stand in the good file once"
    return text.replace(old, new)


URL = 'url = { env = "ERP" }'
KEY = 'api_key = { env = "KEY" }'
START = 'start = "all"'
CHANGE = 'on_change = "hold"'
TABLE = 'table = "companies"'
KIND = 'kind = "company"'
LOWR = f"{C}.lead.name: column 1: unknown function lowr() (did you mean lower()?)"
CASES: list[tuple[str, str, list[str]]] = [
    # unknown keys, at every depth, with the key that was meant or the table where it belongs
    (KIND, KIND + '\nemials = "email"', [f"{C}.lead.emials: unknown key (did you mean emails?)"]),
    (KIND, KIND + '\nEmails = "email"', [f"{C}.lead.Emails: unknown key (did you mean emails?)"]),
    (KIND, KIND + '\nlast-name = "x"', [f"{C}.lead.last-name: unknown key (did you mean last_name?)"]),
    (KIND, KIND + '\n"a b" = "x"', [f'{C}.lead."a b": unknown key']),
    ('name = "first"', 'nmae = "first"', [f"{C}.lead.contacts[0].nmae: unknown key (did you mean name?)"]),
    ('name = "first"', 'from_ = "first"', [f"{C}.lead.contacts[0].from_: unknown key (did you mean from?)"]),
    (KEY, KEY + "\nlimt = 3", ["workspaces.main.limt: unknown key (did you mean limit?)"]),
    (KEY, KEY + "\nlimit.request = 3", ["workspaces.main.limit.request: unknown key (did you mean requests?)"]),
    (KEY, 'api_key = { evn = "X" }', ["workspaces.main.api_key.evn: unknown key (did you mean env?)"]),
    (URL, URL + "\nretrys = 2", [f"{S}.retrys: unknown key (did you mean retries?)"]),
    (URL, URL + '\nevry = "5m"', [f"{S}.evry: unknown key (did you mean every?)"]),
    (URL, URL + "\noptions = {}", [f"{S}.options: unknown key"]),
    (URL, URL + '\non_change = "hold"', [f"{S}.on_change: unknown key (it belongs in [sources.NAME.streams.NAME])"]),
    (URL, URL + '\nquery = "x"', [f"{S}.query: unknown key (it belongs in [sources.NAME.streams.NAME])"]),
    (TABLE, TABLE + '\nevery = "5m"', [f"{C}.every: unknown key (it belongs in [sources.NAME])"]),
    (TABLE, TABLE + "\nretries = 5", [f"{C}.retries: unknown key (it belongs in [sources.NAME])"]),
    (TABLE, TABLE + "\nguard.max = 5", [f"{C}.guard.max: unknown key"]),
    (
        'table = "people"',
        'tabel = "people"\ntable = "x"',
        [f"{C}.children.people.tabel: unknown key (did you mean table?)"],
    ),
    ("[workspaces.main]", 'path = "x"\n[workspaces.main]', ["path: unknown key (it belongs in [ledger])"]),
    ("[workspaces.main]", "[ledgr]\n[workspaces.main]", ["ledgr: unknown key (did you mean ledger?)"]),
    # what is missing
    (KEY, "", ['workspaces.main.api_key: is required: a table such as { env = "NAME" }']),
    (URL, "", [f"{S}.url: is required"]),
    ('connector = "shelf"', "", [f"{S}.connector: is required: the kind of source (hubspot, salesforce, sql)"]),
    (START, "", [f'{C}.start: is required: "all", "now" or a date']),
    (CHANGE, "", [f'{C}.on_change: is required: "hold" or "resend"']),
    (KIND, "", [f'{C}.lead.kind: is required: "company" or "contact"']),
    (TABLE, "", [f"{C}: needs exactly one of table and query"]),
    (TABLE, TABLE + '\nquery = "x"', [f"{C}: needs exactly one of table and query"]),
    ('table = "people"', "", [f"{C}.children.people.table: is required"]),
    (
        'from = "people"',
        "",
        [f"{C}.lead.contacts[0].from: {A_LIST}"],
    ),
    # wrong types and values
    (KEY, "api_key = 5", [f"workspaces.main.api_key: {A_SECRET}"]),
    (KEY, 'api_key = ""', ["workspaces.main.api_key: is empty"]),
    (KEY, "api_key = {}", [f"workspaces.main.api_key: {ONE_OF_THREE}"]),
    (KEY, KEY + "\nbatch_size = 101", ["workspaces.main.batch_size: must be at most 100"]),
    (KEY, KEY + "\nbatch_size = 0", ["workspaces.main.batch_size: must be at least 1"]),
    (KEY, KEY + "\nbatch_size = 5.5", ["workspaces.main.batch_size: must be a whole number"]),
    (KEY, KEY + "\nbatch_size = '5'", ["workspaces.main.batch_size: must be a whole number"]),
    (KEY, KEY + "\nbatch_size = true", ["workspaces.main.batch_size: must be a whole number"]),
    (KEY, KEY + "\ntimeout = 60", [f"workspaces.main.timeout: {A_DURATION}"]),
    (KEY, KEY + '\ntimeout = "0s"', ["workspaces.main.timeout: must be at least 1 second"]),
    (KEY, KEY + '\nlimit.per = "1ms"', ["workspaces.main.limit.per: must be at least 100 ms"]),
    (KEY, KEY + '\non_unknown = "retry"', ['workspaces.main.on_unknown: must be "hold" or "resend"']),
    (KEY, KEY + "\nunknown_statuses = [503, 200]", ["workspaces.main.unknown_statuses[1]: must be at least 300"]),
    (KEY, KEY + "\nunknown_statuses = 503", ['workspaces.main.unknown_statuses: must be a list, such as ["a", "b"]']),
    (KEY, KEY + '\nwire.emails = "mail"', ["workspaces.main.wire.emails: must be a table"]),
    (
        KEY,
        KEY + '\nwire.emails = { field = "", member = "A" }',
        ["workspaces.main.wire.emails.field: must not be empty"],
    ),
    (KEY, KEY + "\nmax_pending = 5", ["workspaces.main.max_pending: must be at least 100"]),
    (
        "[workspaces.main]",
        "[guard]\nfactor = 1\n[workspaces.main]",
        ["guard.factor: must be more than 1"],
    ),
    (
        "[workspaces.main]",
        "[guard]\nfactor = inf\n[workspaces.main]",
        ["guard.factor: must be a finite number"],
    ),
    (
        "[workspaces.main]",
        '[log]\nlevel = "verbose"\n[workspaces.main]',
        ['log.level: must be "debug", "info", "warning" or "error"'],
    ),
    ("[workspaces.main]", '[ledger]\npath = ""\n[workspaces.main]', ["ledger.path: must not be empty"]),
    (
        "[workspaces.main]",
        '[ledger]\npath = "a/ledger.db"\nreceipts_copy = "../a"\n[workspaces.main]',
        [f"ledger.receipts_copy: {ITSELF}"],
    ),
    ("[workspaces.main]", '[ledger]\npath = "a\\u0000b"\n[workspaces.main]', ["ledger.path: holds a NUL character"]),
    ("[workspaces.main]", "log = 5\n[workspaces.main]", ["log: must be a table"]),
    (
        "[workspaces.main]",
        "[lookups.a]\nx = []\n[workspaces.main]",
        ["lookups.a.x: must be text in quotes, a number, true or false"],
    ),
    (
        "[workspaces.main]",
        "[lookups.a]\nx = 99999999999999999999\n[workspaces.main]",
        ["lookups.a.x: must be a number of at most 64 bits"],
    ),
    (URL, URL + "\nretries = 10", [f"{S}.retries: must be at most 9"]),
    (URL, URL + "\nauth = { id = 4 }", [f"{S}.auth.id: {A_SECRET}"]),
    (URL, URL + '\nevery = "5 minutes"', [f"{S}.every: {A_DURATION}"]),
    (URL, URL + '\nevery = "0s"', [f"{S}.every: must be at least 1 second"]),
    (URL, URL + '\nevery = "9999999999d"', [f"{S}.every: is longer than any clock can count"]),
    (URL, URL + '\noverlap = "400d"', [f"{S}.overlap: must be at most 31 days"]),
    (KIND, 'kind = "person"', [f'{C}.lead.kind: must be "company" or "contact"']),
    (KIND, KIND + "\nindustry = []", [f"{C}.lead.industry: {AN_EXPRESSION}"]),
    (KIND, KIND + "\nindustry = nan", [f"{C}.lead.industry: must be a finite number"]),
    (KIND, KIND + "\nemails = {}", [f"{C}.lead.emails: {EXPRESSIONS}"]),
    (KIND, KIND + '\nemails = ["a", {}]', [f"{C}.lead.emails: {AN_EXPRESSION}"]),
    (KIND, KIND + '\ntruncate = "name"', [f'{C}.lead.truncate: must be a list, such as ["a", "b"]']),
    (KIND, KIND + "\nrequire = [1]", [f"{C}.lead.require[0]: must be text in quotes"]),
    # when a stream starts
    (START, "start = 5", [f"{C}.start: {A_START}"]),
    (START, 'start = "soon"', [f"{C}.start: {A_START}"]),
    (START, 'start = "2026-02-30"', [f"{C}.start: {A_START}"]),
    (START, "start = 2026-01-01T00:00:00Z", [f"{C}.start: {A_START}"]),
    (START, 'start = "2026-05-06"', [f"{C}.start: {FUTURE}"]),
    (START, "start = 2026-05-06", [f"{C}.start: {FUTURE}"]),
    # cron
    (
        URL,
        URL + '\ncron = "0 6 * * mon"\nevery = "5m"',
        [f"{S}.cron: every and cron cannot be combined (remove one of them)"],
    ),
    (URL, URL + '\ncron = "@daily"', [f"{S}.cron: {FIVE_FIELDS}"]),
    (URL, URL + '\ncron = "0 25 * * *"', [f"{S}.cron: {TOO_LATE}"]),
    (URL, URL + '\ncron = "0 6 * * 1-5"', [f"{S}.cron: {WEEKDAYS}"]),
    (URL, URL + '\ncron = "0 6 31 2 *"', [f"{S}.cron: names a time that never comes"]),
    # labels
    (KEY, KEY + '\nlabel = "sync-{lot}"', [f"workspaces.main.label: {BRACES}"]),
    (KEY, KEY + '\nlabel = "{{batch}}"', [f"workspaces.main.label: {BRACES}"]),
    (KEY, KEY + '\nlabel = " "', [f"workspaces.main.label: {PRINTABLE}"]),
    (KEY, KEY + '\nlabel = "a\\nb"', [f"workspaces.main.label: {PRINTABLE}"]),
    (KEY, KEY + f'\nlabel = "{"x" * 65}"', ["workspaces.main.label: must be at most 64 characters long"]),
    (
        KEY,
        KEY + f'\nlabel = "{"x" * 53}{{batch}}"',
        [
            (
                "workspaces.main.label: must be at most 64 characters long,"
                " with the 22 characters of a batch in the place of {batch}"
            )
        ],
    ),
    (
        CHANGE,
        'on_change = "resend"\nresend_label = "' + "😀" * 33 + '"',
        [f"{C}.resend_label: must be at most 64 characters long"],
    ),
    # names
    ("[workspaces.main]", '[workspaces."my key"]', [f'workspaces."my key": {A_NAME}']),
    (
        "[sources.erp.streams.companies.children.people]",
        '[sources.erp.streams.companies.children."x.y"]',
        [f'{C}.children."x.y": {A_NAME}'],
    ),
    # workspaces
    (CHANGE, CHANGE + '\nworkspace = "mian"', [f"{C}.workspace: names no workspace (did you mean main?)"]),
    (CHANGE, CHANGE + '\nworkspace = "zzz"', [f"{C}.workspace: names no workspace (there is: main)"]),
    (
        KEY,
        KEY + "\n[workspaces.eu]\napi_key = { env = 'EU' }",
        [f"{C}.workspace: is required where there are several workspaces: one of main, eu"],
    ),
    (
        CHANGE + "\n",
        CHANGE + '\nworkspace = "main"\n[workspaces.eu]\napi_key = { env = "KEY" }\n',
        [f"workspaces.eu.api_key: {SAME_KEY}"],
    ),
    # connectors
    (
        'connector = "shelf"',
        'connector = "sapphire"',
        [f'{S}.connector: "sapphire" is not a connector (this version has: {", ".join(sorted(CONNECTORS))})'],
    ),
    ('connector = "shelf"', "connector = 5", [f"{S}.connector: must be text in quotes"]),
    # the service
    ("[workspaces.main]", '[metrics]\nlisten = "127.0.0.1"\n[workspaces.main]', [f"metrics.listen: {NO_LISTEN}"]),
    ("[workspaces.main]", '[metrics]\nlisten = "127.0.0.1:0"\n[workspaces.main]', [f"metrics.listen: {NO_LISTEN}"]),
    ("[workspaces.main]", '[metrics]\nlisten = "0.0.0.0:9464"\n[workspaces.main]', [f"metrics.listen: {LOOPBACK}"]),
    ("[workspaces.main]", '[metrics]\nlisten = "[::]:9464"\n[workspaces.main]', [f"metrics.listen: {LOOPBACK}"]),
    # mappings
    ('name = "name"', 'name = "lowr(name)"', [LOWR]),
]


@pytest.mark.parametrize(
    ("old", "new", "expected"), CASES, ids=[f"{i}-{new[-30:]!r}" for i, (_, new, _) in enumerate(CASES)]
)
def test_each_fault_is_named(good: str, problems: Problems, old: str, new: str, expected: list[str]) -> None:
    assert problems(changed(good, old, new)) == expected


URLS = [
    ("app.closingdealz.io", NO_URL),
    ("ftp://x", NO_URL),
    ("https://", NO_URL),
    ("https://a b", NO_URL),
    ("https://a..b", NO_URL),
    ("https://a%20b", NO_URL),
    ("https://x:99999", NO_PORT),
    ("https://[::1", NO_PORT),
    ("https://x:0", "must name a port from 1 to 65535"),
    ("https://u:HUNTER2@x", "must hold no user or password: the API key is the only credential"),
    ("https://x/api/v1/leads", "must end after the host and port: the program adds the API's path"),
    ("https://x?key=HUNTER2", "must end after the host and port: the program adds the API's path"),
    ("http://example.com", HTTPS),
    ("http://127.0.0.1.example.com", HTTPS),
    ("http://10.0.0.1", HTTPS),
]


@pytest.mark.parametrize(("url", "what"), URLS)
def test_addresses_that_cannot_be_right(good: str, problems: Problems, url: str, what: str) -> None:
    found = problems(changed(good, KEY, f'{KEY}\nbase_url = "{url}"'))
    assert found == [f"workspaces.main.base_url: {what}"]


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://app.closingdealz.io/", "https://app.closingdealz.io"),
        ("HTTPS://App.ClosingDealz.io:8443", "https://app.closingdealz.io:8443"),
        ("http://127.9.9.9:8765", "http://127.9.9.9:8765"),
        ("http://[::1]:80/", "http://[::1]:80"),
        ("http://localhost", "http://localhost"),
    ],
)
def test_addresses_that_can(good: str, load: Load, url: str, kept: str) -> None:
    assert load(changed(good, KEY, f'{KEY}\nbase_url = "{url}"')).workspaces["main"].base_url == kept


def test_all_problems_come_at_once(good: str, problems: Problems) -> None:
    text = changed(good, START, "strat = 5").replace(URL, "urll = 1").replace('name = "name"', 'name = "lowr(name)"')
    text = text.replace(KEY, 'api_key = { env = "" , fiel = "x" }\nlabel = "{x}"') + "\n[metrics]\nport = 1\n"
    assert problems(text) == [
        "metrics.port: unknown key",
        LOWR,
        f'{C}.start: is required: "all", "now" or a date',
        f"{C}.strat: unknown key (did you mean start?)",
        f"{S}.url: is required",
        f"{S}.urll: unknown key (did you mean url?)",
        "workspaces.main.api_key.fiel: unknown key (did you mean file?)",
        f"workspaces.main.label: {BRACES}",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["sources: is required", "workspaces: is required"]),
        ("sources = 1\nworkspaces = []", ["sources: must be a table", "workspaces: must be a table"]),
        ("[sources]\n[workspaces]", ["sources: needs at least 1 entry", "workspaces: needs at least 1 entry"]),
        (
            "sources.a = 1\nworkspaces.b = 2",
            ["sources.a: must be a table", "workspaces.b: must be a table"],
        ),
    ],
)
def test_files_with_next_to_nothing(problems: Problems, text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_streams_of_the_wrong_shape(good: str, problems: Problems) -> None:
    head = good.split("[sources.erp.streams", maxsplit=1)[0]
    assert problems(head) == [f"{S}.streams: is required"]
    assert problems(head + "streams = {}") == [f"{S}.streams: needs at least 1 entry"]
    assert problems(head + "streams = []") == [f"{S}.streams: must be a table"]
    assert problems(head + "streams.a = 5") == [f"{S}.streams.a: must be a table"]


def test_children_of_the_wrong_shape(good: str, problems: Problems) -> None:
    text = changed(good, '[sources.erp.streams.companies.children.people]\ntable = "people"', "")
    assert problems(changed(text, TABLE, TABLE + "\nchildren = 5")) == [f"{C}.children: must be a table"]
    assert problems(changed(text, TABLE, TABLE + "\nchildren.a = 5")) == [f"{C}.children.a: must be a table"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a = 1\nb = = 2", "line 2, column 5: is not valid TOML: invalid value"),
        (b'a = "x', "end of the file: is not valid TOML: unterminated string"),
        (b"a = 1\na = 2\n", "line 2, column 6: is not valid TOML: cannot overwrite a value"),
        (b"a = \xff", "file: is not UTF-8 text, from byte 5 on"),
        (b"a = " + b"9" * 5000, "file: holds a number that is too long"),
        (b"a = " + b"[" * 5000, "file: is nested too deeply"),
    ],
)
def test_what_is_not_toml(problems: Problems, text: bytes, expected: str) -> None:
    (found,) = problems(text)
    assert found.lower().startswith(expected.lower())


def test_no_secret_is_quoted(good: str, problems: Problems) -> None:
    secret = "HUNTER2"
    for text in (
        changed(good, KEY, f'api_key = ["{secret}"]'),
        changed(good, KEY, f'api_key = {{ env = 5, file = "{secret}" }}'),
        changed(good, URL, f'url = "{secret}"\nretries = "{secret}"'),
        changed(good, URL, f'url = "{secret}"\ncron = "{secret}"'),
        changed(good, KEY, f'api_key = "{secret}"\nlimit = "{secret}"\nlabel = "{{{secret}}}"'),
        changed(good, KEY, f"api_key = {secret}"),
        changed(good, URL, f'url = "postgresql://u:{secret}@h/d'),
    ):
        for problem in problems(text):
            assert secret not in problem


def test_every_kind_of_the_validators_errors_has_plain_words() -> None:
    limits = dict.fromkeys(("gt", "ge", "lt", "le", "min_length", "max_length"), 2) | {
        "expected": "'a' or 'b'",
        "error": ValueError("words of our own"),
        "discriminator": "'flow'",
        "expected_tags": "'a', 'b'",
    }
    kinds = get_args(ErrorType)
    assert len(kinds) > 50
    for kind in kinds:
        words = explain._words(kind, ("key",), limits, None)
        assert "nput" not in words
        assert "alid" not in words


def test_the_columns_of_a_database_key_and_of_its_childs_parent_belong_together(good: str, problems: Problems) -> None:
    good = good.replace('"shelf"', '"sql"')
    two = changed(good, TABLE, TABLE + '\nkey = ["tenant", "number"]')
    people = 'table = "people"\nkey = "id"\n'
    hint = "(name the child's columns that hold the parent's key, in the order of that key)"
    assert problems(changed(two, 'table = "people"\n', people + 'parent = "number"\n')) == [
        f"{C}.children.people.parent: names 1 column, but the stream's key has 2 {hint}"
    ]
    fine = changed(two, 'table = "people"\n', people + 'parent = ["tenant", "number"]\n')
    assert problems(changed(fine, 'key = ["tenant", "number"]', "key = []")) == [
        f"{C}.key: must name at least one column, and none twice"
    ]
    assert problems(changed(fine, 'key = ["tenant", "number"]', "key = 5"))[0].startswith(
        f'{C}.key: must be a column\'s name in quotes, or a list of several: ["tenant", "number"]'
    )


def test_checks_of_the_engine_and_of_the_connector_are_reported_together(good: str, problems: Problems) -> None:
    text = changed(changed(good, TABLE, 'table = "companies"\nquery = "x"'), CHANGE, "")
    assert problems(changed(text, URL, URL + '\nevery = "0s"')) == [
        f"{S}.every: must be at least 1 second",
        f"{C}: needs exactly one of table and query",
        f'{C}.on_change: is required: "hold" or "resend"',
    ]


def test_a_fault_of_a_streams_options_hides_none_of_its_mapping(good: str, problems: Problems) -> None:
    text = changed(good, CHANGE, 'on_change = "perhaps"').replace('name = "name"', 'name = "lowr(name)"')
    assert problems(text) == [LOWR, f'{C}.on_change: must be "hold" or "resend"']


def test_a_connector_compares_keys_of_its_own(
    good: str, problems: Problems, shelf: type[Shelf], monkeypatch: pytest.MonkeyPatch
) -> None:
    def mismatches(_: object, stream: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str, str]]:
        yield ("children", "people", "table"), f"differs from {stream['table']}", "name the same"

    monkeypatch.setattr(shelf, "mismatches", mismatches, raising=False)
    assert problems(changed(good, CHANGE, "")) == [
        f"{C}.children.people.table: differs from companies (name the same)",
        f'{C}.on_change: is required: "hold" or "resend"',
    ]


def test_a_connectors_option_must_not_hide_one_of_the_engine(
    good: str, load: Load, shelf: type[Shelf], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hiding(BaseModel):
        every: str = "5m"

    monkeypatch.setattr(shelf, "source_options", Hiding)
    with pytest.raises(TypeError, match="Hiding has keys of the engine's own: every"):
        load(good)
