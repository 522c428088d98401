"""What arrived stays, whatever happens to the process, and the figures over it are right."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.trial.sandbox import reports
from sync.trial.sandbox.running import RunningSandbox, start
from sync.trial.sandbox.settings import SandboxError, SandboxOptions
from sync.trial.sandbox.store import Arrival, Store
from tests.sandbox.conftest import Post


def lead(name: str) -> dict[str, object]:
    return {"isContact": False, "name": name}


def test_what_was_answered_survives_kill_9_and_is_carried_on(post: Post, tmp_path: Path) -> None:
    options = SandboxOptions(port=0, store=tmp_path / "kept.db", plan="free")
    first = start(options)
    try:
        for n in range(30):
            assert post(first, [lead(f"{n}/{m}") for m in range(5)]).status_code == 200
        first.set_faults(script=["timeout-after:50ms"])
        with pytest.raises(httpx.RemoteProtocolError):
            post(first, [lead("nobody was told")])
    finally:
        first.kill()
    names = [f"{n}/{m}" for n in range(30) for m in range(5)] + ["nobody was told"]
    assert [row["lead"]["name"] for row in first.leads()] == names
    with start(first.options) as second:
        assert second.url == first.url
        assert post(second, [lead("more")] * 50).status_code == 400, "the plan's count goes on"
        assert post(second, [lead("more")]).status_code == 200
        assert [row["lead"]["name"] for row in second.leads()] == [*names, "more"]


def test_duplicates_are_identical_leads_of_one_key(post: Post, tmp_path: Path) -> None:
    with start(SandboxOptions(port=0, keys=("a", "b"))) as running:
        post(running, [lead("x"), lead("x"), lead("y")], key="a")
        post(running, [{"name": "x", "isContact": False}], key="a")
        post(running, [lead("x"), lead("X")], key="b")
        assert (running.stats()["created_leads"], running.stats()["duplicates"]) == (6, 2)
        assert sorted(running.stats()["leads_by_key"].values()) == [2, 4]


def test_no_key_is_kept(post: Post, tmp_path: Path) -> None:
    path = tmp_path / "kept.db"
    with start(SandboxOptions(port=0, store=path, keys=("very-secret-key",))) as running:
        post(running, [lead("x")], key="very-secret-key")
        post(running, [lead("x")], key="another-secret")
        kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"secret" not in kept
        assert len({row["key"] for row in running.requests()}) == 2
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_of_its_own_goes_with_it(post: Post) -> None:
    running = start()
    folder = running.store_path.parent
    assert post(running, [lead("x")]).status_code == 200
    running.stop()
    running.stop()
    assert len(running.leads()) == 1, "still readable after its end"
    del running
    assert not folder.exists()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "ledger.db"
    with sqlite3.connect(database) as made:
        made.execute("create table precious (x)")
    made.close()
    text = tmp_path / "notes.txt"
    text.write_text("precious " * 200)
    before = database.read_bytes()
    for path in (database, text, tmp_path):
        with pytest.raises(SandboxError):
            Store(path)
    with pytest.raises(SandboxError, match="is not a sandbox's file"):
        start(SandboxOptions(port=0, store=database))
    assert database.read_bytes() == before


def test_looking_in_from_both_sides_disturbs_nothing(sandbox: RunningSandbox, client: httpx.Client, post: Post) -> None:
    for n in range(1, 6):
        assert post(sandbox, [lead("x")]).status_code == 200
        assert client.get(f"{sandbox.url}/_sandbox/stats").json()["created_leads"] == n
        assert sandbox.stats()["created_leads"] == n
        assert client.get(f"{sandbox.url}/_sandbox/leads").json()["total"] == n


def test_the_figures(tmp_path: Path) -> None:
    store = Store(tmp_path / "kept.db")
    second = 1_000_000
    for at, standing, status, fault in [
        (0, "stranger", 401, None),
        (1, "admitted", 200, None),
        (2, "admitted", None, "timeout-after"),
        (3, "limited", 429, None),
        (60, "struck", 429, "429"),
        (61, "admitted", 500, "500"),
        (62, "admitted", 200, None),
    ]:
        created = [lead("x")] if status in (200, None) else []
        arrival = Arrival(at * second, "k", standing, status, 1, 10, fault, ["emial"] if at == 62 else ())
        store.add(arrival, created)
    store.add(Arrival(62 * second, "other", "admitted", 200, 1, 10), [lead("x")])
    store.close()
    assert reports.stats(store.path, 60) == {
        "requests": 8,
        "by_status": {"200": 3, "401": 1, "429": 2, "500": 1, "none": 1},
        "too_many_requests": 2,
        "limited": 1,
        "faults": {"429": 1, "500": 1, "timeout-after": 1},
        "created_leads": 4,
        "duplicates": 2,
        "leads_by_key": {"k": 3, "other": 1},
        # (0, 60] holds 1, 2, 3 and 60; (1, 61] and (2, 62] hold as many.
        "max_in_window": 4,
        "max_admitted_in_window": 2,
        "window_seconds": 60,
        "unknown_fields": {"emial": 1},
    }


@given(gaps=st.lists(st.integers(0, 9), max_size=40), window=st.integers(1, 25))
def test_the_busiest_window_is_found(gaps: list[int], window: int) -> None:
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    busiest = max((sum(1 for t in times if end - window < t <= end) for end in times), default=0)
    assert reports.most_in_window(times, window) == busiest


def test_options_are_checked_before_anything_starts(tmp_path: Path) -> None:
    good = SandboxOptions(port=0)
    for wrong in (
        {"host": "0.0.0.0"},
        {"host": "example.com"},
        {"keys": ()},
        {"limit": 0},
        {"latency": (0.2, 0.1)},
        {"faults": {"429": 2.0}},
        {"script": "nonsense"},
        {"plan": "gold"},
    ):
        with pytest.raises(ValueError):
            replace(good, **wrong)
