"""Every command that stands in the text of the README and the pages is run, its capitals filled in."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence

import click
import pytest
from click.testing import CliRunner, Result

from state.ledger import Ledger
from sync.cli import COMMANDS, PROGRAM, main
from tests.docs.pages import EVERYTHING, spans
from tests.golden.world import World, empty_world, fill
from tests.proof.harness import sandbox_with

NOT_RUN = {
    "discover hub companies": "needs an account of HubSpot; tests/hubspot discovers a stand-in",
    "discover hub companies lifecyclestage": "needs an account of HubSpot; tests/hubspot discovers a stand-in",
    "discover hub deals dealstage": "needs an account of HubSpot; tests/hubspot discovers a stand-in",
    "discover sf Account": "needs an organisation of Salesforce; tests/salesforce discovers a stand-in",
    "ledger import": "is its name; it needs a file, with which it is run",
    "selftest crash": "takes minutes; tests/selftest runs it",
}
"""The commands that are not run here, and why."""
ENDS = {"status --exit-code": 65, "poke crm": 75, "poke STREAM": 75}
"""Exit codes other than 0 that the pages promise for such a world, where no daemon runs."""


def lines() -> Iterator[str]:
    """Yield each command of the text, without the program's name.

    What only names one is left out: a single word, a group, or a command without what it requires.
    """
    found = {span.removeprefix(f"{PROGRAM} ") for page in EVERYTHING for span in spans(page)}
    for line in sorted(found):
        words = line.split()
        if len(words) > 1 and words[0] in COMMANDS and not {"=", "=="} & {*words}:
            command, given = parsed(words)
            needs = any(each.required for each in command.params)
            if not isinstance(command, click.Group) and (given or not needs):
                yield line


def parsed(words: Sequence[str]) -> tuple[click.Command, Sequence[str]]:
    """Return the command that the words begin with, and the words behind it."""
    found: click.Command = main
    for at, word in enumerate(words):
        inner = found.get_command(click.Context(found), word) if isinstance(found, click.Group) else None
        if inner is None:
            return found, words[at:]
        found = inner
    return found, ()


LINES = list(lines())


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Yield a world with something in every queue and a server that answers, kept to be restored."""
    with empty_world() as made, sandbox_with() as sandbox:
        fill(made)
        made.config.write_text(made.config.read_text().replace("http://127.0.0.1:9", sandbox.url))
        made.keep()
        yield made


def filled_in(line: str, world: World) -> list[str]:
    """Return the words of a command with a batch, a record, a stream and a file of this world for its capitals."""
    words = shlex.split(line)
    with Ledger(world.ledger) as ledger, ledger.file.read() as connection:
        queue = {"quarantine": "quarantined", "held": "held", "doubt": "in_doubt"}.get(words[0], "delivered")
        key, id_ = connection.execute(
            "SELECT key, id FROM records WHERE stream = (SELECT id FROM streams WHERE name = 'erp.companies')"
            " AND state = ? ORDER BY key",
            (queue,),
        ).fetchone()
        (batch,) = connection.execute("SELECT name FROM batches WHERE state = 'in_doubt'").fetchone()
    given: dict[str, Callable[[], str]] = {
        "BATCH": lambda: str(batch),
        "#4711": lambda: f"#{key}",
        "STREAM": lambda: "erp.companies",
        "STREAM:ID": lambda: f"erp.companies:{id_}",
        "ID": lambda: str(id_),
        "FILE": lambda: str(world.folder / "leads.csv"),
        "NAME": lambda: "erp.companies",
        "OLD": lambda: "old.accounts",
        "NEW": lambda: "old.customers",
        "crm": lambda: "erp",
    }
    return [given[word]() if word in given else word for word in words]


def confirmed(words: Sequence[str]) -> list[str]:
    """Return the words with what a person adds: a selector where an action has none, which workspace, and consent."""
    command, given = parsed(words)
    options = {name for each in command.params for name in each.opts}
    more = ["--all"] if "--all" in options and "--all" not in given and "--id" not in given else []
    singles = {name for each in command.params if not getattr(each, "multiple", False) for name in each.opts}
    if "--workspace" in singles:
        more += ["--workspace", "main"]
    return [*words, *more, *(["--yes"] if "--yes" in options else [])]


def test_what_is_not_run_stands_there() -> None:
    assert set(LINES) >= NOT_RUN.keys()
    assert len(LINES) > 40


@pytest.mark.parametrize("line", [line for line in LINES if line not in NOT_RUN])
def test_it_runs(line: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(line, world, monkeypatch)
    assert result.exit_code == ENDS.get(line, 0), result.output


def run(line: str, world: World, monkeypatch: pytest.MonkeyPatch) -> Result:
    world.restore()
    folder = world.folder
    if line.startswith("init"):
        folder = world.folder / "empty"
        folder.mkdir()
    words = confirmed(filled_in(line, world))
    if line == "ledger create":
        shutil.rmtree(world.ledger.parent)
    if " NEW" in line:
        world.config.write_text(world.config.read_text().replace("streams.accounts", "streams.customers"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{world.folder / 'erp.db'}")
    monkeypatch.setenv("MAIN_KEY", "sandbox-key")
    if "import" in line:
        (world.folder / "leads.csv").write_text("email\ninfo@elm.example\n")
    return CliRunner().invoke(main, words)
