"""What the engine makes of Salesforce's habits: no change is sent for a touch, what has no trace comes by the sweep."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.salesforce.sf_org import sf_id
from tests.salesforce.sf_server import StandIn
from tests.salesforce.sf_story import Story


@pytest.fixture
def story(stand_in: StandIn) -> Iterator[Story]:
    with tempfile.TemporaryDirectory() as folder:
        made = Story(stand_in, Path(folder))
        made.settled()
        yield made
        made.close()


def test_a_restored_record_whose_time_did_not_move_comes_by_the_sweep(story: Story) -> None:
    """Whether Salesforce moves it nobody promises."""
    id_ = sf_id("Account", 0)
    story.org.touch("Account", id_, IsDeleted=True)
    story.drain()
    assert id_ not in story.found()
    story.org.undelete("Account", id_, stamp=False)
    story.drain()
    assert id_ not in story.found()
    story.sweep()
    assert story.found() == story.expected()
    assert id_ in story.found()


def test_what_was_late_beyond_the_overlap_comes_by_the_sweep(story: Story) -> None:
    story.org.put("Account", 2, story.org.now() - timedelta(hours=3), Name="Very late")
    story.drain()
    assert story.found() != story.expected()
    story.sweep()
    assert story.found() == story.expected()


def test_a_whole_table_that_is_touched_changes_nothing(story: Story) -> None:
    """A picklist value is renamed, a roll-up created: all times move, no value does."""
    before = story.found()
    for name in ("Account", "Contact"):
        for id_ in story.org.tables[name]:
            story.org.touch(name, id_)
    story.drain()
    assert story.found() == before
    with story.ledger.file.read() as connection:
        (changed,) = connection.execute("SELECT count(*) FROM records WHERE drift OR state <> 'pending'").fetchone()
    assert changed == 0
    polls = [poll for poll in _counts(story) if poll.get("read")]
    assert not any(poll.get("new") for poll in polls[-1:])


def test_a_grant_is_noticed_at_the_next_turn_without_a_reload(story: Story) -> None:
    """Taken away, nothing of the record reaches the ledger; given back, it does."""
    before = story.found()
    story.org.hidden_fields.add(("Account", "Name"))
    story.org.put("Account", 2, Name="New firm")
    for _ in range(2):
        turn(story)
        assert story.worker.failure is not None
        assert "Account.Name" in str(story.worker.failure.error)
        assert story.found() == before
    story.org.hidden_fields.clear()
    turn(story)
    assert story.worker.failure is None
    assert story.found() == story.expected() != before


def turn(story: Story) -> None:
    """A turn of the stream as the daemon's, once its back-off is over."""
    story.org.advance(timedelta(minutes=11))
    story.worker._not_before = 0.0
    story.worker.turn()


def _counts(story: Story) -> list[dict[str, int]]:
    import json

    with story.ledger.file.read() as connection:
        return [json.loads(row["counts"] or "{}") for row in connection.execute("SELECT counts FROM polls ORDER BY id")]
