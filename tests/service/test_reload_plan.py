"""What a new configuration changes of the one in force, and what of it is refused: decided before anything stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from state.ledger import Ledger
from sync.config.load import load_config
from sync.engine.compiled_config import CompiledConfig
from sync.engine.edited_queries import Comparisons
from sync.engine.engine import Changes, Engine
from sync.engine.reload import Accepted, accept
from sync.shared.errors import LedgerUntrusted, SourceUnavailable
from tests.service.reload_world import Scene, Tenant

A, B = Tenant(of_source='password = { env = "A_PASSWORD" }'), Tenant()
LOOKED_UP = Tenant(of_lead="industry = \"lookup('kinds', name)\"")
KINDS = '[lookups.kinds]\nx = "{}"\n'
HERE, CLOSINGDEALZ = "http://127.0.0.1:1", "https://app.closingdealz.io"


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("A_PASSWORD", "one")
    return Scene(tmp_path, monkeypatch)


NOTHING: tuple[set[str], set[str]] = (set(), set())


@pytest.mark.parametrize(
    ("tenants", "more", "begun"),
    [
        ({"a": A, "b": B}, "", NOTHING),
        ({"b": B, "a": A}, "", NOTHING),
        ({"a": A, "b": B}, '[log]\nlevel = "debug"\n[metrics]\n[service]\nhung_after = "2m"\n', NOTHING),
        ({"a": replace(A, every="7s"), "b": B}, "", ({"a.things"}, set())),
        ({"a": replace(A, of_lead='notes = "note"'), "b": B}, "", ({"a.things"}, set())),
        ({"a": replace(A, of_stream='sweep = "2d"'), "b": B}, "", ({"a.things"}, set())),
        ({"a": replace(A, of_stream='object = "others"'), "b": B}, "", ({"a.things"}, set())),
        ({"a": replace(A, of_workspace="batch_size = 7"), "b": B}, "", (set(), {"a"})),
        ({"a": replace(A, of_workspace="max_pending = 200"), "b": B}, "", (set(), {"a"})),
        ({"a": A, "b": B, "c": Tenant()}, "", ({"c.things"}, {"c"})),
        ({"a": A, "b": B, "c": Tenant(workspace="a")}, "", ({"c.things"}, set())),
        ({"a": A, "b": B}, "[guard]\nmax_new = 9\n", ({"a.things", "b.things"}, set())),
        ({"a": A, "b": B}, KINDS.format("y"), NOTHING),
        ({"b": B}, "", NOTHING),
    ],
    ids=[
        "nothing",
        "order",
        "what is nobody's",
        "interval",
        "mapping",
        "sweep",
        "object",
        "batch size",
        "queue",
        "new tenant",
        "new stream of a workspace",
        "guard of all",
        "look-up table that nobody uses",
        "gone",
    ],
)
def test_what_begins_anew(
    scene: Scene, tenants: dict[str, Tenant], more: str, begun: tuple[Set[str], Set[str]]
) -> None:
    old, new = CompiledConfig.of(scene.write({"a": A, "b": B})), CompiledConfig.of(scene.write(tenants, more))
    streams = Changes.between(old.stream_forms(), new.stream_forms())
    workspaces = Changes.between(old.workspace_forms(), new.workspace_forms())
    assert (streams.begun, workspaces.begun) == begun
    assert streams.ended == (begun[0] & old.specs.keys()) | (old.specs.keys() - new.specs.keys())


def test_a_secret_that_changed_where_it_lies_begins_anew(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    config = scene.write({"a": replace(A, of_workspace="unknown_statuses = [503]"), "b": B})
    old = CompiledConfig.of(config)
    monkeypatch.setenv("A_PASSWORD", "two")
    new = CompiledConfig.of(config)
    assert Changes.between(old.stream_forms(), new.stream_forms()).begun == {"a.things"}
    assert Changes.between(old.workspace_forms(), new.workspace_forms()).begun == set()


def test_a_table_that_a_mapping_looks_up_is_part_of_its_stream(scene: Scene) -> None:
    old, new = (CompiledConfig.of(scene.write({"a": LOOKED_UP, "b": B}, KINDS.format(value))) for value in ("y", "z"))
    assert Changes.between(old.stream_forms(), new.stream_forms()).begun == {"a.things"}


# -- refused


@pytest.fixture
def engine(scene: Scene) -> Iterator[Callable[[dict[str, Tenant]], Engine]]:
    """Of these tenants, each of which has a lead that was created."""
    with ExitStack() as ends:

        def made(tenants: dict[str, Tenant]) -> Engine:
            ledger = ends.enter_context(Ledger(scene.ledger, own=True))
            engine = Engine(CompiledConfig.of(scene.write(tenants)), ledger, client=scene.client, failed=lambda _: None)
            ends.callback(engine.join, 10)
            ends.callback(engine.stop)
            for name, stream in engine.streams.items():
                scene.add(name.split(".")[0], "1")
                stream.turn()
            engine.start_delivery()
            for name in engine.workers:
                scene.wait_created(name, "1")
            return engine

        yield made


def reread(scene: Scene, engine: Engine, tenants: dict[str, Tenant]) -> Accepted:
    scene.write(tenants)
    return accept(load_config(scene.path), engine.plan, engine.ledger, Comparisons())


ELSEWHERE = Tenant(of_source='site = "elsewhere"')
SEES_NOTE = Tenant(of_lead='notes = "note"')

REFUSED: dict[str, tuple[dict[str, Tenant], list[str], Callable[[CompiledConfig], Any], Any]] = {
    "another site": (
        {"a": ELSEWHERE, "b": SEES_NOTE},
        ["a"],
        lambda plan: (plan.config.sources["a"].options.model_dump()["site"], plan.stream("b.things").lead.notes),
        ("here", "note"),
    ),
    "a new name": (
        {"a": Tenant(source="renamed"), "b": SEES_NOTE},
        ["a", "renamed"],
        lambda plan: (sorted(plan.specs), plan.stream("b.things").lead.notes),
        (["a.things", "b.things"], "note"),
    ),
    "a new name of a stream": (
        {"a": Tenant(stream="renamed"), "b": SEES_NOTE},
        ["a"],
        lambda plan: (sorted(plan.specs), plan.stream("b.things").lead.notes),
        (["a.things", "b.things"], "note"),
    ),
    "another workspace": (
        {"a": Tenant(workspace="b"), "b": SEES_NOTE},
        ["a"],
        lambda plan: (plan.config.workspaces.keys(), plan.stream("b.things").lead.notes),
        ({"a", "b"}, "note"),
    ),
    "another address, which the leads must not go to": (
        {"a": Tenant(url=CLOSINGDEALZ), "b": SEES_NOTE},
        ["a"],
        lambda plan: (plan.config.workspaces["a"].base_url, plan.stream("b.things").lead.notes),
        (HERE, "note"),
    ),
    "a workspace of its own account now, which a new source feeds, too": (
        {"a": replace(ELSEWHERE, key="key-of-another"), "b": SEES_NOTE, "c": Tenant(workspace="a")},
        ["a", "c"],
        lambda plan: (plan.api_keys["a"].reveal(), sorted(plan.specs), plan.stream("b.things").lead.notes),
        ("key-of-a", ["a.things", "b.things"], "note"),
    ),
    "a workspace that is the same, which a new source feeds, too": (
        {"a": ELSEWHERE, "b": SEES_NOTE, "c": Tenant(workspace="a")},
        ["a"],
        lambda plan: sorted(plan.specs),
        ["a.things", "b.things", "c.things"],
    ),
    "another first workspace": (
        {"b": SEES_NOTE, "a": ELSEWHERE},
        ["a"],
        lambda plan: [each.workspace for each in plan.declared],
        ["b", "a"],
    ),
    "a new tenant that looks like a known one": (
        {"a": Tenant(), "b": Tenant(source="renamed"), "c": Tenant()},
        ["b", "renamed"],
        lambda plan: sorted(plan.specs),
        ["a.things", "b.things", "c.things"],
    ),
}


@pytest.mark.parametrize(("edit", "refused", "looked_at", "expected"), REFUSED.values(), ids=REFUSED)
def test_a_part_keeps_its_old_form(
    scene: Scene,
    engine: Callable[[dict[str, Tenant]], Engine],
    edit: dict[str, Tenant],
    refused: list[str],
    looked_at: Callable[[CompiledConfig], Any],
    expected: Any,
) -> None:
    made = engine({"a": Tenant(), "b": Tenant()})
    before = made.ledger.streams.all()
    accepted = reread(scene, made, edit)
    assert sorted(each.source for each in accepted.refused) == refused
    assert looked_at(accepted.plan) == expected
    assert made.ledger.streams.all() == before, "nothing is registered before all is decided"
    fresh = made.prepare(accepted.plan, accepted.edited)
    assert "a.things" not in fresh.of_streams.begun
    fresh.discard()
    made.restore()
    assert made.ledger.streams.all()["b.things"].mapping == before["b.things"].mapping


def test_an_edited_query_whose_source_is_away_keeps_only_that_source(
    scene: Scene, engine: Callable[[dict[str, Tenant]], Engine]
) -> None:
    made = engine({"a": Tenant(), "b": Tenant()})
    scene.gate("a").error = SourceUnavailable("no answer")
    edit = {"a": Tenant(of_stream='object = "others"'), "b": SEES_NOTE}
    accepted = reread(scene, made, edit)
    assert [(each.source, each.error.message) for each in accepted.refused] == [("a", "no answer")]
    assert accepted.plan.stream("b.things").lead.notes == "note"
    scene.gate("a").error = None
    accepted = reread(scene, made, edit)
    assert not accepted.refused
    assert [each.stream for each in accepted.edited] == ["a.things"]


@pytest.mark.parametrize(
    "edit",
    [
        {"a": ELSEWHERE},
        {"renamed": Tenant(source="a", key="key-of-a"), "b": SEES_NOTE},
    ],
    ids=["no other source", "a kept workspace's key is another's"],
)
def test_where_old_and_new_do_not_go_together_all_is_refused(
    scene: Scene, engine: Callable[[dict[str, Tenant]], Engine], edit: dict[str, Tenant]
) -> None:
    with pytest.raises(LedgerUntrusted, match=r"the stream a\.things is not the one that the ledger remembers"):
        reread(scene, engine({"a": Tenant(), "b": Tenant()}), edit)
