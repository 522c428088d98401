"""What follows the `?` in a database's URL: every option and value is taken, or refused by name, and TLS is told as it
is."""

from __future__ import annotations

import inspect
import socket
import sqlite3
import ssl
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import psycopg
import pymysql
import pytest

from connectors.sql.connection import Database
from connectors.sql.engines import parse_url
from connectors.sql.errors import as_source_error
from connectors.sql.options import SqlSource
from connectors.sql.server_check import _LINKS, ConnectionSecurity, encryption_findings, mysql_link, postgresql_link
from sync.shared.errors import SourceRefused, SyncError
from tests.connectors.sql_servers import Mariadb, Postgresql
from tests.connectors.sql_streams import read_all, stream

RUBBISH = "rubbish-of-the-url"


def database_of(url: str) -> Database:
    return Database("erp", parse_url(url), SqlSource.model_validate({"url": url}))


# ---- options


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres@127.0.0.1/postgres?nonsense=1",
        "postgresql://postgres@127.0.0.1/postgres?connect_timeout=soon",
        "postgresql://postgres@127.0.0.1/postgres?sslmode=perhaps",
        "postgresql://postgres@127.0.0.1/postgres?row_factory=x",
        "mysql://root@127.0.0.1/mysql?nonsense=1",
        "mysql://root@127.0.0.1/mysql?connect_timeout=soon",
        "mysql://root@127.0.0.1/mysql?cursorclass=x",
        "mysql://root@127.0.0.1/mysql?ssl-mode=REQUIRED",
        "mysql://root@127.0.0.1/mysql?useSSL=true",
        "mysql://root@127.0.0.1/mysql?ssl=true",
        "mysql://root@127.0.0.1/mysql?read_timeout=abc",
        "sqlite:///{folder}/x.db?timeout=soon",
        "duckdb:///{folder}/x.duckdb?nonsense=1",
    ],
)
@pytest.mark.usefixtures("postgresql_server", "mariadb_server")
def test_an_option_that_a_driver_refuses_is_a_named_refusal(url: str, tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "x.duckdb")).close()
    with pytest.raises(SourceRefused) as caught:
        read_all(url.format(folder=tmp_path), stream())
    assert "url" in f"{caught.value} {caught.value.hint}"


def options_of(backend: str) -> list[str]:
    """What the driver itself takes, and what people take from elsewhere."""
    own = {
        "mysql": [*inspect.signature(pymysql.connections.Connection.__init__).parameters, "ssl_cipher", "ssl_capath"],
        "postgresql": [
            *(each.keyword.decode() for each in psycopg.pq.Conninfo.get_defaults()),
            *inspect.signature(psycopg.Connection.connect).parameters,
        ],
        "sqlite": [
            *("timeout", "detect_types", "isolation_level", "check_same_thread", "factory", "cached_statements", "uri"),
            *("mode", "vfs", "nolock", "immutable"),
        ],
        "duckdb": ["threads", "memory_limit", "access_mode", "config", "read_only"],
        "firebird+firebird": ["charset", "role", "fb_client_library", "timeout", "auth_plugin_list"],
    }
    # these are the address itself, which is shown
    shown = {"self", "unix_socket", "host", "hostaddr", "port", "user"}
    return [name for name in own[backend] if name not in shown] + ["sslmode", "useSSL", "plugin", "nonsense"]


@pytest.mark.parametrize("backend", ["mysql", "postgresql", "sqlite", "duckdb", "firebird+firebird"])
def test_no_option_of_a_url_comes_out_raw(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a driver makes of rubbish, it is a refusal or a failure of ours, without the value."""
    monkeypatch.setattr("ssl.create_default_context", quick_context)
    sqlite3.connect(tmp_path / "x.db").close()
    duckdb.connect(str(tmp_path / "x.duckdb")).close()
    refused = 0
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = f"u:pw-{RUBBISH}@127.0.0.1:{unused.getsockname()[1]}/x"
        place = {"sqlite": f"/{tmp_path}/x.db", "duckdb": f"/{tmp_path}/x.duckdb"}.get(backend, place)
        for option in options_of(backend):
            for value in (RUBBISH, "-1"):
                database = database_of(f"{backend}://{place}?{option}={value}")
                try:
                    with database.connection():
                        pass
                except SyncError as error:
                    refused += 1
                    said = f"{error} {''.join(traceback.format_exception(error))}".replace(option, "")
                    assert RUBBISH not in said.replace(f'f"{RUBBISH}"', ""), option
                finally:
                    database.close()
    assert refused > 3


def quick_context(cafile: str | None = None, capath: str | None = None) -> ssl.SSLContext:
    """As Python's own, without the authorities of the system, which take long to load: nothing here gets so far."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if cafile or capath:
        context.load_verify_locations(cafile, capath)
    return context


@pytest.mark.parametrize(
    ("url", "words", "cure"),
    [
        ("mysql://u@127.0.0.1/x?useSSL=true", "driver does not know: useSSL", "ssl_ca"),
        ("postgresql://u@127.0.0.1/x?ssl=true", "driver does not know: ssl", "sslmode=verify-full"),
        ("mysql://u@127.0.0.1/x?compresss=1", "driver does not know: compresss", "check what follows"),
        # an unescaped @: what stands there may be a password
        (f"mysql://u:pw@host?{RUBBISH}=x@127.0.0.1/x", "driver does not know", "check what follows"),
    ],
)
def test_an_option_that_no_driver_knows_is_named_with_its_cure(url: str, words: str, cure: str) -> None:
    with pytest.raises(SourceRefused, match=words) as caught, database_of(url).connection():
        pass
    assert cure in caught.value.hint
    assert RUBBISH not in str(caught.value)


def test_files_of_certificates_that_cannot_be_read_are_named(tmp_path: Path, mariadb_server: Mariadb) -> None:
    (tmp_path / "no.pem").write_text("nothing")
    for file in ("nowhere.pem", "no.pem"):
        with pytest.raises(SourceRefused, match="a file of certificates that url names cannot be read"):
            read_all(f"{mariadb_server.url}?ssl_ca={tmp_path}/{file}", stream())


def test_a_certificate_that_is_not_accepted_is_no_server_that_is_down() -> None:
    message = "Can't connect to MySQL server on 'db' ([SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"
    error = as_source_error(pymysql.err.OperationalError(2003, message), "erp", None, "mysql", "u@db:3306")
    assert isinstance(error, SourceRefused)
    assert "certificate is not accepted" in str(error)


# ---- encryption


@pytest.mark.parametrize(
    ("backend", "link", "level", "words"),
    [
        ("postgresql", ConnectionSecurity(True, False), "ok", "plain text, on this machine"),
        ("postgresql", ConnectionSecurity(False, False), "warning", "plain text: others"),
        ("mysql", ConnectionSecurity(False, True), "warning", "encrypted, not verified: others"),
        ("mysql", ConnectionSecurity(True, True), "ok", "encrypted, not verified"),
        ("mysql", ConnectionSecurity(False, True, True), "ok", "encrypted and verified, but for the host's name"),
        ("postgresql", ConnectionSecurity(False, True, True, True), "ok", "encrypted and verified"),
    ],
)
def test_check_tells_how_far_a_connection_can_be_trusted(
    backend: str, link: ConnectionSecurity, level: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def connection(_stream: str) -> Iterator[Any]:
        yield SimpleNamespace(connection=SimpleNamespace(driver_connection=None))

    monkeypatch.setitem(_LINKS, backend, lambda _: link)
    database: Any = SimpleNamespace(backend=backend, connection=connection)
    (found,) = encryption_findings(database, "companies")
    assert (found.level, words in found.text, "ssl" in found.hint) == (level, True, level == "warning")


@pytest.mark.parametrize(
    ("mode", "root", "verified", "named"),
    [
        ("prefer", None, False, False),
        ("require", None, False, False),
        ("verify-ca", "ca.pem", True, False),
        ("verify-full", "ca.pem", True, True),
        ("prefer", "system", True, True),
    ],
)
def test_what_libpq_verifies_is_known_by_its_options(mode: str, root: str | None, verified: bool, named: bool) -> None:
    given = {"sslmode": mode} | ({"sslrootcert": root} if root else {})
    info = SimpleNamespace(get_parameters=lambda: given, hostaddr="192.0.2.7", host="db")
    raw = SimpleNamespace(info=info, pgconn=SimpleNamespace(ssl_in_use=True))
    assert postgresql_link(raw) == ConnectionSecurity(False, True, verified, named)


@pytest.mark.parametrize(("host", "local"), [("db.example", False), ("localhost", True), ("192.0.2.7", False)])
def test_a_mysql_connection_in_plain_text_is_known(host: str, local: bool) -> None:
    assert mysql_link(SimpleNamespace(unix_socket=None, host=host, _sock=None)) == ConnectionSecurity(local, False)


def test_plain_text_on_this_machine_is_said(postgresql_server: Postgresql, mariadb_server: Mariadb) -> None:
    for server in (postgresql_server, mariadb_server):
        database = database_of(server.url)
        (found,) = encryption_findings(database, "companies")
        database.close()
        assert (found.level, found.text) == ("ok", "the connection to the database is plain text, on this machine")
