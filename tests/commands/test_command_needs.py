"""What needs a person is in `status`, whatever it is: each incident is caused, and then only `status` is asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner

from state.incidents import Incident
from state.ledger import Ledger
from state.lock import lock_path
from sync.cli import main
from sync.config.load import load_config
from sync.config.schema import Config
from sync.delivery.pace import Pace, RestCause
from sync.engine.engine import Engine
from sync.service import notices
from sync.service.maintenance import _back_up, prove_writable
from sync.service.notices import digest_of
from sync.service.writable import WritablePlace
from sync.shared.errors import ConfigError, LedgerLost, Problem, SourceRefused
from sync.views.needs import Need, Needs, needs_as_lines
from sync.views.phrases import typed
from tests.commands.command_world import KEY, ROOT, World


def items(world: World, *words: str) -> list[tuple[str, str]]:
    """Kind and subject of what needs a person, as a script reads it."""
    found = world.json("status", *words)["needs_person"]["items"]
    assert all(each["cause"] and (each["cure"] or each["commands"]) for each in found), "each has its cure"
    return [(each["kind"], each["subject"]) for each in found]


def once(world: World, *, key: str | None = KEY, times: int = 1) -> None:
    for _ in range(times):
        world.run("once", "-q", key=key)


def lock(world: World) -> None:
    world.companies([1])
    once(world, key="no-such-key")


def lose_column(world: World) -> None:
    world.companies([1])
    once(world)
    world.sql("ALTER TABLE companies RENAME COLUMN name TO title")
    once(world, times=2)


def move_source(world: World) -> None:
    once(world)
    world.write_config(replace={'key = "id"\nmodified = "updated_at"': 'key = "name"\nmodified = "updated_at"'})
    once(world)


def lose_driver(world: World) -> None:
    world.write_config(replace={f'url = "sqlite:///{world.folder / "erp.db"}"': 'url = "oracle://u:p@127.0.0.1/x"'})
    once(world, times=2)


def refuse_reload(world: World) -> None:
    once(world)
    with world.open(own=True) as ledger:
        notices.refused(load_config(world.config), ledger, ["sources.erp.url: is wrong\n  hint: set it right"])


def lack_secret(world: World) -> None:
    once(world)
    missing = Problem("sources.crm.password", "the file /run/x cannot be read", "give it, then reload")
    with world.open(own=True) as ledger:
        notices.part_refused("crm", ConfigError([missing]), ledger, was_there=False)


def kill_daemon(world: World) -> None:
    once(world)
    with world.open(own=True) as ledger:
        ledger.incidents.put_in_force(str(world.config), "x")


def lose_backups(world: World) -> None:
    once(world)
    world.write_config(replace={"[ledger]": '[ledger]\nbackups_to = "../erp.db/copies"'})
    back_up(world)


def back_up(world: World) -> None:
    """What the daemon does each hour."""
    config = load_config(world.config)
    with world.open(own=True) as ledger:
        _back_up(cast(Engine, SimpleNamespace(plan=SimpleNamespace(config=config), ledger=ledger)))


def lose_receipts(world: World) -> None:
    world.companies([1])
    once(world)
    world.ledger.with_name("ledger.db.receipts").unlink()


def stall(world: World) -> None:
    once(world)
    with world.open(own=True) as ledger:
        notices.stalls(ledger, ["the turn of erp.companies"])


def fill_plan(world: World) -> None:
    world.sandbox.set_faults(script=["403"])
    world.companies([1])
    once(world)


@pytest.mark.parametrize(
    ("cause", "kind", "subject", "said"),
    [
        (lock, "workspace", "main", "rests (credentials): the API key is not valid (401)"),
        (fill_plan, "workspace", "main", "rests ("),
        (lose_column, "stream", "erp.companies", "could not be read: "),
        (move_source, "daemon", "{config}", "could not start: the stream erp.companies is not the one that"),
        (lose_driver, "stream", "erp.companies", "could not be read: the driver for this database is not installed"),
        (refuse_reload, "config", "{config}", "its reload was refused, what was before is in force: sources.erp.url"),
        (lack_secret, "config", "sources.crm", "is left out, the others are in force: sources.crm.password: the file"),
        (kill_daemon, "daemon", "{config}", "the daemon is gone without having been stopped"),
        (lose_backups, "backup", "{source}/copies", "erp.db/copies: Not a directory"),
        (lose_receipts, "receipts", "{ledger}.receipts", "ledger.db.receipts are gone"),
        (stall, "stalled", "the turn of erp.companies", "the turn of erp.companies: has not moved"),
    ],
)
def test_what_goes_wrong_is_named_with_its_cure_and_its_exit_code(
    world: World, cause: Callable[[World], None], kind: str, subject: str, said: str
) -> None:
    cause(world)
    assert (kind, subject.format(config=world.config, ledger=world.ledger, source=world.folder / "erp.db")) in items(
        world
    )
    asked = world.run("status", "--exit-code")
    assert asked.exit_code == 65
    assert said in asked.stdout
    assert "nothing needs a person" not in asked.stdout
    assert world.run("status").exit_code == 0, "scripts that ask without --exit-code go on"


def test_the_command_of_a_stream_that_cannot_be_read_says_more(world: World) -> None:
    lose_column(world)
    (found,) = world.json("status")["needs_person"]["items"]
    (command,) = found["commands"]
    assert "has no column 'name'" in world.run(*command.split()).stdout


def test_copies_that_cannot_be_made_are_named_from_the_first_instant(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(world.config)
    full = WritablePlace("backups_to", world.folder / "copies", spare=True)
    monkeypatch.setattr(
        "sync.service.maintenance.refuse_unwritable", lambda _: [(full, OSError(28, "No space left on device"))]
    )
    with world.open(own=True) as ledger:
        prove_writable(config, ledger)
    assert items(world) == [("backup", str(full.folder))]


def test_what_is_over_is_said_no_more(world: World) -> None:
    lose_column(world)
    assert ("stream", "erp.companies") in items(world)
    world.sql("ALTER TABLE companies RENAME COLUMN title TO name")
    once(world)
    assert items(world) == []
    assert world.run("status", "--exit-code").exit_code == 0


@pytest.mark.parametrize("cause", [refuse_reload, stall, kill_daemon, move_source])
def test_what_only_concerned_a_daemon_is_over_where_a_round_goes_on_without_one(
    world: World, cause: Callable[[World], None]
) -> None:
    cause(world)
    world.write_config()
    once(world)
    assert items(world) == []


def test_a_disk_without_room_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    once(world)
    kill_daemon(world)
    for free, kinds in ((0, ["ledger", "daemon"]), (None, ["daemon"]), (2**30, ["daemon"])):
        monkeypatch.setattr("sync.views.troubles.free_bytes", lambda _, free=free: free)
        assert [kind for kind, _ in items(world)] == kinds


def test_a_daemon_that_hangs_as_a_whole_is_seen_from_outside(world: World) -> None:
    once(world)
    with world.open(own=True) as ledger:
        notices.in_force(load_config(world.config), ledger)
        for minutes, late in ((20, []), (21, ["erp.companies"])):  # it is polled each half minute
            ago = f"{int((ledger.clock.wall() - minutes * 60) * 1000)}"
            with ledger.file.write() as connection:
                connection.execute(f"UPDATE meta SET value = json_set(value, '$.since', {ago}) WHERE key = 'in_force'")
                connection.execute(
                    f"UPDATE polls SET ended_at = {ago}"
                    " WHERE stream = (SELECT id FROM streams WHERE name = 'erp.companies')"
                )
            assert items(world) == [("stalled", each) for each in late]
        assert "erp.companies: has not been read for 21m" in world.run("status").stdout
        notices.unread(ledger, "erp.companies", SourceRefused("no such table", hint="make it"))
        assert items(world) == [], "one that is known to fail is no hanging daemon"
        ledger.incidents.stopped()
        ledger.incidents.over("stream")
        assert items(world) == []


def test_a_daemon_that_is_halted_is_named_until_it_goes_on(world: World) -> None:
    once(world)
    holds = "import sys; from pathlib import Path; from state.lock import LedgerLock\n"
    holds += "with LedgerLock(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", holds, str(world.ledger)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert items(world) == []
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert [kind for kind, _ in items(world)] == ["daemon"]
        assert f"kill -CONT {process.pid}" in world.run("status").stdout
        process.send_signal(signal.SIGCONT)
        os.waitid(os.P_PID, process.pid, os.WCONTINUED | os.WNOWAIT)
        assert items(world) == []
        process.kill()


@pytest.mark.parametrize(
    ("rest", "waits", "needs"),
    [
        ("credentials", False, True),
        ("address", False, True),
        ("unknown", False, False),
        ("unknown", True, True),
        ("breaker", False, False),
        ("breaker", True, True),
    ],
)
def test_a_rest_for_leads_that_are_gone_needs_nobody(world: World, rest: RestCause, waits: bool, needs: bool) -> None:
    world.companies([1] if waits else [])
    once(world, key="no-such-key")
    with world.open(own=True) as ledger:
        ledger.outbox.keep_pace("main", b"k", Pace(rest=rest, unknowns=3).as_json())
    assert [kind for kind, _ in items(world)] == ["workspace"] * needs


def test_another_key_ends_the_rest_of_the_one_before_though_nothing_is_sent(world: World) -> None:
    lock(world)
    world.sql("UPDATE companies SET status = 'internal', updated_at = '2026-02-02 00:00:00'")
    once(world, key="no-such-key")
    assert items(world) == [("workspace", "main")]
    assert "no lead is waiting: the next one shows whether it is fixed" in world.run("status").stdout
    once(world, key="no-such-key")
    assert ("workspace", "main") in items(world), "a restart with the same key proves nothing"
    once(world)
    assert items(world) == []


def test_a_daemon_that_was_stopped_in_order_has_no_stalls(world: World) -> None:
    with world.open(own=True) as ledger, notices.life(load_config(world.config), ledger, lambda: None):
        notices.stalls(ledger, ["the turn of erp.companies"])
    assert items(world) == []


def test_a_backup_that_can_be_made_again_is_said_no_more(world: World) -> None:
    lose_backups(world)
    world.write_config()
    back_up(world)
    assert items(world) == []


def test_one_refusal_is_no_incident_yet_and_nothing_is_green(world: World) -> None:
    world.companies([1])
    once(world)
    world.sql("ALTER TABLE companies RENAME COLUMN name TO title")
    once(world)
    assert items(world) == []
    shown = world.run("status").stdout
    assert "nothing needs a person yet, but 1 stream could not be read the last time" in shown
    assert "erp.companies -> main: not read for 1 poll, the first " in shown
    failing = world.json("status")["streams"]["erp.companies"]["failing"]
    assert (failing["polls"], "name" in failing["cause"]) == (1, True)


@pytest.mark.parametrize(
    ("gravity", "times", "minutes", "needs"),
    [
        ("passing", 1, 0, False),
        ("passing", 2, 14, False),
        ("passing", 3, 0, True),
        ("passing", 1, 15, True),
        ("refused", 1, 600, False),
        ("refused", 2, 0, True),
        ("certain", 1, 0, True),
    ],
)
def test_a_short_outage_needs_nobody(gravity: Any, times: int, minutes: int, needs: bool) -> None:
    from sync.views.troubles import is_lasting

    incident = Incident("stream", "a.b", 0, "why", gravity=gravity, times=times)
    assert is_lasting(incident, minutes * 60_000) is needs


def test_receipts_that_were_damaged_stay_until_all_is_verified(world: World) -> None:
    world.companies([1])
    once(world)
    receipts = world.ledger.with_name("ledger.db.receipts")
    text = receipts.read_bytes()
    receipts.write_bytes(text[:40] + bytes([text[40] ^ 1]) + text[41:])
    once(world)
    assert [kind for kind, _ in items(world)] == ["receipts"]
    assert world.run("ledger", "verify").exit_code == 0
    assert items(world) == []


def test_a_second_place_that_is_gone_is_not_made_anew_and_its_cure_says_so(world: World) -> None:
    (world.folder / "other").mkdir()
    world.write_config(replace={"[ledger]": '[ledger]\nreceipts_copy = "../other"'})
    world.companies([1])
    once(world)
    (copy,) = (world.folder / "other").iterdir()
    copy.unlink()
    (found,) = world.json("status")["needs_person"]["items"]
    assert (found["kind"], found["subject"]) == ("receipts", str(copy))
    assert "if it is lost, name another [ledger] receipts_copy" in found["cure"]
    assert world.run("once", "-q").exit_code == 78
    world.write_config(replace={"[ledger]": '[ledger]\nreceipts_copy = "../another"'})
    once(world)
    assert items(world) == []


def test_a_file_that_cannot_be_used_still_shows_what_the_ledger_tells(world: World) -> None:
    world.companies([1])
    once(world, key="no-such-key")
    with world.open(own=True) as ledger:
        ledger.incidents.put_in_force(str(world.config), digest_of(load_config(world.config), ledger))
        assert world.json("status")["config"]["file_differs"] is False
        world.config.write_text(world.config.read_text().replace('key = "id"', 'kee = "id"'))
        ledger.incidents.tell("config", str(world.config), "kee: unknown key")
        result = world.run("status")
    assert result.exit_code == 78
    assert f"daemon running (pid {os.getpid()})" in result.stdout
    assert ", in force since " in result.stdout
    assert "its reload has been refused since " in result.stdout
    assert "main: rests (credentials)" in result.stdout.replace("workspace ", "")
    assert "unknown key (did you mean key?)" in result.stderr


@pytest.mark.parametrize(
    ("spoil", "said", "works"),
    [
        (Path.unlink, "is not there", False),
        (lambda path: path.write_text(path.read_text().replace('key = "id"', 'kee = "id"')), "unknown key", True),
    ],
    ids=["absent", "broken"],
)
def test_a_file_that_cannot_be_used_comes_first_and_is_never_green(
    world: World, spoil: Callable[[Path], object], said: str, works: bool
) -> None:
    """Of a file that is not there no command can work, so none is shown."""
    world.companies([1], name="x" * 300)
    world.write_config(replace={"state/ledger.db": "ledger.db"})
    world.run("once")
    assert [each["kind"] for each in world.json("status")["needs_person"]["items"]] == ["quarantined"]
    spoil(world.config)
    result = world.run("status")
    assert result.exit_code == 78
    first, *lines = result.stdout.splitlines()
    assert first.startswith(f"file {world.config} {'cannot be used' if works else 'is not there'}; ")
    assert "nothing needs a person" not in result.stdout
    at = lines.index("needs a person:")
    assert str(world.config) in lines[at + 1]
    assert said in lines[at + 1]
    assert ("quarantine list" in result.stdout) == works
    kinds = [each["kind"] for each in json.loads(world.run("status", "--json").stdout)["needs_person"]["items"]]
    assert kinds == ["config", "quarantined"]


@contextmanager
def in_force(world: World) -> Iterator[tuple[Config, Ledger]]:
    """Keep the configuration in force, its ledger beside the file."""
    world.write_config(replace={"state/ledger.db": "ledger.db"})
    once(world)
    with Ledger(world.folder / "ledger.db", own=True) as ledger:
        config = load_config(world.config)
        notices.in_force(config, ledger)
        yield config, ledger


def test_of_a_file_that_is_not_there_its_refused_reload_is_history(world: World) -> None:
    with in_force(world) as (config, ledger):
        notices.refused(config, ledger, ["sources.erp.streams.firms: is new; ledger rename-stream moves what was sent"])
        world.config.unlink()
        shown = world.run("status").stdout
    assert "is not there" in shown
    assert "rename-stream" not in shown[shown.index("needs a person:") :]


def test_what_a_daemon_refused_is_not_told_twice(world: World) -> None:
    with in_force(world) as (config, ledger):
        world.config.write_text(world.config.read_text().replace('key = "id"', 'kee = "id"', 1))
        with pytest.raises(ConfigError) as refused:
            load_config(world.config)
        notices.refused(config, ledger, [str(problem) for problem in refused.value.problems])
        needs = json.loads(world.run("status", "--json").stdout)["needs_person"]["items"]
    assert [each["kind"] for each in needs] == ["config"]
    assert "its reload was refused" in needs[0]["cause"]


def test_the_file_and_what_is_in_force_are_told_apart(world: World) -> None:
    once(world)
    with world.open(own=True) as ledger:
        ledger.incidents.put_in_force(str(world.config), digest_of(load_config(world.config), ledger))
        world.config.write_text("# a remark\n" + world.config.read_text())
        assert world.json("status")["config"]["file_differs"] is False, "a comment changes nothing"
        assert ", as it stands in the file\n" in world.run("check").stdout
        world.write_config("batch_size = 7")
        assert world.json("status")["config"]["file_differs"] is True
        assert "the file has changed since: reload it" in world.run("status").stdout
        assert "the file has changed since\n" in world.run("check").stdout


def test_a_daemon_that_was_overtaken_does_not_end_what_is_in_force_of_its_successor(world: World) -> None:
    once(world)
    config = load_config(world.config)
    with world.open(own=True) as older, ExitStack() as former:
        former.enter_context(notices.life(config, older, lambda: LedgerLost("it was overtaken")))
        lock_path(older.path).unlink()
        with world.open(own=True) as newer, notices.life(config, newer, lambda: None):
            former.close()
            in_force = newer.incidents.in_force()
            assert in_force is not None
            assert (in_force.stopped, in_force.error) == (None, "")


TWO = {
    "[ledger]": '[workspaces.two]\napi_key = { env = "SECOND_KEY" }\nbase_url = "http://127.0.0.1:9"\n[ledger]',
    'table = "companies"': 'table = "companies"\nworkspace = "main"',
    'table = "people"': 'table = "people"\nworkspace = "two"',
}


def test_workspaces_and_streams_can_be_asked_for_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECOND_KEY", "other-key")
    world.write_config(replace=TWO)
    world.companies([1, 2], name="x" * 300)
    world.people([1])
    world.sql("UPDATE people SET first_name = NULL, email = NULL")
    once(world)
    assert items(world) == [("quarantined", "main"), ("quarantined", "two")]
    for words in (("--workspace", "two"), ("--stream", "erp.people")):
        found = world.json("status", *words)
        assert (set(found["workspaces"]), set(found["streams"])) == ({"two"}, {"erp.people"})
        assert found["needs_person"]["quarantined"]["records"] == 1
        assert items(world, *words) == [("quarantined", "two")]
    assert world.run("status", "--stream", "erp.nobody").exit_code == 64
    checked = world.run("check", "--workspace", "main")
    assert "erp.companies" in checked.stdout
    assert "erp.people" not in checked.stdout
    assert "workspaces.two" not in checked.stdout


def test_of_many_only_those_with_something_to_say_are_listed(world: World) -> None:
    text = world.config.read_text()
    table = text[text.index("[sources.erp.streams.people]") :]
    world.config.write_text(
        text
        + "".join(
            table.replace("people", f"p{n}", 1).replace("streams.people.lead", f"streams.p{n}.lead") for n in range(30)
        )
    )
    world.companies([1], name="x" * 300)
    once(world)
    short, whole = world.run("status").stdout, world.run("status", "--all").stdout
    assert "stream erp.companies" in short
    assert "erp.p7" not in short
    assert "31 streams with nothing to report are not listed: --all, --workspace or --stream" in short
    assert "stream erp.p7" in whole
    assert len(world.json("status")["streams"]) == 32
    checked = world.run("check").stdout.splitlines()
    assert checked[-1].endswith("more things were checked: --all lists them")


def test_created_leads_stay_created_when_where_is_edited(world: World) -> None:
    world.companies(range(1, 8))
    once(world)
    world.write_config(replace={"status != 'internal'": "id == `3`"})
    world.sql("UPDATE companies SET email = 'new' || id || '@corp.example', updated_at = '2026-01-03 00:00:00'")
    once(world)
    stream = world.json("status")["streams"]["erp.companies"]
    assert stream["created"] == 7


def test_an_old_newest_change_is_no_old_reading(world: World) -> None:
    world.companies([1])
    once(world)
    assert "live: up to date; newest change seen 2026-01-02 03:00:01Z" in world.run("status").stdout
    assert world.json("status")["streams"]["erp.companies"]["up_to_date"] is True


def test_how_far_behind_and_how_long_it_takes(world: World) -> None:
    world.companies(range(1, 6))
    once(world, key="no-such-key")
    once(world, key="no-such-key")
    with world.open(own=True) as ledger, ledger.file.write() as connection:
        connection.execute("UPDATE polls SET started_at = started_at - 7200000")
    main_ = world.json("status")["workspaces"]["main"]
    assert main_["seconds_left"] is None, "it rests"
    assert "5 pending, the oldest for 2h" in world.run("status").stdout, "a refusal makes no lead younger"
    with world.open(own=True) as ledger, ledger.file.write() as connection:
        connection.execute("DELETE FROM workspaces")
    assert world.json("status")["workspaces"]["main"]["seconds_left"] == pytest.approx(0.03, abs=0.1)


def test_commands_in_hints_find_the_file_that_was_given(world: World) -> None:
    """Whoever copies one must not act on another configuration."""
    named = f"closingdealz-sync -c {world.config} "
    world.config.write_text("")
    absent = world.folder / "absent.toml"
    for words in (["-c", str(absent), "status"], ["status", "-c", str(absent)]):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 78
        assert f"{absent}: 1 problem in the configuration\n  file: is not there" in result.stderr
        assert f"write it with: closingdealz-sync -c {absent} init" in result.stderr
    world.write_config()
    once(world)
    world.write_config(replace={'key = "id"\nmodified = "updated_at"': 'key = "name"\nmodified = "updated_at"'})
    for words in (["once"], ["status"], ["check"]):
        said = world.run(*words).output
        assert f"{named}ledger rename-stream" in said, words
        assert "closingdealz-sync ledger" not in said
    assert "sudo closingdealz-sync @a paths" in typed("`sudo closingdealz-sync @a paths`", named)


def test_a_need_has_one_pair_of_parentheses() -> None:
    need = Need("drift", "main", "1 record changed after the lead was created (drift)", since=0)
    (line,) = needs_as_lines(Needs((need,)), "x", reasons=False, now=4 * 3_600_000)
    assert line == "1 record changed after the lead was created (drift), for 4h"
    need = Need("daemon", "main", "it was killed", since=0)
    (line,) = needs_as_lines(Needs((need,)), "x", reasons=False, now=4 * 3_600_000)
    assert line == "it was killed (for 4h)"


def test_help_is_a_command_too_and_a_missing_file_names_init() -> None:
    run = CliRunner().invoke
    assert run(main, ["help"]).output == run(main, ["--help"]).output
    assert run(main, ["help", "status"]).output == run(main, ["status", "--help"]).output
    assert "closingdealz-sync -c no-such.toml init" in run(main, ["status", "-c", "no-such.toml"]).output
