"""No personal data and no secret at any log level, under any fault: canaries are looked for in all that is said."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.proof.harness import OLD, World, command, config_text

NAMES = ("Canaryname", "canarymail", "5550177", "Canarylast", "canary-key", "canary-password")
FAULTS = "429,ok,500,503,malformed,400,half,timeout-before:2s,reset-after,302,404,ok*"
TABLE = """create table companies (id integer primary key, name text, email text, employees, updated_at text,
  phone text, secret text)"""


def rows(world: World) -> None:
    """Some that are sent, and some that each rule of the mapping refuses."""
    values = [
        ("Canaryname", "canarymail@example.com", 1, "+1 555 5550177"),
        ("Canaryname" * 50, "canarymail@example.com", 1, "5550177"),
        ("Canaryname", "canarymail at nowhere", "Canarylast", "5550177" * 20),
        ("Canaryname \0", "canarymail@", -1, "5550177 \x1b"),
    ]
    for n in range(24):
        name, email, employees, phone = values[n % len(values)]
        world.source.execute(
            "insert into companies values (?, ?, ?, ?, ?, ?, ?)", n, name, email, employees, OLD, phone, "Canarylast"
        )


def test_no_canary_is_ever_said(world_with: Callable[..., World]) -> None:
    world = world_with(table=TABLE, keys=("canary-key",), script=FAULTS, faults={'refuse:Canaryname"': 0.3}, seed=2)
    rows(world)
    text = config_text(
        world.source.url,
        world.sandbox.url,
        workspace='batch_size = 2\ntimeout = "1s"',
        lead='last_name = "secret"\nphones = "[e164(phone, \'US\')]"',
    ).replace('api_key = "sandbox-key"', 'api_key = { env = "CANARY_KEY" }')
    world.write_text(text)
    env = {"CANARY_KEY": "canary-key"}
    said = ""
    for _ in range(4):
        done = command("once", "-c", world.config, env=env)
        said += done.stdout + done.stderr
    with world.daemon(env) as daemon:
        daemon.wait_for("poll")
        for arguments in (["status"], ["status", "--json"], ["doubt", "list"], ["held", "list"], ["ledger", "verify"]):
            shown = command(*arguments, "-c", world.config, env=env)
            said += shown.stdout + shown.stderr
        (doubtful, *_) = world.query("select name from batches where state = 'in_doubt'")
        settling: tuple[list[str | Path], ...] = (
            ["doubt", "resolve", *doubtful, "--landed", "--yes"],
            ["quarantine", "retry", "--all", "--yes"],
            ["ledger", "backup", world.folder / "copy.db"],
        )
        for each in settling:
            shown = command(*each, "-c", world.config, env=env)
            assert shown.code == 0, shown.stderr
            said += shown.stdout + shown.stderr
        assert daemon.stop() == 0
    receipts = world.ledger.with_name(world.ledger.name + ".receipts").read_text()
    assert receipts.count('"t":"intent"') > 5
    said += receipts
    for suffix in ("", "-wal", "-shm"):
        world.ledger.with_name(world.ledger.name + suffix).unlink(missing_ok=True)
    for arguments in (["once"], ["ledger", "rebuild"], ["status", "--json"]):
        shown = command(*arguments, "-c", world.config, env=env)
        assert shown.code != 64, shown.stderr
        said += shown.stdout + shown.stderr
    world.write_text(text.replace('name = "name"', 'name = "nonsense("'))
    refused = command("once", "-c", world.config, env=env)
    assert refused.code == 78
    said += refused.stdout + refused.stderr + daemon.log.read_text() + daemon.errors.read_text()
    said += str(world.query("select name, state, status, cause, account from batches")) + str(
        world.query("select * from polls")
    )
    assert len(world.query("select distinct cause from batches")) >= 5, "too few faults to prove anything"
    assert [name for name in NAMES if name.lower() in said.lower()] == []


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port on which somebody listens and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


def test_no_password_of_a_database_is_ever_said(world: World, deaf_port: int, tmp_path: Path) -> None:
    """Refused connections, silence, unknown hosts and unreadable addresses."""
    places = (
        "postgresql://canarymail:canary-password@127.0.0.1:1/db",
        f"postgresql://canarymail:canary-password@127.0.0.1:{deaf_port}/db",
        "postgresql://canarymail:canary-password@127.0.0.1/nowhere",
        "mysql://canarymail:canary-password@127.0.0.1:1/db",
        "postgresql://canarymail:canary-password@nonexistent.invalid/db",
        "postgresql//canarymail:canary-password@127.0.0.1/db",
        "nonsense://canarymail:canary-password@127.0.0.1/db",
        "postgresql://canarymail:canary-password@127.0.0.1:port/db",
    )
    whole = config_text("X", world.sandbox.url)
    head, source = whole.split("[sources.erp]")
    source = f"[sources.erp]{source}".replace('"X"', '{ env = "URL" }\nconnect_timeout = "1s"')
    many = [source.replace("sources.erp", f"sources.s{n}").replace('"URL"', f'"URL{n}"') for n in range(5)]
    world.write_text(head + "".join(many))
    env = {f"URL{n}": place for n, place in enumerate(places)}
    said = ""
    for arguments in (["once"], ["check"]):
        done = command(*arguments, "-c", world.config, env=env)
        said += done.stdout + done.stderr
    assert said.count("poll_failed") == 5
    for place in places[5:]:
        done = command("once", "-c", world.config, env={**env, "URL0": place})
        assert done.code in {75, 77, 78}, place
        said += done.stdout + done.stderr
    assert "canary-password" not in said
