"""A world that is the same at any time and place: a source in SQLite and a ledger with records in every state.

No server takes part. Polls run one by one in this thread, batches are claimed and concluded by hand, and the clock
stands where it is set, so that the ages and the order of everything are fixed.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from unittest import mock

import structlog

from state.ledger import Ledger
from state.rows import Claim, Verdict
from sync import log
from sync.config.load import load_config
from sync.delivery.pace import Pace
from sync.engine.compiled_config import CompiledConfig, rule_of
from sync.engine.engine import Engine
from sync.service import notices
from sync.shared.clock import SystemClock
from sync.shared.errors import SourceRefused

KEYS = {"MAIN_KEY": "main-key", "QUIET_KEY": "quiet-key"}
FIRST = 1_772_600_000.0  # 2026-03-04 04:53:20Z
HOUR = 3600.0

CONFIG = """\
[workspaces.main]
api_key = { env = "MAIN_KEY" }
base_url = "http://127.0.0.1:9"
label = "sync-{batch}"

[workspaces.quiet]
api_key = { env = "QUIET_KEY" }
base_url = "http://127.0.0.1:9"

[ledger]
path = "state/ledger.db"

[sources.erp]
connector = "sql"
url = "sqlite:///FOLDER/erp.db"

[sources.erp.streams.companies]
workspace = "main"
table = "companies"
key = "id"
modified = "updated_at"
start = "all"
on_change = "hold"
match_on = ["email"]

[sources.erp.streams.companies.lead]
kind = "company"
name = "name"
industry = "industry"
emails = "[email]"
where = "status != 'internal'"

[sources.erp.streams.people]
workspace = "main"
table = "people"
key = "id"
modified = "updated_at"
start = 2026-01-01
on_change = "hold"
match_on = ["email"]

[sources.erp.streams.people.lead]
kind = "contact"
name = "first_name"
emails = "[email]"

[sources.erp.streams.offices]
workspace = "quiet"
table = "offices"
key = "id"
modified = "updated_at"
start = "all"
on_change = "hold"

[sources.erp.streams.offices.lead]
kind = "company"
name = "name"
where = "name == 'nobody'"

[sources.old]
connector = "sql"
url = "sqlite:///FOLDER/old.db"

[sources.old.streams.accounts]
workspace = "quiet"
table = "accounts"
key = "id"
modified = "updated_at"
start = "all"
on_change = "hold"

[sources.old.streams.accounts.lead]
kind = "company"
name = "name"
"""

SCHEMA = """
CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT, industry TEXT, email TEXT, status TEXT, updated_at TEXT);
CREATE TABLE people (id INTEGER PRIMARY KEY, first_name TEXT, email TEXT, updated_at TEXT);
CREATE TABLE offices (id INTEGER PRIMARY KEY, name TEXT, updated_at TEXT);
"""


class World:
    """A folder with configuration, source and, once it is filled, a ledger; `now` is what every clock shows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = FIRST
        self._went = 0.0

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def ledger(self) -> Path:
        return self.folder / "state/ledger.db"

    def wall(self) -> float:
        return self.now

    def boot(self) -> float:
        return self.now - FIRST + HOUR + (time.monotonic() - self._went if self._went else 0.0)

    @contextmanager
    def time_goes_on(self) -> Iterator[None]:
        """Let the clock go that decides how long to wait, for what has threads; the dates stay."""
        self._went = time.monotonic()
        yield
        self._went = 0.0

    def sql(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.folder / "erp.db")) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    def company(self, *ids: int, name: str = "", status: str = "customer", industry: str = "Steel") -> None:
        for n in ids:
            self.sql(
                f"INSERT INTO companies VALUES ({n}, '{name or f'Firm {n}'}', '{industry}', 'f{n}@corp.example',"
                f" '{status}', '2026-01-02 03:{n:02}:00')"
            )

    def keep(self) -> None:
        """Remember the folder as it is now, for `restore`."""
        shutil.copytree(self.folder, self.kept)

    def restore(self) -> None:
        """Put the folder back to how it was kept."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.kept, self.folder)

    def forget(self) -> None:
        """Put it back, and keep another state next."""
        self.restore()
        shutil.rmtree(self.kept)

    @property
    def kept(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.kept")


@contextmanager
def empty_world() -> Iterator[World]:
    """Yield a world with a configuration and an empty source, while all clocks stand. Its folder's name always has the
    same length, since what is printed is laid out by the width of paths."""
    folder = Path(tempfile.mkdtemp(prefix="golden-", dir="/tmp"))
    world = World(folder)
    with closing(sqlite3.connect(folder / "erp.db")) as connection:
        connection.executescript(SCHEMA)
    world.config.write_text(CONFIG.replace("FOLDER", str(folder)), encoding="utf-8")
    try:
        with (
            mock.patch.dict(os.environ, KEYS, clear=True),
            mock.patch.object(time, "time", world.wall),
            mock.patch.object(SystemClock, "boot", world.boot),
        ):
            yield world
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(world.kept, ignore_errors=True)


def fill(world: World) -> None:
    """Bring records into every state, the way the program does, each step a while after the one before."""
    log.configure("error", "json", io.StringIO())
    try:
        for step in (_delivered, _doubtful, _rejected, _waiting, _changed, _cut_off, _told):
            with Ledger(world.ledger, own=True) as ledger:
                step(world, ledger)
                ledger.tell_receipts()
            world.now += HOUR
    finally:
        structlog.reset_defaults()


def _poll(world: World, ledger: Ledger, *streams: str) -> None:
    engine = Engine(CompiledConfig.of(load_config(world.config)), ledger)
    for name in streams or ("erp.companies", "erp.people", "erp.offices"):
        engine.streams[name].turn()
    engine.stop()
    engine.close()


def _claim(world: World, ledger: Ledger, leads: int) -> Claim:
    plan = CompiledConfig.of(load_config(world.config))
    options = plan.config.workspaces["main"]
    rule = rule_of(options.limit, plan.api_keys["main"], ledger.hasher)
    claim = ledger.outbox.claim("main", rule, most=leads, linger=0, timeout=60, label=options.label)
    assert isinstance(claim, Claim)
    assert len(claim.deliveries) == leads
    ledger.journal.intent(claim.batch)
    return claim


def _conclude(
    ledger: Ledger, claim: Claim, verdict: Verdict, status: int, cause: str, message: str = "", account: str = ""
) -> None:
    ledger.journal.verdict(claim.batch, verdict, status=status, cause=cause)
    ledger.verdicts.conclude(
        claim.batch,
        verdict,
        slot=claim.slot,
        status=status,
        cause=cause,
        message=message or None,
        account=account or None,
    )


def _delivered(world: World, ledger: Ledger) -> None:
    """The first scan: three leads are created; a fourth record is filtered, two people are too old."""
    world.company(1, 2, 3)
    world.company(11, status="internal")
    world.sql(
        "INSERT INTO people VALUES (1, 'Ann', 'ann@home.example', '2020-01-02 03:04:05')",
        "INSERT INTO people VALUES (2, 'Bo', 'F1@corp.example', '2026-01-02 03:04:05')",
        "INSERT INTO offices VALUES (1, 'North', '2026-01-02 03:04:05'), (2, 'South', '2026-01-02 03:04:05')",
    )
    _poll(world, ledger)
    _conclude(ledger, _claim(world, ledger, 3), "created", 200, "created")


def _doubtful(world: World, ledger: Ledger) -> None:
    world.company(14, 15)
    _poll(world, ledger)
    account = "sent whole, answered 500 after 1.2 s"
    claim = _claim(world, ledger, 2)
    _conclude(ledger, claim, "in_doubt", 500, "no clear answer (500)", message="Oh\x1b[2J dear", account=account)


def _rejected(world: World, ledger: Ledger) -> None:
    world.company(16, industry="refuse-me")
    _poll(world, ledger)
    _conclude(
        ledger, _claim(world, ledger, 1), "rejected", 400, "rejected (400)", message="[0] was refused on purpose."
    )


def _waiting(world: World, ledger: Ledger) -> None:
    """One cannot be sent, two are held by the guard, one is forgotten by a person, one gone before it was sent."""
    world.company(17, name="x" * 300)
    _poll(world, ledger)
    world.company(18, 19, 20, 21)
    _poll(world, ledger)
    reason = json.dumps([{"field": "", "rule": "6,200 new leads in one poll", "hint": "look at them"}])
    _write(ledger, "UPDATE records SET state = 'held', reason = ? WHERE id IN ('18', '19')", reason)
    _write(ledger, "UPDATE records SET state = 'forgotten' WHERE id = '20'")
    _write(ledger, "UPDATE records SET state = 'withdrawn', fit = 'deleted' WHERE id = '21'")
    world.sql("DELETE FROM companies WHERE id = 21")


def _changed(world: World, ledger: Ledger) -> None:
    """The second lead drifts, the third is orphaned, another is known to stand there already."""
    world.company(22)
    world.sql(
        "UPDATE companies SET name = 'Other 2', industry = NULL, updated_at = '2026-01-02 03:22:30' WHERE id = 2",
        "UPDATE companies SET status = 'internal', updated_at = '2026-01-02 03:22:31' WHERE id = 3",
    )
    _poll(world, ledger)
    _write(ledger, "UPDATE records SET state = 'known', lead_exists = 'yes' WHERE id = '22'")


def _cut_off(world: World, ledger: Ledger) -> None:
    """One is on the wire of a process that is gone, one waits."""
    world.company(23, 24)
    _poll(world, ledger)
    _claim(world, ledger, 1)


def _told(world: World, ledger: Ledger) -> None:
    """A source is refused, a workspace rests, and the daemon was stopped."""
    for _ in range(2):
        notices.unread(
            ledger, "old.accounts", SourceRefused("no such table: accounts", hint="make it, or name another")
        )
    rest = Pace(rest="credentials", wait=90.0, cause="the API key is not valid (401)")
    ledger.outbox.keep_pace("quiet", b"k", rest.as_json())
    ledger.incidents.put_in_force(str(world.config), notices.digest_of(load_config(world.config), ledger))
    world.now += HOUR
    ledger.incidents.stopped()


def bring_trouble(world: World) -> None:
    """Tell the ledger what else a daemon can meet."""
    config = load_config(world.config)
    with Ledger(world.ledger, own=True) as ledger:
        notices.in_force(config, ledger)
        notices.refused(config, ledger, ["sources.erp.url: is wrong\n  hint: set it right"])
        notices.part_refused("old", SourceRefused("no such table: accounts", hint="make it"), ledger, was_there=True)
        notices.stalls(ledger, ["the turn of erp.companies"])
        notices.could_not_begin(config, ledger, SourceRefused("the database is gone", hint="bring it back"))
        ledger.incidents.tell("backup", "/backups", "/backups: No space left on device", "make room there")
        ledger.incidents.tell("receipts", "/copy", "the receipts /copy were gone", "look at that disk")


def leave_nothing_to_send(world: World) -> None:
    """Hold the lead that waits: a round has no server to send it to."""
    with Ledger(world.ledger, own=True) as ledger:
        _write(ledger, "UPDATE records SET state = 'held' WHERE state = 'pending'")


def _write(ledger: Ledger, sql: str, *values: object) -> None:
    with ledger.file.write() as connection:
        connection.execute(sql, values)


def batch_in_doubt(world: World) -> str:
    """Return the name of the one batch in doubt."""
    with Ledger(world.ledger) as ledger:
        (found,) = (str(each["name"]) for each in ledger.verdicts.in_doubt())
    return found
