"""A reload touches only what changed: who hangs, rests or is refused holds up nobody else, and no signal is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.delivery.outcome import ApiResponse
from sync.service.notices import KEPT
from sync.shared.errors import ConfigError, SourceRefused, SourceUnavailable
from tests.patience import PATIENCE
from tests.proof.harness import until
from tests.service.reload_world import Scene, Tenant
from tests.service.service_world import Manager

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
    """A query was edited, so records are compared, and their source hangs: others' edits come into force all the same,
    and its own once it answers."""
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
    assert "READY" in manager.wait_for("READY")
    assert scene.wait_for("config_reloaded")["refused"] == ["a"]
    assert "has not answered yet" in told(scene)["sources.a"]
    scene.write({"a": Tenant(of_stream='object = "others"'), "b": EDITED, "c": Tenant()})
    scene.say(signal.SIGHUP, signal.SIGHUP)
    said = scene.wait_for("config_reloaded", 2)
    assert (said["changed"], said["refused"]) == (["b.things", "c", "c.things"], ["a"])
    scene.add("c", "1")
    scene.wait_created("c", "1")
    gate.let_go.set()
    said = scene.wait_for("config_reloaded", 3)
    assert (said["changed"], said["refused"]) == (["a.things"], None)
    assert told(scene) == {}

    gate.let_go.clear()
    gate.fetching.clear()
    scene.write({"a": Tenant()})
    scene.say(signal.SIGHUP)
    assert gate.fetching.wait(PATIENCE)
    scene.stop()
    assert len(scene.heard("config_reloaded")) == 3, "alone, it waits for its source"
    assert scene.heard("stopped")


def test_who_reloads_may_have_done_what_a_rest_waits_for(scene: Scene) -> None:
    """Wrong keys and refused sources are tried again at once; servers that are ill keep their rest."""
    ill = ApiResponse(503, b"", 7200.0)
    answers = {"key": ApiResponse(401, b'{"succeeded": false, "message": "Invalid API key."}'), "ill": ill}
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
    assert told(scene) == {"sources.a": f"{KEPT}{refused['error']}"}
    assert scene.reload({"a": Tenant(), "b": EDITED, "c": Tenant()})["changed"] is None, "it is as it was"
    assert told(scene) == {}
    scene.stop()


def test_an_edited_query_that_hangs_holds_up_no_other_at_a_start(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes into force by itself once its source answers."""
    monkeypatch.setattr("sync.engine.edited_queries.AT_ONCE", 0.0)
    for name in ("a", "b"):
        scene.add(name, "1")
    scene.write({"a": Tenant(), "b": Tenant()})
    scene.start()
    scene.wait_created("a", "1")
    scene.wait_created("b", "1")
    scene.stop()

    again = Scene(tmp_path, monkeypatch)
    try:
        again.add("a", "1")
        again.add("b", "1")
        again.gate("a").let_go.clear()
        again.write({"a": Tenant(of_stream='object = "others"'), "b": Tenant()})
        again.start()
        assert again.gate("a").fetching.wait(PATIENCE)
        again.add("b", "2")
        again.wait_created("b", "2")
        assert sorted(again.engine.streams) == ["b.things"]
        again.wait_for("part_refused")
        assert "has not answered yet" in told(again)["sources.a"]
        again.gate("a").let_go.set()
        again.add("a", "2")
        again.wait_created("a", "2")
        until(lambda: told(again) == {}, "the end of what was told")
        assert again.way("a").created == ["Firm 2"], "what is known is not sent again"
        again.stop()
    finally:
        again.close()


def told(scene: Scene) -> dict[str, str]:
    """What `status` says of reloads that were refused."""
    return {each.subject: each.cause for each in scene.engine.ledger.incidents.all() if each.kind == "config"}


def test_a_request_that_gets_no_thread_ends_the_daemon_at_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never began, so the end does not wait for it."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "post":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    scene.add("a", "1")
    scene.write({"a": Tenant()})
    scene.start()
    scene.join()
    assert isinstance(scene.error, RuntimeError)
    assert scene.way("a").requests == 0


WITH_SECRET = {"a": Tenant(), "b": Tenant(of_source='password = { env = "B_PASSWORD" }')}


def write_with_key(scene: Scene, tenants: dict[str, Tenant]) -> None:
    """The key of workspace b is in the environment."""
    scene.write(tenants)
    scene.write_text(scene.path.read_text().replace('"key-of-b"', '{ env = "B_KEY" }'))


@pytest.mark.parametrize("missing", ["B_PASSWORD", "B_KEY"])
def test_a_secret_that_is_gone_at_a_reload_holds_up_only_its_part(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Which goes on with the one that it has, and is in force as the file has it once that is there again."""
    monkeypatch.setenv("B_PASSWORD", "hunter2")
    monkeypatch.setenv("B_KEY", "key-of-b")
    write_with_key(scene, WITH_SECRET)
    scene.start()
    stream = scene.engine.streams["b.things"]
    monkeypatch.delenv(missing)
    write_with_key(scene, {"a": EDITED, "b": WITH_SECRET["b"], "c": Tenant()})
    scene.say(signal.SIGHUP)
    said = scene.wait_for("config_reloaded")
    assert (said["changed"], said["refused"]) == (["a.things", "c", "c.things"], ["b"])
    assert scene.engine.streams["b.things"] is stream
    for name in ("a", "b", "c"):
        scene.add(name, "1")
        scene.wait_created(name, "1")
    (refused,) = scene.heard("part_refused")
    assert f"the environment variable {missing} is not set" in refused["error"]
    assert f"export {missing}=" in refused["hint"]
    assert told(scene) == {"sources.b": f"{KEPT}{refused['error']}"}
    assert "hunter2" not in str(scene.events)
    monkeypatch.setenv(missing, {"B_KEY": "key-of-b", "B_PASSWORD": "hunter3"}[missing])
    scene.say(signal.SIGHUP)
    assert scene.wait_for("config_reloaded", 2)["refused"] is None
    assert told(scene) == {}
    scene.stop()


@pytest.mark.parametrize("missing", ["B_PASSWORD", "B_KEY"])
def test_a_secret_that_is_missing_at_the_start_leaves_its_part_out(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setenv("B_PASSWORD", "hunter2")
    monkeypatch.setenv("B_KEY", "key-of-b")
    monkeypatch.delenv(missing)
    write_with_key(scene, {"b": WITH_SECRET["b"], "a": Tenant()})
    scene.add("a", "1")
    scene.add("b", "1")
    scene.start()
    scene.wait_created("a", "1")
    assert sorted(scene.engine.streams) == ["a.things"]
    (refused,) = scene.heard("part_refused")
    assert refused["source"] == "b"
    assert f"the environment variable {missing} is not set" in refused["error"]
    assert told(scene) == {"sources.b": f"it is left out, the others are in force: {refused['error']}"}
    monkeypatch.setenv(missing, {"B_KEY": "key-of-b", "B_PASSWORD": "hunter2"}[missing])
    scene.say(signal.SIGHUP)
    assert "b.things" in scene.wait_for("config_reloaded")["changed"]
    scene.wait_created("b", "1")
    assert told(scene) == {}
    scene.stop()
    assert scene.way("a").created == ["Firm 1"]


def test_where_no_source_has_its_secret_the_start_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("B_PASSWORD", raising=False)
    scene.write({"b": WITH_SECRET["b"]})
    with pytest.raises(AssertionError):
        scene.start()
    scene.join()
    assert isinstance(scene.error, ConfigError)
    assert "B_PASSWORD is not set" in scene.error.message
    assert scene.error.message.count("then reload (a file)") == 1
    assert scene.error.exit_code == 78
    assert not scene.ledger.exists()


def test_a_new_source_without_its_secret_is_left_out_of_a_reload(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("B_PASSWORD", raising=False)
    monkeypatch.delenv("B_KEY", raising=False)
    scene.write({"a": Tenant()})
    scene.start()
    write_with_key(scene, {"b": WITH_SECRET["b"], "a": EDITED})
    scene.say(signal.SIGHUP)
    said = scene.wait_for("config_reloaded")
    assert (said["changed"], said["refused"]) == (["a.things"], ["b"])
    assert list(scene.engine.workers) == ["a"]
    assert "B_PASSWORD" in told(scene)["sources.b"]
    assert "B_KEY" in told(scene)["sources.b"]
    scene.stop()
