"""A real PgBouncer in transaction mode, with one server connection for all its clients."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.databases import MUST_RUN
from tests.free_port import free_port

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Pooler:
    """`url` leads through the pool to the test's database; `reconnect` gives the pool new server connections."""

    def __init__(self, port: int, database: str) -> None:
        self.conninfo = f"host=127.0.0.1 port={port} user=postgres dbname={database}"
        self.url = f"postgresql://postgres@127.0.0.1:{port}/{database}"
        self._console = f"host=127.0.0.1 port={port} user=postgres dbname=pgbouncer"

    def reconnect(self) -> None:
        with psycopg.connect(self._console, autocommit=True) as console:
            console.execute("RECONNECT")
            console.execute("WAIT_CLOSE")


@contextmanager
def pooled(database: str) -> Iterator[Pooler]:
    if PROGRAM is None:
        (pytest.fail if MUST_RUN else pytest.skip)("pgbouncer is not installed")
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{database} = host=127.0.0.1 port=5432 dbname={database} user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        "admin_users = postgres\npool_mode = transaction\ndefault_pool_size = 1\nquery_wait_timeout = 10\n"
    )
    command = [PROGRAM, str(folder / "pgbouncer.ini")]
    if os.getuid() == 0:  # it refuses to run as root
        nobody = pwd.getpwnam("nobody")
        command = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", *command]
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "process up" in line:
                break
        else:
            pytest.fail("pgbouncer did not start")
        yield Pooler(port, database)
    finally:
        process.terminate()
        process.communicate()
        shutil.rmtree(folder)
