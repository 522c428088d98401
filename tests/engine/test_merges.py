"""People that are merged at their source, through the whole engine: one person, one lead, whatever the order."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.registry import CONNECTORS
from state.ledger import Ledger
from sync.config.load import load_config
from sync.engine.compiled_config import CompiledConfig
from sync.engine.engine import Engine
from sync.engine.round import Round, Summary
from sync.trial.configuration import source_table, stream_tables, workspace_tables
from sync.trial.sandbox.running import RunningSandbox
from tests.engine import merging_connector
from tests.engine.merging_connector import Crm

LEAD = {"kind": "contact", "name": "name", "emails": "[email]"}


class World:
    def __init__(self, folder: Path, sandbox: RunningSandbox) -> None:
        self.folder, self.sandbox, self.crm = folder, sandbox, Crm()
        self.write()

    def write(self, on_change: str = "hold") -> None:
        path = self.folder / "config.toml"
        path.write_text(
            workspace_tables(self.sandbox.url, {"linger": "0s"})
            + source_table("crm", "merging", {})
            + stream_tables("crm.people", {"on_change": on_change, "match_on": ["email"]}, LEAD)
        )

    def round(self, *faults: str) -> Summary:
        """One round; these are the server's first answers."""
        self.sandbox.set_faults({}, script=[*faults, "ok*"])
        config = load_config(self.folder / "config.toml")
        with Ledger(config.ledger_path, own=True) as ledger:
            return Round(config, ledger).run()

    def poll(self) -> None:
        """Only read: everything waits."""
        config = load_config(self.folder / "config.toml")
        with Ledger(config.ledger_path, own=True) as ledger:
            engine = Engine(CompiledConfig.of(config), ledger)
            engine.streams["crm.people"].turn()
            engine.close()

    def states(self) -> dict[str, str]:
        with Ledger(self.folder / "ledger.db") as ledger, ledger.file.read() as connection:
            return {row["id"]: row["state"] for row in connection.execute("SELECT id, state FROM records")}

    def settle(self, *, landed: bool) -> None:
        with Ledger(self.folder / "ledger.db") as ledger:
            for each in ledger.verdicts.in_doubt():
                ledger.verdicts.resolve(str(each["name"]), landed=landed, note="looked")

    def created(self) -> list[str]:
        return [str(row["lead"]["name"]) for row in self.sandbox.leads()]


@pytest.fixture
def world(tmp_path: Path, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, sandbox)
    monkeypatch.setitem(CONNECTORS, "merging", "tests.engine.merging_connector")
    monkeypatch.setattr(merging_connector, "CRM", made.crm)
    return made


@pytest.mark.parametrize("survivor_first", [True, False])
def test_a_survivor_of_one_who_was_delivered_is_known(world: World, survivor_first: bool) -> None:
    world.crm.save("a", "a@x.example")
    world.round()
    if survivor_first:
        world.crm.save("s", "s@x.example")
        world.crm.merge("a", "s")
    else:
        world.crm.merge("a", "s")
        world.round()
        world.crm.save("s", "s@x.example")
    summary = world.round()
    assert summary.states["known"] == summary.states["delivered"] == 1
    assert world.created() == ["Person a"]


def test_one_who_waits_is_withdrawn_and_the_survivor_sent(world: World) -> None:
    for id_ in ("a", "s"):
        world.crm.save(id_, f"{id_}@x.example")
    world.poll()
    world.crm.merge("a", "s")
    world.poll()
    world.round()
    assert world.states() == {"a": "withdrawn", "s": "delivered"}
    assert world.created() == ["Person s"]


def test_a_merge_and_a_value_in_common_are_told_apart(world: World) -> None:
    """The survivor was a duplicate of somebody else; now it is known by its loser, whose duplicates stay that."""
    for id_, email in (("a", "a@x.example"), ("other", "o@x.example"), ("s", "o@x.example"), ("d", "a@x.example")):
        world.crm.save(id_, email)
    world.round()
    assert world.states() == {"a": "delivered", "other": "delivered", "s": "duplicate", "d": "duplicate"}
    world.crm.merge("a", "s")
    world.round()
    world.crm.save("s", "new@x.example")
    summary = world.round()
    assert world.states() == {"a": "delivered", "other": "delivered", "s": "known", "d": "duplicate"}
    assert summary.totals["drifted"] == 1
    assert world.created() == ["Person a", "Person other"]


@pytest.mark.parametrize("landed", [True, False])
def test_a_survivor_waits_for_the_verdict_on_its_loser(world: World, landed: bool) -> None:
    world.crm.save("a", "a@x.example")
    world.round("reset-after" if landed else "500")
    world.crm.merge("a", "s")
    world.crm.save("s", "s@x.example")
    world.round()
    assert world.states() == {"a": "in_doubt", "s": "duplicate"}
    world.settle(landed=landed)
    world.round()
    expected = {"a": "delivered", "s": "known"} if landed else {"a": "withdrawn", "s": "delivered"}
    assert world.states() == expected
    assert world.created() == (["Person a"] if landed else ["Person s"])


def test_a_merge_that_makes_a_new_record_sends_it_once_or_never(world: World) -> None:
    world.crm.save("a", "a@x.example")
    world.crm.save("b", "b@x.example")
    world.round()
    world.crm.save("c", "c@x.example")
    world.crm.save("d", "d@x.example")
    world.poll()
    for loser, survivor in (("a", "ac"), ("c", "ac"), ("d", "dd")):
        world.crm.merge(loser, survivor)
    for id_ in ("ac", "dd"):
        world.crm.save(id_, f"{id_}@x.example")
    world.poll()
    world.round()
    assert world.states() == {
        "a": "delivered",
        "b": "delivered",
        "c": "withdrawn",
        "d": "withdrawn",
        "ac": "known",
        "dd": "delivered",
    }
    assert sorted(world.created()) == ["Person a", "Person b", "Person dd"]


def test_a_change_of_a_known_survivor_obeys_on_change_and_a_merge_sends_nothing(world: World) -> None:
    world.write("resend")
    world.crm.save("a", "a@x.example")
    world.round()
    world.crm.merge("a", "s")
    world.crm.save("s", "s@x.example")
    world.round()
    world.round()
    assert world.created() == ["Person a"]
    world.crm.save("s", "s@x.example", name="Person s, renamed")
    world.round()
    assert world.created() == ["Person a", "Person s, renamed"]


def test_merges_in_a_circle_end(world: World) -> None:
    world.crm.save("a", "a@x.example")
    world.round()
    world.crm.save("b", "b@x.example")
    world.crm.save("c", "c@x.example")
    world.poll()
    for loser, survivor in (("a", "b"), ("b", "c"), ("c", "a")):
        world.crm.merge(loser, survivor)
    world.crm.save("a", "a@x.example", name="a again")
    world.poll()
    world.round()
    world.round()
    assert world.states() == {"a": "delivered", "b": "withdrawn", "c": "withdrawn"}
    assert len(world.created()) == 1
