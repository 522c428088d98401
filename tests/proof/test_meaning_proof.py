"""What is sent is what the database means: the leads of real rounds equal those that it answers itself, in SQL.

Random columns, keys and cursor columns, each table read by table, view, query and as a child; ties, rows without a
time, keys that are respelled, values that change, and conditions. See meaning_scenario.py for what is drawn.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sync.trial.sandbox.running import RunningSandbox
from tests.connectors.sql_servers import Server, Sqlite, mariadb_database, postgresql_database
from tests.proof.harness import sandbox_with
from tests.proof.meaning_scenario import Scenario, scenarios
from tests.proof.meaning_world import TWO_DAYS, Example, Lead, Outcome
from tests.sizes import SIZE, sized

_marks = itertools.count(1)

tries = settings(
    max_examples=sized(2, 150, 3000),
    deadline=None,
    derandomize=SIZE == "quick",
    database=None,
    suppress_health_check=list(HealthCheck),
    # A failure of everyday is said as it was found: to make it small takes longer than the whole suite.
    phases=(Phase.generate,) if SIZE == "quick" else (Phase.generate, Phase.shrink),
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with sandbox_with(limit=1_000_000) as running:
        yield running


@contextmanager
def sqlite_database() -> Iterator[Sqlite]:
    with tempfile.TemporaryDirectory() as folder:
        server = Sqlite(Path(folder) / "source.db")
        try:
            yield server
        finally:
            server.connection.close()


@pytest.fixture(
    scope="module",
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ],
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    databases = {"sqlite": sqlite_database, "postgresql": postgresql_database, "mariadb": mariadb_database}
    with databases[request.param]() as database:
        if request.param == "postgresql":
            database.run("set timezone = 'UTC'")
            database.run("create extension citext")
            database.run("create collation folds (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        yield database


@pytest.mark.timeout(sized(300, 3600, 36_000))
@tries
@given(data=st.data())
def test_the_leads_are_those_that_the_database_answers(
    server: Server, sandbox: RunningSandbox, data: st.DataObject
) -> None:
    scenario = data.draw(scenarios(server.backend), "scenario")
    folder = Path(tempfile.mkdtemp())
    try:
        example = Example(server, sandbox, folder, scenario, f"e{next(_marks):06d}-")
        told(example, scenario)
    finally:
        shutil.rmtree(folder)


def told(example: Example, scenario: Scenario) -> None:
    """Three rounds: over what is there, after changes, and with a sweep."""
    before = example.oracle()
    first = example.round()
    if scenario.start == "now":
        assert example.sent() == Counter(), "what was there when the stream started now was sent"
        if scenario.unseen and first.summary.failures:
            return  # where it stands cannot be told, and it was refused
    expected: Counter[Lead] = Counter() if scenario.start == "now" else Counter(before.values())
    assert_sent(example, first, expected)
    # where keys have no type, a row that is fetched brings the one of the same digits, or text, with it
    most = scenario.unseen * (2 if scenario.key.name == "typeless" else 1)
    late = {way: missed for way, missed in first.missed.items() if missed > most}
    assert not late, f"polls skipped rows, which the sweep found: {late}"

    example.change()
    after = example.oracle()
    touched = {change.tag for change in scenario.changes if change.touched} | {row.tag for row in scenario.later}
    seen = {place for place in after if (place[1] in touched if place[0] != "child" else scenario.follow_children)}
    expected += due(before, {place: after[place] for place in seen}, scenario)
    # Children that nobody follows are seen when their parent is read again: now, or by the sweep.
    unfollowed = {place: lead for place, lead in after.items() if place[0] == "child" and place not in seen}
    perhaps = due(before, unfollowed, scenario)
    assert_sent(example, example.round(), expected, perhaps)
    assert_sent(example, example.round(ahead=TWO_DAYS), expected + perhaps)


def due(before: dict[tuple[str, int], Lead], now: dict[tuple[str, int], Lead], scenario: Scenario) -> Counter[Lead]:
    """What changed records send: a lead if they had none, another one under `resend` if it differs."""
    resend = scenario.on_change == "resend"
    leads = (lead for place, lead in now.items() if place not in before or (resend and before[place] != lead))
    return Counter(leads)


def assert_sent(
    example: Example, outcome: Outcome, expected: Counter[Lead], perhaps: Counter[Lead] | None = None
) -> None:
    assert not outcome.endless, "a poll reads its pages for ever"
    failures = [(failure.stream, str(failure.error)) for failure in outcome.summary.failures]
    assert not failures, failures
    sent = example.sent()
    much, little = sent - expected - (perhaps or Counter()), expected - sent
    if much or little:
        raise AssertionError(said(much, little))


def said(much: Counter[Lead], little: Counter[Lead]) -> str:
    """The difference in words, a line for each lead: way, tag, values."""
    lines = [f"sent, not meant: {lead}" for lead in much.elements()]
    lines += [f"meant, not sent: {lead}" for lead in little.elements()]
    return "\n".join(["the leads are not what the database answers", *sorted(lines, key=lambda line: line[10:])])
