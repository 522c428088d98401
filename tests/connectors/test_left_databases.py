"""Databases that a killed run of the tests left are dropped by the next; those of a run that lives are not."""

from __future__ import annotations

import os
import subprocess

import psycopg
import pytest

from tests import databases


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("sync_test_1000_{gone}_0123abcd", True),
        ("sync_test_1000_{own}_0123abcd", False),
        ("sync_test_1995_{gone}_0123abcd", False),
        ("sync_test_0123456789ab", False),
        ("postgres", False),
    ],
)
def test_only_what_was_made_a_while_ago_by_a_process_that_is_gone_may_be_left(gone: int, name: str, left: bool) -> None:
    assert databases.may_be_left(name.format(gone=gone, own=os.getpid()), now=2000.0) is left
    assert not databases.may_be_left(databases.new_name(), now=1e12)


def names_of(gone: int) -> tuple[str, str]:
    """Two names that the process that is gone might have given."""
    return f"sync_test_1000_{gone}_{os.getpid():08x}", f"sync_test_1001_{gone}_{os.getpid():08x}"


@pytest.mark.postgresql
def test_postgresql_is_tidied_of_what_nobody_uses(gone: int, monkeypatch: pytest.MonkeyPatch) -> None:
    used, left = names_of(gone)
    monkeypatch.setattr(databases, "new_name", lambda: used)
    with databases.postgresql(), psycopg.connect(f"{databases.POSTGRESQL} dbname=postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {left}")
        databases._tidy_postgresql.__wrapped__()
        there = {name for (name,) in admin.execute("SELECT datname FROM pg_database").fetchall()}
    assert there & {left, used} == {used}


@pytest.mark.mariadb
def test_mariadb_is_tidied_of_what_nobody_uses(gone: int, monkeypatch: pytest.MonkeyPatch) -> None:
    used, left = names_of(gone)
    monkeypatch.setattr(databases, "new_name", lambda: used)
    with databases.mariadb() as (own, _), own.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {left}")
        databases._tidy_mariadb.__wrapped__()
        cursor.execute("SHOW DATABASES")
        there = {name for (name,) in cursor.fetchall()}
    assert there & {left, used} == {used}
