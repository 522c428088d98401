"""The token: opaque, read again when it is refused, of one account for good."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.shared.errors import ConfigError, SourceRefused
from sync.shared.words import Wanted
from tests.hubspot.hubspot_feed import Feed
from tests.hubspot.hubspot_portal import Portal
from tests.hubspot.hubspot_server import TOKEN, Standin
from tests.hubspot.hubspot_world import failure, opened, poll, spec

pytestmark = pytest.mark.usefixtures("one_company")


def test_a_token_that_is_refused_pauses_the_source_until_there_is_another(tmp_path: Path, standin: Standin) -> None:
    path = tmp_path / "token"
    path.write_text("pat-canary-old\n")
    connector = opened(standin, token={"file": str(path)})
    with pytest.raises(SourceRefused) as caught:
        poll(connector)
    assert "401 INVALID_AUTHENTICATION" in caught.value.message
    assert str(path) in caught.value.hint
    path.write_text(f"{TOKEN}\n")
    assert poll(connector) == ["1"]


def test_a_token_that_cannot_be_had_is_told_before_anything_is_asked(tmp_path: Path, standin: Standin) -> None:
    with pytest.raises(ConfigError, match=r"sources\.hub\.token"):
        opened(standin, token={"file": str(tmp_path / "none")})


def test_a_token_file_that_vanished_refuses_the_source(tmp_path: Path, standin: Standin) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    connector = opened(standin, token={"file": str(path)})
    poll(connector)
    path.unlink()
    standin.tokens = set()
    with pytest.raises(SourceRefused, match="cannot be read again"):
        poll(connector)


def test_a_token_that_was_rotated_is_read_again_in_the_middle_of_a_poll(
    tmp_path: Path, standin: Standin, portal: Portal
) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    portal.put("companies", 2, portal.now - 86_400_000, name="Second")
    stream = spec(Wanted(frozenset({("name",)})), page_size=1)
    pages = opened(standin, token={"file": str(path)}).read(stream, {})
    seen = [record.id for page in (next(pages), next(pages)) for record in page.records]
    standin.tokens = {"another"}
    path.write_text("another")
    assert seen + [record.id for page in pages for record in page.records] == ["1", "2"]


def test_a_new_token_of_another_account_is_refused(tmp_path: Path, standin: Standin, portal: Portal) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    connector = opened(standin, token={"file": str(path)})
    poll(connector)
    standin.tokens, portal.id = {"another"}, 42
    path.write_text("another")
    with pytest.raises(SourceRefused, match="the new token opens the account 42"):
        poll(connector)


def test_a_token_of_another_account_mixes_nothing_into_the_ledger(
    tmp_path: Path, standin: Standin, portal: Portal
) -> None:
    feed = Feed(tmp_path, standin, lead={"kind": "company", "name": "name"}, children={})
    feed.turn()
    feed.reopen()
    portal.id = 42
    portal.put("companies", 7, name="A stranger")
    feed.wait(60)
    for work in (feed.turn, lambda: feed.poller().remap(feed.connector), lambda: feed.poller().sweep(feed.connector)):
        with pytest.raises(SourceRefused, match="HubSpot account 42; the ledger knows this stream from the HubSpot"):
            work()
    assert set(feed.records()) == {"1"}
    feed.close()


def test_the_account_that_the_file_names_is_insisted_on(standin: Standin) -> None:
    told = failure(standin, portal=42)
    assert "opens the account 147893286, not 42" in told.message
    assert poll(opened(standin, portal=147893286)) == ["1"]


@pytest.mark.parametrize("token", ["pat-canary with-space", "pat-canary\u00e9", "pat-canary\nX-Evil: 1"])
def test_what_cannot_be_a_token_is_never_sent(token: str, standin: Standin) -> None:
    told = failure(standin, token=token)
    assert isinstance(told, ConfigError)
    assert not standin.calls
