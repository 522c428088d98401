"""A reload touches only what changed: who hangs, rests or is refused holds up nobody else, and no signal is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from reload_world import Scene, Tenant
from service_world import Manager

from sync.delivery.outcome import Answer
from sync.errors import SourceRefused, SourceUnavailable
from tests.patience import PATIENCE
from tests.proof.harness import until

EDITED = Tenant(of_lead='notes = "note"')
OTHER_WORKSPACE = Tenant(of_workspace="batch_size = 7")


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene(tmp_path, monkeypatch)
    yield made
    made.close()


def test_a_request_that_hangs_holds_up_only_its_own_workspace(scene: Scene) -> None:
    """It goes on untouched where its workspace is the same, and is waited for where that was changed."""
    scene.add("a", "1")
    scene.add("c", "1")
    for name in ("a", "c"):
        scene.way(name).let_go.clear()
    scene.write({"a": Tenant(), "b": Tenant(), "c": Tenant()})
    scene.start()
    assert scene.way("a").asked.wait(PATIENCE)
    assert scene.way("c").asked.wait(PATIENCE)
    before, stream = dict(scene.engine.workers), scene.engine.streams["a.things"]

    scene.add("b", "1")
    scene.add("d", "1")
    said = scene.reload({"a": Tenant(), "b": EDITED, "c": OTHER_WORKSPACE, "d": Tenant()})
    assert (said["changed"], said["refused"]) == (["b.things", "c", "d", "d.things"], None)
    scene.wait_created("b", "1")
    scene.wait_created("d", "1")
    assert scene.engine.workers["a"] is before["a"]
    assert scene.engine.workers["b"] is before["b"], "its stream changed, not the workspace"
    assert scene.engine.streams["a.things"] is stream
    changed = scene.engine.workers["c"]
    assert changed is not before["c"]
    assert not changed.is_alive, "the former worker's verdict is awaited"
    until(lambda: scene.engine.in_flight == 2, "the verdicts of all others")

    for name in ("a", "c"):
        scene.way(name).let_go.set()
    until(lambda: changed.is_alive, "the changed worker")
    scene.add("c", "2")
    scene.wait_created("c", "1", "2")
    scene.wait_created("a", "1")
    scene.stop()
    assert {name: way.created for name, way in scene.ways.items()} == {
        "a": ["Firm 1"],
        "b": ["Firm 1"],
        "c": ["Firm 1", "Firm 2"],
        "d": ["Firm 1"],
    }


def test_what_is_the_same_is_not_even_touched(scene: Scene) -> None:
    """Neither its connection nor its next turn, however often a reload is asked for."""
    scene.add("a", "1")
    scene.write({"a": Tenant(every="1h"), "b": Tenant()})
    scene.start()
    scene.wait_created("a", "1")
    until(lambda: scene.heard("sweep"), "the end of the first turn")
    until(lambda: not scene.engine.streams["a.things"].is_busy, "the end of the first turn")
    polls = len([each for each in scene.heard("poll") if each["stream"] == "a.things"])
    for number in range(5):
        said = scene.reload({"a": Tenant(every="1h"), "b": Tenant(of_lead=f"notes = \"'{number}'\"")})
        assert said["changed"] == ["b.things"]
    assert (scene.gate("a").opened, scene.gate("a").closed) == (1, 0)
    assert len([each for each in scene.heard("poll") if each["stream"] == "a.things"]) == polls
    scene.stop()


@pytest.mark.parametrize("patience", [30.0, 0.0], ids=["waits for its end", "and not for ever"])
def test_a_poll_that_hangs_is_followed_by_one_under_the_new_rules(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    """What the old one reads in the end is not committed."""
    monkeypatch.setattr("sync.polling.turns.TURN_PATIENCE", patience)
    gate = scene.gate("a")
    gate.records.append("1")
    gate.let_go.clear()
    scene.write({"a": Tenant()})
    scene.start()
    assert gate.reading.wait(PATIENCE)
    gate.reading.clear()
    old = scene.engine.streams["a.things"]
    scene.reload({"a": EDITED})
    if patience:
        assert not gate.reading.is_set()
    else:
        assert gate.reading.wait(PATIENCE), "a second turn, beside the old one"
        assert old.is_busy
    gate.let_go.set()
    scene.wait_created("a", "1")
    until(lambda: not old.is_busy, "the end of the old turn")
    scene.stop()
    assert scene.way("a").created == ["Firm 1"]
    assert [each["read"] for each in scene.heard("poll") if each["kind"] == "poll"].count(1) == 1


def test_a_signal_during_a_reload_is_neither_lost_nor_kept_waiting(scene: Scene, manager: Manager) -> None:
    """A query was edited, so records are compared, and their source hangs."""
    scene.add("a", "1")
    scene.write({"a": Tenant(), "b": Tenant()})
    scene.start(manager)
    scene.wait_created("a", "1")
    gate = scene.gate("a")
    gate.let_go.clear()
    manager.heard()
    scene.write({"a": Tenant(of_stream='object = "others"'), "b": Tenant()})
    scene.say(signal.SIGHUP)
    assert gate.fetching.wait(PATIENCE)
    assert "RELOADING" in manager.wait_for("RELOADING")
    scene.write({"a": Tenant(of_stream='object = "others"'), "b": EDITED})
    scene.say(signal.SIGHUP, signal.SIGHUP)
    scene.add("b", "1")
    scene.wait_created("b", "1")  # nobody else waits
    assert not scene.heard("config_reloaded")
    gate.let_go.set()
    assert scene.wait_for("config_reloaded")["changed"] == ["a.things"]
    assert scene.wait_for("config_reloaded", 2)["changed"] == ["b.things"], "the second signal counted, and once"
    told: list[str] = []
    while told.count("READY") < 2:
        told += {"READY", "RELOADING"} & manager.next().keys()
    assert told == ["READY", "RELOADING", "READY"]

    gate.let_go.clear()
    gate.fetching.clear()
    scene.write({"a": Tenant(), "b": EDITED})
    scene.say(signal.SIGHUP)
    assert gate.fetching.wait(PATIENCE)
    scene.stop()
    assert len(scene.heard("config_reloaded")) == 2
    assert scene.heard("stopped")


def test_who_reloads_may_have_done_what_a_rest_waits_for(scene: Scene) -> None:
    """Wrong keys and refused sources are tried again at once; servers that are ill keep their rest."""
    ill = Answer(503, b"", 7200.0)
    answers = {"key": Answer(401, b'{"succeeded": false, "message": "Invalid API key."}'), "ill": ill}
    for name, answer in answers.items():
        scene.add(name, "1")
        scene.way(name).answer = answer
    scene.gate("refused").error = SourceRefused("no such user")
    scene.gate("away").error = SourceUnavailable("no answer")
    tenants = {name: Tenant() for name in ("key", "ill", "refused", "away")}
    scene.write(tenants)
    scene.start()
    scene.wait_for("workspace_rests", 2)
    scene.wait_for("poll_failed", 2)
    scene.reload(tenants)
    assert {each["workspace"] for each in scene.heard("workspace_rests")} == {"key", "ill"}
    until(lambda: scene.way("key").requests == 2, "another request")
    until(lambda: len(scene.heard("poll_failed")) == 3, "another poll")
    assert [each["stream"] for each in scene.heard("poll_failed")].count("refused.things") == 2
    scene.stop()
    assert scene.way("ill").requests == 1
    assert [each["stream"] for each in scene.heard("poll_failed")].count("away.things") == 1


def test_a_part_that_is_refused_holds_up_no_other(scene: Scene) -> None:
    scene.add("a", "1")
    scene.write({"a": Tenant(), "b": Tenant()})
    scene.start()
    scene.wait_created("a", "1")
    stream = scene.engine.streams["a.things"]
    said = scene.reload({"a": Tenant(of_source='site = "elsewhere"'), "b": EDITED, "c": Tenant()})
    assert (said["changed"], said["refused"]) == (["b.things", "c", "c.things"], ["a"])
    (refused,) = scene.heard("part_refused")
    assert (refused["source"], refused["stream"], refused["workspaces"]) == ("a", "a.things", ["a"])
    assert "site was 'here', is now 'elsewhere'" in refused["error"]
    assert "rename-stream a.things a.things" in refused["hint"]
    assert scene.engine.streams["a.things"] is stream
    assert told(scene) == {"sources.a": refused["error"]}
    assert scene.reload({"a": Tenant(), "b": EDITED, "c": Tenant()})["changed"] is None, "it is as it was"
    assert told(scene) == {}
    scene.stop()


def told(scene: Scene) -> dict[str, str]:
    """What `status` says of reloads that were refused."""
    return {each.subject: each.cause for each in scene.engine.ledger.incidents.all() if each.kind == "config"}


def test_a_request_that_gets_no_thread_ends_the_daemon_at_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never began, so the end does not wait for it."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "send-a":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    scene.add("a", "1")
    scene.write({"a": Tenant()})
    scene.start()
    scene.join()
    assert isinstance(scene.error, RuntimeError)
    assert scene.way("a").requests == 0
