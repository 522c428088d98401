"""The source's clock: the database's own, and on a replica the time up to which it has replayed its primary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sync.shared.errors import SourceUnavailable

Ask = Callable[[str], Sequence[Any]]
"""Returns the one row of a statement."""

_CLOCKS = {
    # The statement's own moment, not the transaction's start; as microseconds since 1970.
    "postgresql": "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, pg_is_in_recovery()",
    "mysql": "SELECT timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)), false",
    "mssql": "SELECT datediff_big(microsecond, '1970-01-01', sysutcdatetime()), 0",
}
# The time is taken first: what was received by then is replayed, or the last transaction that is tells its own time.
# That the receiver runs is all that an ordinary user may see of it.
_REPLAYED = """
SELECT (extract(epoch FROM own) * 1000000)::bigint, (extract(epoch FROM replayed) * 1000000)::bigint
FROM (
    SELECT clock_timestamp() AS own,
        CASE
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
                AND EXISTS (SELECT FROM pg_stat_wal_receiver WHERE pid IS NOT NULL) THEN 'infinity'::timestamptz
            ELSE pg_last_xact_replay_timestamp()
        END AS until
    OFFSET 0
) AS look, LATERAL (SELECT CASE WHEN until < own THEN until WHEN until >= own THEN own END AS replayed) AS least
"""


@dataclass(frozen=True, slots=True)
class SourceTime:
    """The source's clock in microseconds since 1970 UTC; `behind`: how far a replica lags behind its primary
    (microseconds)."""

    now: int
    behind: int = 0


def database_time(backend: str, ask: Ask, source: str, stream: str | None) -> SourceTime | None:
    """Return the clock of a database, on a replica the time up to which it has replayed its primary; None where no
    statement for it is known.

    Raises SourceUnavailable where a replica cannot tell how far it is.
    """
    sql = _CLOCKS.get(backend)
    if sql is None:
        return None
    now, is_replica = ask(sql)
    if not is_replica:
        return SourceTime(int(now))
    own, replayed = ask(_REPLAYED)
    if replayed is None:
        raise SourceUnavailable(
            "the database is a replica that has replayed no change since it was started and receives none, so nobody "
            "knows how far it is",
            hint="it goes on by itself once the replica follows its primary again; or read from the primary",
            source=source,
            stream=stream,
        )
    return SourceTime(int(replayed), int(own) - int(replayed))
