"""The options after the `?` of a source's `url`: one that its driver does not know is reported before it connects."""

from __future__ import annotations

import inspect
from collections.abc import Set

from sqlalchemy.engine import URL

_TLS_OF_MYSQL = (
    "for TLS write ssl_ca=/etc/ssl/certs/ca-certificates.crt, or your own authority's file: the server is then verified"
)
_TLS_OF_POSTGRESQL = "for TLS write sslmode=verify-full&sslrootcert=system, or your own authority's file"
_CURES = {"mysql": _TLS_OF_MYSQL, "postgresql": _TLS_OF_POSTGRESQL}


class UnknownOption(Exception):
    """The driver has no option of this name."""

    def __init__(self, name: str, cure: str) -> None:
        super().__init__(name)
        self.name = name
        self.cure = cure


def refuse_unknown(url: URL, backend: str) -> None:
    """Raise UnknownOption for the first option that the driver of MySQL or PostgreSQL does not have."""
    known = _known(backend)
    for name in url.query if known else ():
        if name not in known:
            # with an unescaped @ in the password a part of that may stand here
            shown = "" if "@" in f"{[*url.query.items()]}" else name
            raise UnknownOption(shown, _CURES[backend] if "ssl" in name.lower() or "tls" in name.lower() else "")


def _known(backend: str) -> Set[str]:
    if backend == "mysql":
        from pymysql.connections import Connection

        own = set(inspect.signature(Connection.__init__).parameters) - {"self"}
        return own | {"ssl_capath", "ssl_cipher", "ssl_check_hostname"}  # which SQLAlchemy puts together
    if backend == "postgresql":
        import psycopg

        libpq = {each.keyword.decode() for each in psycopg.pq.Conninfo.get_defaults()}
        return libpq | set(inspect.signature(psycopg.Connection.connect).parameters)
    return frozenset()
