"""PostgreSQL's LISTEN: hears that a table may have changed, so that a poll need not wait for its turn.

A notification is only a hint. It carries nothing that is believed, it may be lost (nobody keeps it for a client
that is away), and polls go on as if it did not exist:
https://www.postgresql.org/docs/current/sql-notify.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from sqlalchemy import Connection, text

from connectors.interface import Finding, StreamSpec
from connectors.sql.connection import Database
from connectors.sql.options import SqlStream
from sync.shared.errors import SourceRefused

LOOK_EVERY = 1.0
"""Seconds between two looks at whether to stop."""
PROVE_EVERY = 60.0
"""Seconds without a notification after which the connection is proven by a statement: a server that vanished says
nothing either."""

_ONLY = "remove listen: only PostgreSQL has such channels, and this source is polled on schedule anyway"
_STANDBY = "a replica passes no notifications on: remove listen, or read from the primary"


def announced(database: Database, streams: Sequence[StreamSpec], stop: Callable[[], bool]) -> Iterator[str]:
    """Yield the name of a stream each time its channel announces something, and all of them once at the beginning.

    Waits in between, and asks `stop` about once a second. Raises SourceUnavailable, SourceRefused.
    """
    listening: defaultdict[str, list[str]] = defaultdict(list)
    for stream in streams:
        if channel := cast("SqlStream", stream.options).listen:
            listening[channel].append(stream.name)
    if database.backend != "postgresql":
        raise SourceRefused(f"{database.backend} has no channels to listen to", hint=_ONLY, source=database.source)
    with database.connection() as connection:
        driver = _listen(connection, [*listening])
        # what was announced before is lost
        yield from (name for names in listening.values() for name in names)
        quiet = 0.0
        while not stop():
            heard = {each.channel for each in driver.notifies(timeout=LOOK_EVERY, stop_after=1)}
            for channel in heard:
                yield from listening[channel]
            quiet = 0.0 if heard else quiet + LOOK_EVERY
            if quiet >= PROVE_EVERY:
                driver.execute("SELECT 1")
                quiet = 0.0


def _listen(connection: Connection, channels: Sequence[str]) -> Any:
    """Listen to these channels; return the driver's own connection, outside any transaction."""
    driver: Any = connection.connection.driver_connection
    # a transaction would keep notifications back until its end
    driver.autocommit = True
    quote = connection.dialect.identifier_preparer.quote_identifier
    for channel in channels:
        driver.execute(f"LISTEN {quote(channel)}")
    return driver


def listen_finding(database: Database, stream: StreamSpec) -> Finding | None:
    """Return a finding about the stream's channel, None where it has none. Raises SourceUnavailable, SourceRefused."""
    channel = cast("SqlStream", stream.options).listen
    if channel is None:
        return None
    if database.backend != "postgresql":
        return Finding("error", f"listen names a channel, and {database.backend} has none", _ONLY)
    (is_standby,) = database.run(text("SELECT pg_is_in_recovery()"), stream.name).rows[0]
    if is_standby:
        return Finding("warning", f"nothing will be heard on the channel {channel}", _STANDBY)
    return Finding("ok", f"polled as soon as something is announced on the channel {channel}")
