"""PostgreSQL's service files, read as libpq reads them, for the hosts that they name: libpq itself would resolve those
without a bound in time.

https://www.postgresql.org/docs/current/libpq-pgservice.html
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_SYSTEM = "/etc/postgresql-common"
"""The folder that psycopg's own libpq, and Debian's, look into where PGSYSCONFDIR is not set."""


class UnknownService(Exception):
    """No service file defines the service."""


class ServiceByLdap(Exception):
    """The service is defined by an LDAP server, which libpq would ask without a bound in time."""


def service_settings(given: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what a service file says for a connection with these options; nothing where none names a service.

    The first file that defines the service counts, and in it the first value of each option. Raises UnknownService,
    ServiceByLdap.
    """
    service = given.get("service") or os.environ.get("PGSERVICE")
    if not service:
        return {}
    for file in _files(given):
        found = _defined_in(file, str(service))
        if found is not None:
            return found
    raise UnknownService


def _files(given: Mapping[str, Any]) -> Iterator[Path]:
    named = given.get("servicefile") or os.environ.get("PGSERVICEFILE")
    if named:
        yield Path(str(named))
    else:
        with suppress(KeyError):  # a user without an entry, as in some containers
            yield Path(os.environ.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir, ".pg_service.conf")
    yield Path(os.environ.get("PGSYSCONFDIR", _SYSTEM), "pg_service.conf")


def _defined_in(file: Path, service: str) -> Mapping[str, str] | None:
    """Return the service's options; None where the file does not define it, or cannot be read."""
    try:
        lines = file.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    except OSError:
        return None
    found: dict[str, str] | None = None
    for line in map(str.strip, lines):
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            if found is not None:
                break
            found = {} if line.startswith(f"[{service}]") else None
        elif found is not None:
            if line.startswith("ldap"):
                raise ServiceByLdap
            name, _, value = line.partition("=")
            found.setdefault(name, value)
    return found
