"""Causes of errors: what went wrong with a database, whether waiting helps, and the fix, in words for operators."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from connectors.bounds import LONGEST_ANSWER


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that can go wrong. `later`: waiting may help; `what` happened, `detail`: more of it; `hint`: the fix.

    `kind` marks the causes that the program itself treats differently.
    """

    later: bool
    what: str
    hint: str = ""
    kind: Literal["", "slow", "unconvertible", "oversized", "memory", "unreachable"] = ""
    detail: str = ""


class UnknownOption(Exception):
    """The driver has no option of this name."""

    def __init__(self, name: str, cure: str) -> None:
        super().__init__(name)
        self.name = name
        self.cure = cure


CREDENTIALS = Cause(False, "the database refuses the user or password", "fix the user and password in url")
PERMISSION = Cause(False, "the user may not read this", "grant SELECT to the user in url")
NO_DATABASE = Cause(False, "there is no such database on the server", "fix the database's name in url")
NOT_ALLOWED_IN = Cause(
    False,
    "the user may not use this database, or there is none of that name",
    "fix the database's name in url, or grant the user SELECT on what it reads",
)
NO_TABLE = Cause(False, "the table does not exist", "fix table or query, or grant access; `check` names similar ones")
NO_COLUMN = Cause(False, "the column does not exist", "fix the mapping or the stream's keys; see what `check` says")
TWICE = Cause(
    False,
    "there are two columns of the same name",
    "name the columns in query instead of *, each with its table (c.id), and rename one of them: a.id AS address_id",
)
SYNTAX = Cause(False, "the database does not understand the query", "try it in the database's own shell")
WRITES = Cause(False, "the query tries to write", "only a SELECT that changes nothing can be a source")
TYPES = Cause(
    False, "two columns of different types are compared", "give key and parent the same type, with a CAST in query"
)
UNSORTED = Cause(
    False,
    "a column by which rows are sorted or told apart has a type without order, such as json or point",
    "name another column as key and modified, or CAST this one in query",
)
DATA = Cause(
    False,
    "the database could not convert a value that the query works with",
    "a row breaks the view or query: find it in the database's own shell, fix it, or how the query reads it",
)
DIVISION = Cause(
    False,
    "a row makes the view or query divide by zero",
    "write nullif(divisor, 0) for the divisor in the view or query, or fix the row whose divisor is 0",
)
SUBQUERY = Cause(
    False,
    "a subquery of the view or query yields more than one row",
    "let it yield one: max(…), LIMIT 1 with ORDER BY, or a child instead",
)
BYTES = Cause(
    False,
    "a row holds bytes that are not valid in the database's encoding",
    "fix the row, or convert the column in query",
    "unconvertible",
)
OVERSIZED = Cause(
    False,
    f"the rows of one answer are longer than {LONGEST_ANSWER >> 20} MiB",
    "lower page_size, or leave long columns out of query",
    "oversized",
)
OUT_OF_MEMORY = Cause(
    False,
    "the answer, or the query behind it, needs more memory than DuckDB may use",
    "leave long columns out of query, or give it more: `?memory_limit=1GB` behind the database's name in url, and more"
    " MemoryMax= to the service",
    "memory",
)
GONE = Cause(True, "the connection to the database was lost", "see whether the server is up; the poll resumes")
REACH = Cause(
    True, "the database cannot be reached", "check that it is up, and host and port in url", "unreachable", "no answer"
)
UNRESOLVED = replace(
    REACH, hint="see whether this machine's name service answers (/etc/resolv.conf), or write the address in url"
)
CROWDED = Cause(True, "the database has no connection or memory left", "raise its limits, or see who uses it")
SLOW = Cause(
    True, "the statement took too long and was cancelled", "index the modified column, or raise timeout", "slow"
)
CANCELLED = Cause(True, "somebody cancelled the statement at the server", "the poll resumes where it stopped")
LOCKED = Cause(
    True,
    "the database is locked by another session",
    "see who holds the lock (ALTER TABLE, LOCK TABLES, VACUUM FULL, an open transaction); the poll resumes without it",
)
CONFLICT = Cause(
    True, "the replica cancelled the statement to apply changes", "raise max_standby_streaming_delay at the replica"
)
SERIAL = Cause(True, "the statement collided with another transaction", "the poll resumes where it stopped")
NOT_READY = Cause(
    True, "the table is not ready to be read", "a materialized view needs its first REFRESH MATERIALIZED VIEW"
)
IDLE = Cause(
    True, "the server ended the transaction because it was idle", "this machine is overloaded, or was suspended"
)
OPTION = Cause(False, "url holds an option or a value that the driver refuses", "check what follows the ? in url")
POOLER = Cause(
    False,
    "the pooler refuses an option of url",
    "remove it from url, or list it in PgBouncer's ignore_startup_parameters",
)
FILE = Cause(
    False,
    "the SQLite file cannot be opened",
    "it must exist and be readable by this user; in WAL mode its folder must be writable. A service sees nothing below"
    " /home, /root and /tmp: move it, to /srv say, or allow it with `systemctl edit` ([Service] ProtectHome=read-only)",
)
FOLDER = Cause(False, "url names a folder, not a SQLite file", "add the file's name after the folder's")
DAMAGED = Cause(False, "the file is damaged or not a SQLite database", "see whether url names the right file")
DISK = Cause(True, "the database's disk failed", "see the database's own log")
UNKNOWN_LATER = Cause(True, "the database failed", "see the database's own log")
UNKNOWN = Cause(False, "the database refuses the statement", "try it in the database's own shell")
NO_START = Cause(False, "the driver refuses to connect", "check url: the database's name, and what follows the ?")
PROGRAM = Cause(False, "the statement cannot be built for this database", "check url and the stream's keys")
DRIVER = Cause(
    False, "the driver cannot do what is asked of it", "check the options in url and the columns that are read"
)
NO_LOGIN = Cause(
    False,
    "the driver cannot log in the way this server demands",
    "connect by TLS, or `pip install cryptography` for password methods that need it",
)
CERTIFICATE = Cause(
    False,
    "the server's certificate is not accepted",
    "name the authority's file and the host as the certificate has it: sslrootcert (PostgreSQL), ssl_ca (MySQL) in url",
)
CERTIFICATES = Cause(
    False, "a file of certificates that url names cannot be read", "it must exist and be readable by this user, in PEM"
)
SERVICE = Cause(
    False,
    "no service file defines the service that url or PGSERVICE names",
    "define it in ~/.pg_service.conf of the user who runs this, or in the file that PGSERVICEFILE names; or write host"
    " and port in url",
)
SERVICE_BY_LDAP = Cause(
    False,
    "the service that url or PGSERVICE names is defined by an LDAP server, which may never answer",
    "write host and port in the service file or in url",
)
CHARACTER = Cause(False, "the query holds a character that the database's encoding lacks", "fix table or query")
