"""`check` looks at everything, goes on after what fails, sends nothing, and its exit code says what kind of fault."""

import json
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from connectors.registry import CONNECTORS
from state.ledger import Ledger
from sync.cli import main
from tests.commands.shelf_connector import ShelfConnector

Door = tuple[str, list[bytes]]
Write = Callable[..., str]


@pytest.fixture(autouse=True)
def _shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONNECTORS, "shelf", "tests.commands.shelf_connector")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


@pytest.fixture
def door() -> Iterator[Door]:
    """A server's address on loopback, and what it has been sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        received: list[bytes] = []

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    received.append(connection.recv(100))

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.fixture
def write(tmp_path: Path, door: Door) -> Write:
    """Writes a file with one stream for each verdict."""

    def write(*verdicts: str, key: str = '"k"', source: str = "", base_url: str = door[0], more: str = "") -> str:
        text = f'[workspaces.main]\napi_key = {key}\nbase_url = "{base_url}"\n{more}\n'
        text += f'[sources.s]\nconnector = "shelf"\n{source}\n'
        for verdict in verdicts:
            text += f'[sources.s.streams.{verdict}]\nverdict = "{verdict}"\nstart = "now"\non_change = "hold"\n'
            text += ('workspace = "main"\n' if more else "") + 'lead = { kind = "company", name = "name" }\n'
        path = tmp_path / "config.toml"
        path.write_text(text)
        path.chmod(0o600)
        return str(path)

    return write


def run(*arguments: str) -> Result:
    return CliRunner(env={"NO_SUCH_KEY": None}).invoke(main, ["check", *arguments])


def test_all_is_well(write: Write, door: Door, tmp_path: Path) -> None:
    path = write("ok")
    before = sorted(tmp_path.iterdir())
    result = run("-c", path)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "all is well",
        f"ok       file: {path}: 1 workspace, 1 source, 1 stream",
        "ok       s.ok: the mapping compiles and reads 1 field of each record",
        f"ok       ledger.path: {tmp_path} can be written",
        f"ok       ledger.backups_to: {tmp_path}/backups can be written",
        "ok       workspaces.main.api_key: read from the configuration file",
        f"ok       workspaces.main: {door[0]} can be reached; nothing was sent",
        "ok       s.ok: looked at ok",
    ]
    assert sorted(tmp_path.iterdir()) == before


def test_places_that_cannot_be_written_are_named_with_their_cure(write: Write, tmp_path: Path) -> None:
    missing = tmp_path / "not mounted"
    more = f'[ledger]\nreceipts_copy = "{missing}/receipts"\nbackups_to = "config.toml/copies"'
    path = write("ok", more=more)
    result = run("-c", path)
    assert result.exit_code == 74
    assert f"error    ledger.receipts_copy: {missing}/receipts cannot be written: No such file" in result.stdout
    assert "make the folder: `sudo install -d -m 0700 -o " in result.stdout
    assert f"error    ledger.backups_to: {tmp_path}/config.toml/copies cannot be written: Not a dir" in result.stdout
    assert "s.ok: looked at ok" in result.stdout  # it goes on
    assert run("--file", "-c", path).exit_code == 0
    assert not missing.exists()


def test_a_ledger_of_a_newer_version_is_refused_before_that_takes_over(write: Write, tmp_path: Path) -> None:
    """Also by the file alone: so an installation of an older version knows before it replaces the newer one."""
    path = write("ok")
    ledger = tmp_path / "ledger.db"
    Ledger(ledger, own=True).close()
    assert run("--file", "-c", path).exit_code == 0
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("INSERT INTO _sqlite_migrations VALUES (99, 'closingdealz-sync', '0999_later', '')")
        connection.execute("PRAGMA user_version = 99")
    before = ledger.read_bytes()
    for words in ([], ["--file"]):
        result = run(*words, "-c", path)
        assert result.exit_code == 78, result.output
        assert f"error    ledger: the ledger {ledger} was written by a newer version" in result.stdout
        assert "install that version again" in result.stdout
    assert ledger.read_bytes() == before
    ledger.write_text("no database")
    assert run("--file", "-c", path).exit_code == 0


def test_nothing_is_sent(write: Write, door: Door) -> None:
    assert run("-c", write("ok")).exit_code == 0
    assert run("--file", "-c", write("ok")).exit_code == 0
    assert door[1] in ([b""], [])


@pytest.mark.parametrize(
    ("verdicts", "exit_code", "summary"),
    [
        (("ok", "warning"), 0, "1 warning"),
        (("error", "ok"), 77, "1 error"),
        (("refused", "ok"), 77, "1 error"),
        (("unavailable", "ok"), 75, "1 error"),
        (("unavailable", "refused", "warning", "ok"), 77, "2 errors, 1 warning"),
    ],
)
def test_a_source_that_fails_keeps_no_other_from_being_looked_at(
    write: Write, verdicts: tuple[str, ...], exit_code: int, summary: str
) -> None:
    before = ShelfConnector.closed
    result = run("-c", write(*verdicts))
    assert result.exit_code == exit_code
    assert result.stdout.splitlines()[0] == summary
    assert ("looked at ok" in result.stdout) == ("ok" in verdicts)
    assert ShelfConnector.closed - before == len(verdicts)


def test_what_a_source_says_is_shown_with_its_cure(write: Write) -> None:
    text = run("-c", write("refused", "unavailable")).stdout
    assert "error    s.refused: field 'name': may not read\n           grant it\n" in text
    assert "error    s.unavailable: does not answer\n           wait\n" in text


def test_a_bad_file_shows_all_its_problems(write: Write) -> None:
    path = write("ok", "other", more="batch_size = 0")
    result = run("-c", path)
    assert result.exit_code == 78, result.output
    assert "error    workspaces.main.batch_size: must be at least 1\n" in result.stdout
    assert 'error    sources.s.streams.other.verdict: must be "ok", "warning"' in result.stdout
    assert result.stdout.splitlines()[0] == "2 errors"


def test_no_file_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLOSINGDEALZ_SYNC_CONFIG", raising=False)
    result = run()
    assert result.exit_code == 78, result.output
    assert "closingdealz-sync init" in result.stdout
    assert run("-c", "nowhere.toml").exit_code == 78


def test_a_secret_that_is_not_there(write: Write) -> None:
    path = write("ok", key='{ env = "NO_SUCH_KEY" }', source='url = { env = "NO_SUCH_KEY" }')
    result = run("-c", path)
    assert result.exit_code == 78, result.output
    assert "error    workspaces.main.api_key: the environment variable NO_SUCH_KEY is not set\n" in result.stdout
    assert "error    sources.s.url: the environment variable NO_SUCH_KEY is not set\n" in result.stdout


def test_the_file_alone_needs_no_secret_and_no_network(write: Write) -> None:
    path = write("refused", key='{ env = "NO_SUCH_KEY" }', base_url="https://name.invalid")
    result = run("--file", "-c", path)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "all is well"


def test_two_workspaces_with_one_key(write: Write, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k\n")
    path = write("ok", more='[workspaces.eu]\napi_key = { file = "key" }')
    result = run("-c", path)
    assert result.exit_code == 78, result.output
    assert "error    workspaces.eu.api_key: is the same key as that of workspaces.main" in result.stdout


@pytest.mark.parametrize("key", ["two words", "zwölf", "line\nbreak"])
def test_a_key_that_no_header_can_carry(write: Write, tmp_path: Path, key: str) -> None:
    (tmp_path / "key").write_text(key)
    result = run("-c", write("ok", key='{ file = "key" }'))
    assert result.exit_code == 78, result.output
    assert "error    workspaces.main.api_key: contains characters that an API key cannot have\n" in result.stdout
    assert key not in result.stdout


def test_a_server_that_is_not_there(write: Write) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = run("-c", write("ok", base_url=f"http://127.0.0.1:{port}"))
    assert result.exit_code == 75
    assert f"error    workspaces.main: http://127.0.0.1:{port} cannot be reached: Connection refused\n" in result.stdout
    assert "looked at ok" in result.stdout


def test_warnings_of_the_file_are_shown(write: Write) -> None:
    result = run("--file", "-c", write("ok", source='url = "postgresql://u:HUNTER2@h/d"\noverlap = "1s"'))
    assert result.exit_code == 0
    assert "warning  sources.s.url: is a secret in plain text\n" in result.stdout
    assert "warning  sources.s.overlap: is shorter than settle (5s)" in result.stdout
    assert result.stdout.splitlines()[0] == "2 warnings"
    assert "HUNTER2" not in result.stdout


def test_json(write: Write, tmp_path: Path) -> None:
    answer = json.loads(run("--json", "-c", write("ok", "unavailable")).stdout)
    assert answer["exit_code"] == 75
    assert answer["findings"][-1] == {
        "level": "error",
        "where": "s.unavailable",
        "text": "does not answer",
        "hint": "wait",
    }
    (tmp_path / "config.toml").write_text("a = = b")
    answer = json.loads(run("--json", "-c", str(tmp_path / "config.toml")).stdout)
    assert (answer["exit_code"], [finding["level"] for finding in answer["findings"]]) == (78, ["error"])


def test_colours_only_on_a_terminal(write: Write) -> None:
    path = write("ok")
    assert "\x1b" not in run("--file", "-c", path).stdout
    shown = CliRunner().invoke(main, ["check", "--file", "-c", path], color=True).stdout
    assert "\x1b[32mok" in shown


def test_a_fault_of_the_program_is_no_finding(write: Write) -> None:
    result = run("-c", write("bug"))
    assert result.exit_code == 70
    assert "HUNTER2" not in result.output


def test_a_constant_that_its_column_never_equals_is_a_warning_with_the_mapping_s_key(
    tmp_path: Path, door: Door
) -> None:
    with sqlite3.connect(tmp_path / "crm.db") as database:
        database.execute("create table co (id integer primary key, name text, active boolean, u datetime)")
        database.execute("create index i on co (u)")
        database.execute("insert into co values (1, 'A', 1, '2026-01-01 10:00:00')")
    database.close()
    path = tmp_path / "config.toml"
    lead = """{ kind = "company", where = "active == 'true' && lower(name) != 'X'", name = "name" }"""
    path.write_text(
        f"""[workspaces.main]
api_key = "k"
base_url = "{door[0]}"
[sources.s]
connector = "sql"
url = "sqlite:///{tmp_path}/crm.db"
[sources.s.streams.t]
table = "co"
key = "id"
modified = "u"
start = "all"
on_change = "hold"
lead = {lead}
"""
    )
    path.chmod(0o600)
    result = run("-c", str(path))
    assert result.exit_code == 0
    where = "sources.s.streams.t.lead.where"
    assert f"warning  {where}: active == 'true' never holds: active holds true or false" in result.stdout
    assert "write active == `true`, or just active" in result.stdout
    certain = f"warning  {where}: lower(name) never equals or holds 'X'"
    assert certain in result.stdout
    offline = run("--file", "-c", str(path))
    assert certain in offline.stdout
    assert "active == 'true'" not in offline.stdout


def test_what_several_checks_meet_is_said_once(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that is missing stands in the way of the source and of what the ledger remembers of it."""
    monkeypatch.delenv("ERP_URL", raising=False)
    path = tmp_path / "config.toml"
    path.write_text(
        '[workspaces.main]\napi_key = "k"\nbase_url = "http://127.0.0.1:9"\n'
        '[sources.erp]\nconnector = "sql"\nurl = { env = "ERP_URL" }\n'
        '[sources.erp.streams.firms]\ntable = "firms"\nkey = "id"\nstart = "now"\non_change = "hold"\n'
        'lead = { kind = "company", name = "name" }\n'
    )
    path.chmod(0o600)
    Ledger(tmp_path / "ledger.db", own=True).close()
    done = CliRunner().invoke(main, ["check", "-c", str(path), "--json"])
    said = [(each["where"], each["text"]) for each in json.loads(done.stdout)["findings"]]
    assert ("sources.erp.url", "the environment variable ERP_URL is not set") in said
    assert len(said) == len(set(said))
