"""Databases of a test's own on the servers of this machine, dropped at the end; those that a killed run left, too."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pymysql
import pytest

MUST_RUN = bool(os.environ.get("CI") or os.environ.get("REQUIRE_DATABASES"))
POSTGRESQL = "host=127.0.0.1 user=postgres connect_timeout=3"
_NAME = re.compile(r"sync_test_(\d+)_(\d+)_[0-9a-f]{8}")
_REST = 60.0
"""Seconds after which a run that lives surely uses the database that it made."""


def new_name() -> str:
    """Return a name that tells when, and by which process, the database was made."""
    return f"sync_test_{time.time():.0f}_{os.getpid()}_{uuid.uuid4().hex[:8]}"


def may_be_left(name: str, now: float) -> bool:
    """Return whether the process that made this database is gone. Where it ran behind another container's numbers of
    processes only the server knows: whoever drops it asks there as well."""
    made = _NAME.fullmatch(name)
    return made is not None and now - float(made[1]) > _REST and not Path(f"/proc/{made[2]}").exists()


def cannot(what: str, error: Exception) -> NoReturn:
    """Skip the test, or fail it where the databases must be there."""
    message = f"{what} is not reachable on loopback ({type(error).__name__})"
    if MUST_RUN:
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def postgresql(options: str = "") -> Iterator[str]:
    """Give the name of a new database on PostgreSQL. `options` are those of CREATE DATABASE."""
    try:
        admin = psycopg.connect(f"{POSTGRESQL} dbname=postgres", autocommit=True)
    except psycopg.OperationalError as error:
        cannot("PostgreSQL", error)
    with admin:
        _tidy_postgresql()
        name = new_name()
        admin.execute(f"CREATE DATABASE {name} {options}")
        try:
            # as long as somebody is connected no other run takes it for one that was left
            with psycopg.connect(f"{POSTGRESQL} dbname={name}"):
                yield name
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def mariadb(options: str = "") -> Iterator[tuple[pymysql.Connection[Any], str]]:
    """Give a connection to a new database on MariaDB or MySQL, and its name."""
    try:
        own = pymysql.connect(host="127.0.0.1", user="root", connect_timeout=3, autocommit=True)
    except pymysql.err.OperationalError as error:
        cannot("MariaDB", error)
    _tidy_mariadb()
    name = new_name()
    with own, own.cursor() as cursor:
        cursor.execute("SELECT get_lock(%s, 0)", [name])  # says that it is in use
        cursor.execute(f"CREATE DATABASE {name} {options}")
        cursor.execute(f"USE {name}")
        try:
            yield own, name
        finally:
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")


@cache
def _tidy_postgresql() -> None:
    """Drop what killed runs left. Another process may do the same at this moment."""
    unused = "SELECT datname FROM pg_database d WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE datid = d.oid)"
    with psycopg.connect(f"{POSTGRESQL} dbname=postgres", autocommit=True) as admin:
        for (name,) in admin.execute(f"{unused} AND datname LIKE 'sync\\_test\\_%'").fetchall():
            if may_be_left(name, time.time()):
                with suppress(psycopg.Error):
                    admin.execute(f"DROP DATABASE IF EXISTS {name}")


@cache
def _tidy_mariadb() -> None:
    unused = "SELECT schema_name FROM information_schema.schemata WHERE is_used_lock(schema_name) IS NULL"
    with pymysql.connect(host="127.0.0.1", user="root", autocommit=True) as admin, admin.cursor() as cursor:
        cursor.execute(f"{unused} AND schema_name LIKE 'sync\\_test\\_%'")
        for (name,) in cursor.fetchall():
            if may_be_left(name, time.time()):
                with suppress(pymysql.err.Error):
                    cursor.execute(f"DROP DATABASE IF EXISTS {name}")
