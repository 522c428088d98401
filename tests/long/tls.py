"""Checks the findings of `check` about real servers' encryption: `sudo python -m tests.long.tls`.

Starts a PostgreSQL and a MariaDB of its own with a certificate for `localhost`, each in a folder of its own, and
connects in every way that an operator may write.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.sql.connection import Database
from connectors.sql.engines import parse_url
from connectors.sql.options import SqlSource
from connectors.sql.server_check import encryption_findings
from sync.shared.errors import SyncError
from tests.free_port import free_port
from tests.proof.harness import until


def main() -> int:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="tls-")))
        folder.chmod(0o755)
        ca, other = certificate(folder, "ours"), certificate(folder, "other")
        postgresql = ends.enter_context(postgresql_with(folder, ca))
        mariadb = ends.enter_context(mariadb_with(folder, ca))
        wanted = {
            f"{postgresql}": "encrypted, not verified",
            f"{postgresql}?sslmode=disable": "plain text",
            f"{postgresql}?sslmode=require": "encrypted, not verified",
            f"{postgresql}?sslmode=verify-ca&sslrootcert={ca}": "encrypted and verified, but for the host's name",
            f"{postgresql}?sslmode=verify-full&sslrootcert={ca}": "encrypted and verified",
            f"{postgresql}?sslmode=verify-full&sslrootcert={other}": "the server's certificate is not accepted",
            f"{postgresql}?sslmode=verify-full&sslrootcert=system": "the server's certificate is not accepted",
            f"{postgresql}?sslmode=verify-full&sslrootcert={folder / 'nowhere.pem'}": (
                "a file of certificates that url names cannot be read"
            ),
            f"{mariadb}": "encrypted, not verified",
            f"{mariadb}?ssl_disabled=true": "plain text",
            f"{mariadb}?ssl_ca={ca}": "encrypted and verified",
            f"{mariadb}?ssl_ca={ca}&ssl_check_hostname=false": "encrypted and verified, but for the host's name",
            f"{mariadb}?ssl_ca={other}": "the server's certificate is not accepted",
            f"{mariadb}?ssl_ca={folder / 'nowhere.pem'}": "a file of certificates that url names cannot be read",
        }
        failed = [url for url, words in wanted.items() if not holds(url, words)]
    print("all as it should be" if not failed else f"{len(failed)} wrong")
    return 1 if failed else 0


def holds(url: str, words: str) -> bool:
    database = Database("erp", parse_url(url), SqlSource.model_validate({"url": url}))
    try:
        said = next(iter(encryption_findings(database, "companies"))).text
    except SyncError as error:
        said = error.message
    finally:
        database.close()
    right = words == said.removeprefix("the connection to the database is ").removesuffix(", on this machine")
    print(f"{'ok   ' if right else 'WRONG'} {url}\n      {said}")
    return right


def certificate(folder: Path, name: str) -> Path:
    """Write a self-signed certificate for localhost with its key beside it; return its path."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.with_suffix(".key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    return path


@contextmanager
def postgresql_with(folder: Path, ca: Path) -> Iterator[str]:
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    home, port = own_folder(folder / "postgresql", "postgres"), free_port()
    for name, source in (("server.crt", ca), ("server.key", ca.with_suffix(".key"))):
        shutil.copy(source, home / name)
        shutil.chown(home / name, "postgres")
        (home / name).chmod(0o600)
    run_as("postgres", [programs / "initdb", "-D", home / "data", "-U", "postgres", "-A", "trust", "-N"])
    options = f"-c ssl=on -c ssl_cert_file={home}/server.crt -c ssl_key_file={home}/server.key -c fsync=off"
    with serving(
        "postgres",
        [programs / "postgres", "-D", home / "data", "-p", str(port), "-k", home, *options.split()],
        port,
    ):
        yield f"postgresql://postgres@localhost:{port}/postgres"


@contextmanager
def mariadb_with(folder: Path, ca: Path) -> Iterator[str]:
    home, port = own_folder(folder / "mariadb", "mysql"), free_port()
    for name, source in (("server.crt", ca), ("server.key", ca.with_suffix(".key"))):
        shutil.copy(source, home / name)
        shutil.chown(home / name, "mysql")
    run_as("mysql", ["mariadb-install-db", "--no-defaults", f"--datadir={home}/data", "--skip-test-db"])
    init = home / "init.sql"
    statements = ("CREATE USER reader@localhost", "CREATE DATABASE crm", "GRANT ALL ON crm.* TO reader@localhost")
    init.write_text("".join(f"{statement};\n" for statement in statements))
    command = ["/usr/sbin/mariadbd", "--no-defaults", f"--datadir={home}/data", f"--port={port}"]
    command += [f"--socket={home}/socket", "--bind-address=127.0.0.1", f"--init-file={init}"]
    command += [f"--ssl-cert={home}/server.crt", f"--ssl-key={home}/server.key", f"--ssl-ca={home}/server.crt"]
    with serving("mysql", command, port):
        yield f"mysql://reader@localhost:{port}/crm"


def own_folder(path: Path, user: str) -> Path:
    path.mkdir()
    if os.getuid() == 0:
        shutil.chown(path, user)
    return path


def run_as(user: str, command: Sequence[object]) -> None:
    done = subprocess.run(as_user(user, command), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def serving(user: str, command: Sequence[object], port: int) -> Iterator[None]:
    process = subprocess.Popen(as_user(user, command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: is_open(port), "the server", 60)
        yield
    finally:
        process.terminate()
        process.wait(60)


def as_user(user: str, command: Sequence[object]) -> list[str]:
    words = [str(word) for word in command]
    if os.getuid() != 0:  # what runs as oneself needs nobody else
        return words
    entry = pwd.getpwnam(user)
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", *words]


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    sys.exit(main())
