"""Every record arrives, once; what did not change costs nothing; what changed does what the configuration says."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from tests.proof.harness import OLD, TABLE, World, after_old, config_text, until

LATER = after_old(30)
LATE = after_old(-300)  # below the cursor, within the overlap of ten minutes


def changed(world: World, number: int, at: str = LATER) -> None:
    world.source.execute("update companies set employees = employees + 1, updated_at = ? where id = ?", at, number)


def test_any_number_of_ties_arrive_once_and_then_cost_nothing(world: World) -> None:
    """5,000 rows of one timestamp are 25 pages of 200."""
    world.source.add(range(1, 5_001))
    world.write(connection="page_size = 200")
    done = world.once()
    assert done.code == 0, done.stderr[-3000:]
    assert world.names() == world.source.names()
    assert world.requests() == 50
    again = world.once()
    assert again.code == 0
    assert world.requests() == 50
    assert done.summary["balanced"] is again.summary["balanced"] is True


def test_changes_under_hold(world: World) -> None:
    """Late rows and rows without a date arrive; a change is listed as drift; a touch is nothing; and none of it sends
    what was sent before."""
    world.source.add(range(1, 301))
    world.source.add(range(301, 304), at=None)
    world.write()
    assert world.once().code == 0
    assert world.names() == world.source.names()

    before = world.requests()
    world.source.add([400], at=LATE)
    changed(world, 7)
    world.source.execute("update companies set updated_at = ? where id = 8", LATER)
    second = world.once()
    assert world.names() == world.source.names()
    assert world.requests() == before + 1
    assert second.summary["drifted"] == 1
    assert world.query("select id from records where drift = 1") == [("7",)]

    # changed back to what was sent: no drift any more
    world.source.execute("update companies set employees = employees - 1, updated_at = ? where id = 7", LATER)
    world.once()
    assert world.query("select id from records where drift = 1") == []
    assert world.requests() == before + 1


def test_changes_under_resend(world: World) -> None:
    """A change makes one more lead, with its label; a touch and a mapping edit make none, not even together with a
    change."""
    world.source.add(range(1, 101))
    resend = {"on_change": "resend", "stream": 'resend_label = "updated"'}
    world.write(**resend)
    assert world.once().code == 0
    before = world.requests()
    changed(world, 7)
    world.source.execute("update companies set updated_at = ? where id = 8", LATER)
    assert world.once().code == 0
    assert world.names() - world.source.names() == Counter({"Company 7": 1})
    assert [row["lead"].get("labels") for row in world.sandbox.leads('Company 7"')] == [None, ["updated"]]
    assert world.requests() == before + 1

    world.write(**resend, lead="labels = [\"'erp'\"]")
    changed(world, 9, at=after_old(40))
    edited = world.once()
    assert world.requests() == before + 1
    assert edited.summary["drifted"] == 1
    # the next change is one under one mapping: it counts
    changed(world, 10, at=after_old(50))
    world.once()
    assert world.requests() == before + 2


def test_another_identity_is_refused(world: World) -> None:
    """Under another key, table, workspace or name the same records would be sent as if they were new."""
    world.source.add(range(1, 4))
    world.source.execute(TABLE.replace("companies", "others"))
    text = config_text(world.source.url, world.sandbox.url, stream='workspace = "main"')
    text += '[workspaces.second]\napi_key = "another-key"\n'
    world.write_text(text)
    assert world.once().code == 0
    for was, now in (
        ('key = "id"', 'key = "email"'),
        ('table = "companies"', 'table = "others"'),
        ('workspace = "main"', 'workspace = "second"'),
        ("streams.companies", "streams.renamed"),
    ):
        assert was in text
        world.write_text(text.replace(was, now))
        refused = world.once()
        assert refused.code == 78, now
        assert "ledger rename-stream erp.companies" in refused.stderr
    assert world.requests() == 1


def test_a_trial_against_the_sandbox_is_not_taken_for_what_closingdealz_has(world: World) -> None:
    world.source.add(range(1, 4))
    world.write()
    assert world.once().code == 0
    text = world.config.read_text()
    world.write_text(text.replace(world.sandbox.url, "https://app.closingdealz.io"))
    refused = world.once()
    assert refused.code == 78
    assert "were sent to this machine" in refused.stderr
    assert "[ledger] path" in refused.stderr
    # the same sandbox under another name of this machine is no other place
    world.write_text(text.replace("127.0.0.1", "localhost"))
    assert world.once().code == 0


def test_start_now_sends_only_what_is_new(world: World) -> None:
    """What was there before is known, dated or not; a new row is sent; a change to a known one is drift."""
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    world.source.add(range(1, 51), at=f"{hour_ago:%Y-%m-%d %H:%M:%S}")
    world.source.add(range(51, 54), at=None)
    world.write(start_at="now")
    first = world.once()
    assert (first.code, world.requests()) == (0, 0)
    assert world.states() == {"known": 53}
    world.source.add([100], at=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}")
    changed(world, 5, at=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}")
    # a second that is not over yet is not read: more rows may bear its date
    until(lambda: world.once().summary["read"] and world.created(), "the new row")
    assert world.names() == Counter({"Company 100": 1})
    assert world.query("select id from records where drift = 1") == [("5",)]


def test_start_at_a_date_ignores_what_is_older_until_it_changes(world: World) -> None:
    world.source.add(range(1, 11), at="2025-12-31 23:59:59")
    world.source.add(range(11, 21), at="2026-01-01 00:00:00")
    world.write(start_at="2026-01-01")
    assert world.once().code == 0
    assert world.names() == Counter({f"Company {n}": 1 for n in range(11, 21)})
    assert world.states() == {"ignored": 10, "delivered": 10}
    changed(world, 3, at=OLD)
    world.once()
    assert world.names()["Company 3"] == 1
    assert sum(world.names().values()) == 11


def test_max_sends_so_many_and_the_next_run_the_others(world: World) -> None:
    world.source.add(range(1, 251))
    world.write()
    first = world.once("--max", "5")
    assert sum(world.names().values()) == 5, first.summary
    assert world.once().code == 0
    assert world.names() == world.source.names()
