"""A good file becomes a `Config`; where files and folders are looked for; what is warned of."""

import os
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import cast

import pytest

from connectors.interface import OffersStarters
from connectors.registry import connector_type
from sync.config.load import find_config, load_config, warnings_of
from sync.config.mappings import compile_all
from sync.config.schema import Config, Stream
from sync.engine.stream_specs import open_source, stream_specs
from sync.shared.errors import ConfigError
from tests.config.conftest import Load, ShelfChild, ShelfSource, ShelfStream

KEY = 'api_key = { env = "KEY" }'


def test_a_good_file_has_its_values_and_defaults(good: str, load: Load, tmp_path: Path) -> None:
    config = load(good)
    stream = config.sources["erp"].streams["companies"]
    assert config.path == tmp_path / "config.toml"
    assert config.workspaces["main"].base_url == "https://app.closingdealz.io"
    assert config.sources["erp"].every == timedelta(minutes=5)
    options = config.sources["erp"].options
    assert isinstance(options, ShelfSource)
    assert options.url.env == "ERP"
    assert (stream.options, stream.children) == (ShelfStream(table="companies"), {"people": ShelfChild(table="people")})
    assert stream.lead.contacts[0].from_ == "people"
    assert config.workspace_of(stream) == "main"
    assert warnings_of(config) == ()


def test_windows_editors_do_no_harm(good: str, load: Load) -> None:
    assert load(b"\xef\xbb\xbf" + good.replace("\n", "\r\n").encode()) == load(good)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"all"', "all"),
        ('"now"', "now"),
        ('"2026-01-31"', date(2026, 1, 31)),
        ("2026-01-31", date(2026, 1, 31)),
        ("2026-05-05", date(2026, 5, 5)),  # tomorrow here is today somewhere
    ],
)
def test_start(good: str, load: Load, written: str, meant: str | date) -> None:
    config = load(good.replace('start = "all"', f"start = {written}"))
    assert config.sources["erp"].streams["companies"].start == meant


def test_cron_and_label_and_empty_match_on_load(good: str, load: Load) -> None:
    text = good.replace(KEY, f'{KEY}\nlabel = "sync-{{batch}}"').replace(
        'start = "all"', 'start = "all"\nmatch_on = []'
    )
    config = load(text.replace('connector = "shelf"', 'connector = "shelf"\ncron = "*/5 6-20 * * mon-fri"'))
    assert config.sources["erp"].cron == "*/5 6-20 * * mon-fri"
    assert config.workspaces["main"].label == "sync-{batch}"


@pytest.mark.parametrize(
    ("general", "own", "expected"),
    [
        ("", "", (5000, 10, 100)),
        ("max_new = 7", "", (7, 10, 100)),
        ("", "max_new = 8", (8, 10, 100)),
        ("max_new = 7\nfactor = 2.5\nat_least = 0", "max_new = 5000", (5000, 2.5, 0)),
        ("max_new = 7\nfactor = 2", "factor = 3, at_least = 9", (7, 3, 9)),
    ],
)
def test_a_streams_guard_overrides_the_general_one_key_by_key(
    good: str, load: Load, general: str, own: str, expected: tuple[int, float, int]
) -> None:
    text = good.replace('start = "all"', f'start = "all"\nguard = {{ {own} }}') if own else good
    config = load(f"[guard]\n{general}\n{text}")
    guard = config.guard_of(config.sources["erp"].streams["companies"])
    assert (guard.max_new, guard.factor, guard.at_least) == expected


def test_a_secret_file_is_relative_to_the_configuration(good: str, load: Load, tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text(" s3cr3t\n")
    config = load(good.replace(KEY, 'api_key = { file = "key.txt" }').replace('{ env = "ERP" }', '{ file = "/abs" }'))
    assert config.workspaces["main"].api_key.read().reveal() == "s3cr3t"
    options = config.sources["erp"].options
    assert isinstance(options, ShelfSource)
    assert options.url.file == "/abs"


def test_where_the_ledger_lies(good: str, load: Load, tmp_path: Path) -> None:
    ledger = '[ledger]\npath = "sub/l.db"\n'
    assert load(good).ledger_path == tmp_path / "ledger.db"
    assert load(ledger + good).ledger_path == tmp_path / "sub/l.db"
    assert load(ledger + good, {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}).ledger_path == Path("/var/lib/a/sub/l.db")
    assert load(ledger.replace("sub", "/srv") + good, {"STATE_DIRECTORY": "/var/lib/a"}).ledger_path == Path(
        "/srv/l.db"
    )


def test_streams_get_what_their_connector_needs(good: str, load: Load) -> None:
    config = load(good)
    mappings = compile_all(config)
    (spec,) = stream_specs(config, mappings).values()
    assert list(mappings) == ["erp.companies"]
    assert (spec.source, spec.name, spec.page_size) == ("erp", "companies", 1000)
    assert (spec.overlap, spec.settle) == (timedelta(minutes=10), timedelta(seconds=5))
    assert spec.options == ShelfStream(table="companies")
    assert spec.children["people"] == ShelfChild(table="people")
    assert spec.wanted.fields == frozenset({("name",)})
    assert spec.wanted.children["people"].fields == frozenset({("first",)})


def test_the_options_of_the_common_schema_are_no_connectors(good: str, load: Load) -> None:
    assert isinstance(load(good).sources["erp"].streams["companies"], Stream)
    with pytest.raises(ConfigError, match=r"this version has: .*sql"):
        open_source(load(good), "erp")


class TestFinding:
    def test_the_option_wins_even_if_the_file_is_not_there(self) -> None:
        env = {"CLOSINGDEALZ_SYNC_CONFIG": "/b"}
        assert find_config(Path("/a"), env) == Path("/a")
        assert find_config(None, env) == Path("/b")

    def test_then_the_working_folder_then_systemds(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        here, there = tmp_path / "here", tmp_path / "there"
        for folder in (here, there):
            folder.mkdir()
            (folder / "config.toml").touch()
        monkeypatch.chdir(here)
        env = {"CONFIGURATION_DIRECTORY": f"{tmp_path}:{there}"}
        assert find_config(None, env) == here / "config.toml"
        (here / "config.toml").unlink()
        assert find_config(None, env) == there / "config.toml"

    def test_if_there_is_none_it_says_where_it_looked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "config.toml").mkdir()
        with pytest.raises(ConfigError) as caught:
            find_config(None, {"CONFIGURATION_DIRECTORY": "/nowhere"})
        text = str(caught.value)
        for place in ("-c/--config", "$CLOSINGDEALZ_SYNC_CONFIG", f"{tmp_path}/config.toml", "/nowhere/config.toml"):
            assert place in text
        assert "closingdealz-sync init" in text

    @pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: None])
    def test_what_cannot_be_read(self, tmp_path: Path, make: Callable[[Path], None]) -> None:
        path = tmp_path / "x.toml"
        make(path)
        said = r"x\.toml: 1 problem in the configuration\n  file: (cannot be read: |is not there)"
        with pytest.raises(ConfigError, match=said):
            load_config(path)

    def test_a_file_without_end(self) -> None:
        with pytest.raises(ConfigError, match="is larger than 16 MiB"):
            load_config(Path("/dev/zero"))

    def test_a_file_of_another_user(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("sync.config.load.open", refuse, raising=False)
        with pytest.raises(ConfigError, match="cannot be read: Permission denied \\(run this as the user"):
            load_config(tmp_path / "config.toml")

    def test_a_pipe(self, tmp_path: Path) -> None:
        """Nobody writes to it: reading would never end. A reload could not read it again, either."""
        path = tmp_path / "pipe"
        os.mkfifo(path)
        with pytest.raises(ConfigError, match="is a pipe, which cannot be read again"):
            load_config(path)

    def test_a_name_no_file_can_have(self) -> None:
        with pytest.raises(ConfigError, match="its name holds a NUL character"):
            load_config(Path("a\0b"))


class TestWarnings:
    def warned(self, config: Config) -> list[str]:
        return [problem.where for problem in warnings_of(config)]

    def test_plain_secrets_and_a_file_that_others_can_read(self, good: str, load: Load) -> None:
        config = load(good.replace(KEY, 'api_key = "HUNTER2"'))
        os.chmod(config.path, 0o600)
        assert self.warned(config) == ["workspaces.main.api_key"]
        for mode in (0o640, 0o604):
            os.chmod(config.path, mode)
            assert self.warned(config) == ["workspaces.main.api_key", "file"]
        assert not any("HUNTER2" in str(problem) for problem in warnings_of(config))

    def test_a_file_that_others_can_read_is_well_without_secrets(self, good: str, load: Load) -> None:
        config = load(good)
        os.chmod(config.path, 0o644)
        assert self.warned(config) == []

    def test_a_sandboxs_key_is_none(self, good: str, load: Load) -> None:
        assert self.warned(load(good.replace(KEY, 'api_key = "x"\nbase_url = "http://127.0.0.1:1"'))) == []

    @pytest.mark.parametrize(
        ("url", "secret"),
        [
            ("sqlite:///sample.db", False),
            ("postgresql://reader@db/erp?connect_timeout=5", False),
            ("postgresql://reader:x@db/erp", True),
            ("postgresql://db/erp?password=x", True),
            ("mssql+pyodbc:///?odbc_connect=x", True),
            ("just text", True),
            ("postgresql://[x", True),
        ],
    )
    def test_which_addresses_hold_a_secret(self, good: str, load: Load, url: str, secret: bool) -> None:
        config = load(good.replace('{ env = "ERP" }', f'"{url}"'))
        os.chmod(config.path, 0o600)
        assert self.warned(config) == (["sources.erp.url"] if secret else [])

    def test_secrets_deep_in_a_connectors_options(self, good: str, load: Load) -> None:
        config = load(good.replace('url = { env = "ERP" }', 'url = { env = "ERP" }\nauth = { id = "x" }'))
        os.chmod(config.path, 0o600)
        assert self.warned(config) == ["sources.erp.auth.id"]

    def test_what_risks_duplicates_or_gaps(self, good: str, load: Load) -> None:
        text = good.replace(KEY, f'{KEY}\non_unknown = "resend"')
        config = load(text.replace('connector = "shelf"', 'connector = "shelf"\noverlap = "4s"'))
        assert self.warned(config) == ["workspaces.main.on_unknown", "sources.erp.overlap"]


@pytest.mark.parametrize(("connector", "every"), [("sql", 30), ("hubspot", 60), ("salesforce", 120)])
def test_a_source_is_polled_as_often_as_its_kind_allows(connector: str, every: int, tmp_path: Path) -> None:
    (starter, *_) = cast("OffersStarters", connector_type(connector)).starters().values()
    path = tmp_path / "config.toml"
    path.write_text(starter)
    (source,) = load_config(path).sources.values()
    assert source.every == timedelta(seconds=every)
    path.write_text(starter.replace(f'connector = "{connector}"', f'connector = "{connector}"\nevery = "7m"'))
    (source,) = load_config(path).sources.values()
    assert source.every == timedelta(minutes=7), "what the file says counts"
