"""Names of database hosts: a name service that hangs is waited for no longer than is said, and TLS, several hosts and
sockets work as the drivers have them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from connectors.sql import engines
from connectors.sql.connection import Database
from connectors.sql.engines import make_engine, parse_url
from connectors.sql.limits import _with_addresses, bound_names
from connectors.sql.options import SqlSource
from sync.shared.errors import SourceRefused, SourceUnavailable
from tests.connectors.sql_servers import Mariadb, Postgresql

OPTIONS = SqlSource.model_validate({"url": "sqlite:///x", "connect_timeout": "2s"})
real = socket.getaddrinfo


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names that were asked for. `*.slow` are never answered, `*.none` do not exist; others are this machine."""
    over, names = threading.Event(), list[str]()

    def resolve(host: str, port: Any = None, *more: Any, **named: Any) -> Any:
        if host.endswith(".slow"):
            names.append(host)
            over.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "late")
        if host.endswith(".none"):
            names.append(host)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if host.endswith(".here"):
            names.append(host)
            return [*real("::1", port, *more, **named), *real("127.0.0.1", port, *more, **named)]
        return real(host, port, *more, **named)

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    yield names
    over.set()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "bound_names", lambda engine, url, backend: bound_names(engine, url, backend, 0.05))


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mariadb"])
@pytest.mark.usefixtures("hasty")
def test_a_name_service_that_hangs_ends_the_attempt_by_name(scheme: str, asked: list[str]) -> None:
    database = Database("erp", parse_url(f"{scheme}://reader:hunter2@{scheme}.slow:7777/x"), OPTIONS)
    for _ in range(2):
        with pytest.raises(SourceUnavailable) as caught, database.connection("things"):
            pass
        what = f"cannot be reached: reader@{scheme}.slow:7777: its name could not be resolved within 0.05 s"
        assert what in str(caught.value)
        assert "write the address in url" in caught.value.hint
        assert "hunter2" not in repr(caught.value)
    assert asked == [f"{scheme}.slow"]  # the second attempt waits for the first one's thread


def test_a_driver_that_resolves_names_itself_is_not_asked_while_the_name_service_hangs(asked: list[str]) -> None:
    from connectors.bounds import NameTimeout

    url = parse_url("postgresql+psycopg://u@other.slow:5432/x")
    engine = create_engine(url)
    bound_names(engine, url, "other", 0.05)
    with pytest.raises(NameTimeout):
        engine.connect()
    assert asked == ["other.slow"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, with nothing of this machine's own settings."""
    for name in ("PGSERVICE", "PGSERVICEFILE", "PGHOST", "PGHOSTADDR", "PGPORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PGSYSCONFDIR", str(tmp_path / "etc"))
    (tmp_path / "etc").mkdir()
    return tmp_path


SERVICES = """
# ours
[other]
host=other.slow
[erp]
  host=db.here
port=77
host=second.slow
[erp]
host=third.slow
"""


def test_the_host_of_a_service_file_is_resolved_by_us(home: Path, asked: list[str]) -> None:
    (home / ".pg_service.conf").write_text(SERVICES)
    both = {"host": "db.here,db.here", "hostaddr": "::1,127.0.0.1", "port": "77,77"}
    assert _with_addresses({"service": "erp"}, 1) == both
    assert _with_addresses({"service": "erp", "port": "5"}, 1) == both | {"port": "5,5"}
    assert _with_addresses({"service": "erp", "host": "/run/postgresql"}, 1) == {}
    assert set(asked) == {"db.here"}


def test_the_places_of_service_files_are_libpqs(home: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "etc" / "pg_service.conf").write_text(SERVICES)
    (home / ".pg_service.conf").write_text("[mine]\nhost=mine.here\n")
    monkeypatch.setenv("PGSERVICE", "erp")
    assert _with_addresses({}, 1)["port"] == "77,77"
    assert _with_addresses({"service": "mine"}, 1)["host"] == "mine.here,mine.here"
    (home / "named").write_text("[erp]\nhost=named.here\n")
    monkeypatch.setenv("PGSERVICEFILE", str(home / "named"))
    assert _with_addresses({}, 1)["host"] == "named.here,named.here"
    assert asked == ["db.here", "mine.here", "named.here"]


@pytest.mark.usefixtures("hasty")
def test_a_name_of_a_service_file_is_waited_for_no_longer(home: Path, asked: list[str]) -> None:
    (home / ".pg_service.conf").write_text("[erp]\nhost=service.slow\n")
    database = Database("erp", parse_url("postgresql://?service=erp"), OPTIONS)
    with pytest.raises(SourceUnavailable) as caught, database.connection("things"):
        pass
    assert "cannot be reached: service erp: its name could not be resolved within 0.05 s" in str(caught.value)
    assert asked == ["service.slow"]


@pytest.mark.parametrize(
    ("file", "words", "cure"),
    [
        ("[other]\nhost=x\n", "no service file defines the service", "PGSERVICEFILE"),
        ("[erp]\nldap://ldap.slow/o=x?host?sub?(cn=erp)\n", "defined by an LDAP server", "host and port"),
    ],
)
def test_a_service_that_cannot_be_read_by_us_is_refused_by_name(
    home: Path, file: str, words: str, cure: str, asked: list[str]
) -> None:
    (home / ".pg_service.conf").write_text(file)
    database = Database("erp", parse_url("postgresql://?service=erp"), OPTIONS)
    with pytest.raises(SourceRefused, match=words) as caught, database.connection("things"):
        pass
    assert cure in caught.value.hint
    assert asked == []


def test_a_service_and_a_file_of_passwords_work_as_libpq_has_them(
    home: Path, postgresql_server: Postgresql, asked: list[str]
) -> None:
    url = parse_url(postgresql_server.url)
    lines = f"[erp]\nhost=db.here\nuser={url.username}\ndbname={url.database}\n"
    (home / ".pg_service.conf").write_text(lines)
    passwords = home / "passwords"
    passwords.write_text("other.here:*:*:*:wrong\ndb.here:*:*:*:hunter2\n")
    passwords.chmod(0o600)
    engine = make_engine(parse_url(f"postgresql://?service=erp&passfile={passwords}"), OPTIONS)
    with engine.connect() as connection:
        info = connection.connection.driver_connection.info  # type: ignore[union-attr]
        assert (info.host, info.dbname, info.password) == ("db.here", url.database, "hunter2")
    engine.dispose()
    assert asked == ["db.here"]


def test_each_address_of_each_host_is_an_attempt(asked: list[str]) -> None:
    given = {"host": "a.here,b.none,/run/postgresql", "port": "1,2,3"}
    assert _with_addresses(given, 1) == {
        "host": "a.here,a.here,/run/postgresql",
        "hostaddr": "::1,127.0.0.1,",
        "port": "1,1,3",
    }
    assert asked == ["a.here", "b.none"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"host": "/run/postgresql"},
        {"host": "db.slow", "hostaddr": "127.0.0.1"},
        {"host": "a.slow,b.slow", "port": "1,2,3"},
    ],
)
def test_what_needs_no_name_service_is_the_drivers(given: dict[str, str], asked: list[str]) -> None:
    assert _with_addresses(given, 1) == {}
    assert asked == []


def test_a_host_that_has_no_address_is_passed_over_only_beside_one_that_has(asked: list[str]) -> None:
    with pytest.raises(socket.gaierror, match="not known"):
        _with_addresses({"host": "a.none,b.none"}, 1)
    assert asked == ["a.none", "b.none"]


def test_postgresql_is_reached_by_the_second_address_and_knows_the_name(
    postgresql_server: Postgresql, asked: list[str]
) -> None:
    url = parse_url(postgresql_server.url).set(host="db.here")
    engine = make_engine(url, OPTIONS)
    with engine.connect() as connection:
        info = connection.connection.driver_connection.info  # type: ignore[union-attr]
        assert info.host == "db.here"
    engine.dispose()
    assert asked == ["db.here"]


def test_mariadb_is_reached_by_the_second_address_and_the_certificate_is_held_against_the_name(
    mariadb_server: Mariadb, asked: list[str]
) -> None:
    engine = make_engine(parse_url(mariadb_server.url).set(host="db.here"), OPTIONS)
    for _ in range(2):
        with engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            assert (raw.host, raw._sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) == ("db.here", 1)
        engine.dispose()
    assert asked == ["db.here", "db.here"]  # each connection asks anew
