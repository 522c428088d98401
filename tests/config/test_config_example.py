"""The example names every option there is, and every line of it works."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from connectors.registry import CONNECTORS, connector_type
from sync.commands.init import starters
from sync.config.explain import keys_of
from sync.config.load import load_config, warnings_of
from sync.config.mappings import compile_all
from sync.config.schema import Config, ContactTable, Source, Stream
from sync.shared.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "config.example.toml").read_text(encoding="utf-8")
LINES = EXAMPLE.splitlines()
OPTION = re.compile(r"(?:# )?(?P<key>[a-z_]+) = .+")
HEADER = re.compile(r"(?:# )?(?P<open>\[\[?)(?P<name>[a-z_.]+)\]\]?")

NOT_HERE = {("lead.contacts", "notes"), ("lead.contacts", "date")}
"""What the schema shares between leads and contacts, and the API has only for leads."""
OLD = {("lead", "require"), ("lead.contacts", "require")}
"""Names that options had before: they work with a warning, and are not proposed to anybody."""


def table_of(header: str) -> str:
    """`sources.erp.streams.companies.lead` is the kind of table `lead`."""
    name = re.sub(r"^sources\.[a-z]+", "source", header)
    name = re.sub(r"^source\.streams\.[a-z]+", "stream", name)
    name = re.sub(r"^stream\.children\.[a-z]+", "child", name)
    return re.sub(r"^workspaces\.[a-z]+", "workspace", name).removeprefix("stream.")


def written() -> dict[str, list[tuple[int, str]]]:
    """Of each kind of table the option lines, commented or not: (line, key)."""
    found: dict[str, list[tuple[int, str]]] = {}
    table = ""
    for number, line in enumerate(LINES):
        if header := HEADER.fullmatch(line.split("  ")[0].rstrip()):
            table = table_of(header["name"])
        elif option := OPTION.fullmatch(line):
            found.setdefault(table, []).append((number, option["key"]))
    return found


def wanted() -> dict[str, set[str]]:
    tables: dict[str, set[str]] = {}
    for name in ("sql",):  # the others have examples of their own
        kind = connector_type(name)
        of_tables: dict[str, tuple[type[BaseModel], ...]] = {
            "source": (Source, kind.source_options),
            "stream": (Stream, kind.stream_options),
            "child": (kind.child_options,),
        }
        for table, models in of_tables.items():
            tables.setdefault(table, set()).update(*(keys_of(model) for model in models))
    top = keys_of(Config)
    tables["workspace"] = set(keys_of(_model(_value(top["workspaces"]))))
    tables["lead"] = set(keys_of(_model(keys_of(Stream)["lead"])))
    tables["lead.contacts"] = set(keys_of(ContactTable))
    for key in ("ledger", "log", "metrics", "service", "guard"):
        tables[key] = set(keys_of(_model(top[key])))
    return tables


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    if get_origin(annotation) in (Annotated, Union, UnionType):
        for part in get_args(annotation):
            yield from _parts(part)


def _model(annotation: Any) -> type[BaseModel]:
    return next(part for part in _parts(annotation) if isinstance(part, type) and issubclass(part, BaseModel))


def _value(annotation: Any) -> Any:
    return next(get_args(part)[1] for part in _parts(annotation) if get_origin(part) is Mapping)


TABLES_OF_THEIR_OWN = {
    ("source", "streams"),
    ("stream", "children"),
    ("stream", "lead"),
    ("lead", "contacts"),
    ("workspace", "wire"),
}


def test_every_option_is_written_down() -> None:
    lines = written()
    missing = {
        (table, key)
        for table, keys in wanted().items()
        for key in keys - {key for _, key in lines.get(table, [])}
        if (table, key) not in TABLES_OF_THEIR_OWN | NOT_HERE | OLD
    }
    assert not missing
    assert "[lookups." in EXAMPLE
    assert {key for _, key in lines["workspace.wire"]} == {"emails", "phones", "socials", "addresses"}


def test_nothing_else_is_written_down() -> None:
    """A commented line with a key that nothing knows would be found by uncommenting, too; this says where it is."""
    known = wanted() | {"workspace.wire": {"emails", "phones", "socials", "addresses"}}
    lines = written()
    assert not {key for table, keys in lines.items() for _, key in keys if key not in known[table]}


def test_no_connector_takes_a_key_of_the_common_schema() -> None:
    for name in CONNECTORS:
        kind = connector_type(name)
        assert not keys_of(Source).keys() & keys_of(kind.source_options).keys()
        assert not keys_of(Stream).keys() & keys_of(kind.stream_options).keys()


COMMENTED = [
    (table, number, key) for table, keys in written().items() for number, key in keys if LINES[number].startswith("# ")
]
OPPOSITES = {"cron": "every", "query": "table"}
DEFAULTS = {"workspace", "workspace.wire", "ledger", "log", "service", "guard", "source", "stream"}
"""Tables whose commented lines show defaults, but for these keys, which show an example."""
EXAMPLES = {
    "api_key",
    "label",
    "listen",
    "unknown_statuses",
    "url",
    "cron",
    "query",
    "modified_as",
    "match_on",
    "resend_label",
    "guard",
    "workspace",
    "receipts_copy",
}


def with_line(table: str, number: int, key: str) -> str:
    """The example with a commented line in force, and its table, instead of those that it excludes."""
    lines = list(LINES)
    lines[number] = lines[number].removeprefix("# ")
    for other, other_key in written()[table]:
        if other != number and other_key in (key, OPPOSITES.get(key)):
            lines[other] = ""
    header = next(n for n in range(number, -1, -1) if HEADER.fullmatch(LINES[n].split("  ")[0].rstrip()))
    lines[header] = lines[header].removeprefix("# ")
    return "\n".join(lines)


def test_each_commented_line_works_in_its_place_and_most_show_a_default(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    example = load_config(ROOT / "config.example.toml")
    shows_default: dict[str, bool] = {}
    for table, number, key in COMMENTED:
        path.write_text(with_line(table, number, key))
        try:
            loaded = load_config(path)
        except ConfigError as error:
            raise AssertionError(f"line {number + 1}: {LINES[number]}") from error
        same = loaded.model_copy(update={"path": example.path, "digest": example.digest}) == example
        shows_default[f"{number + 1}: {key}"] = same
    assert shows_default == {
        f"{number + 1}: {key}": table in DEFAULTS and key not in EXAMPLES for table, number, key in COMMENTED
    }


def test_the_example_works_as_it_stands() -> None:
    config = load_config(ROOT / "config.example.toml")
    assert warnings_of(config) == ()
    assert list(compile_all(config)) == ["erp.companies"]


@pytest.mark.parametrize(
    ("connector", "database"), [(name, database) for name in CONNECTORS for database in starters(name)]
)
def test_what_init_writes_loads(connector: str, database: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(starters(connector)[database], encoding="utf-8")
    path.chmod(0o600)
    config = load_config(path)
    assert warnings_of(config) == ()
    assert list(compile_all(config)) == ["crm.companies"]
    assert config.sources["crm"].streams["companies"].start == "now"
    assert config.sources["crm"].streams["companies"].lead.labels


FILES = [ROOT / "systemd/config.toml", ROOT / "config.example.toml", *ROOT.glob("connectors/*/config.example.toml")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_shipped_file_sends_what_is_there(path: Path) -> None:
    """What exists is taken as known, unless somebody says otherwise: it cannot be taken back."""
    text = path.read_text(encoding="utf-8")
    starts = re.findall(r"^start = (\S+)", text, re.MULTILINE)
    assert starts
    assert set(starts) == {'"now"'}
