"""Runs the demo's steps in order; each shows one thing and checks its claims."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path
from textwrap import wrap
from typing import Any, cast

from click import Abort
from rich.console import Console
from rich.text import Text

from state.ledger import Ledger
from sync.config.load import load_config
from sync.config.schema import Config
from sync.engine.ledger_opening import open_ledger
from sync.engine.round import Round, Summary
from sync.shared.errors import SyncError
from sync.trial.demo.edits import Edits, edit_sample
from sync.trial.demo.evidence import (
    CheckedClaim,
    Received,
    Remembered,
    compare,
    compare_edited,
    compare_unchanged,
    essence_of,
    look_at_ledger,
    look_at_row,
    look_at_server,
    look_at_source,
)
from sync.trial.demo.sample import UNTIDY, write_sample, write_settings
from sync.trial.sandbox.running import RunningSandbox, start
from sync.trial.sandbox.settings import SandboxOptions
from sync.trial.surroundings import logging_to, without_proxies

WIDTH = 80
_INDENT = 3


class Screen:
    """Writes to standard output; calls `wait` between two steps, so that a person can read."""

    def __init__(self, wait: Callable[[], None] = lambda: None) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._console.width = min(WIDTH, self._console.width)
        self._wait = wait
        self._steps = 0

    def title(self, text: str) -> None:
        self._print(text, "bold", indent=0)

    def step(self, heading: str, sentence: str) -> None:
        """Start a step with its heading and a sentence about it; wait first, except before the first."""
        if self._steps:
            self._wait()
        self._steps += 1
        self._print("")
        self._print(f"{self._steps}  {heading}", "bold cyan", indent=0)
        self.say(sentence)

    def say(self, text: str) -> None:
        self._print(text)

    def detail(self, text: str) -> None:
        """Print a line indented below the one before."""
        self._print(text, indent=_INDENT + 2, hanging=2)

    def gap(self) -> None:
        self._print("")

    def figures(self, rows: Mapping[str, int]) -> None:
        """Print numbers in a column; `rows` maps what is counted to its number."""
        size = max(len(f"{number:,}") for number in rows.values())
        for what, number in rows.items():
            self._print(f"{number:>{size},}  {what}", indent=_INDENT + 2, hanging=size + 2)

    def check(self, claim: str, figures: str, *, holds: bool) -> None:
        """Print a checked claim, with the figures that support or refute it."""
        self._print(f"{'ok' if holds else 'NO'}  {claim}: {figures}", "green" if holds else "bold red", hanging=4)

    def place(self, what: str, where: str) -> None:
        """Print a path, an address or a command on one line, so that it can be copied."""
        self._line(f"{' ' * _INDENT}{what}{where}")

    def document(self, value: Any) -> None:
        """Print JSON on as few lines as the width allows."""
        for line in json_lines(value, self._console.width - _INDENT):
            self._line(f"{' ' * _INDENT}{line}", "dim")

    def _print(self, text: str, style: str = "", *, indent: int = _INDENT, hanging: int = 0) -> None:
        """Print text wrapped at blanks; lines after the first are indented by `hanging` more columns."""
        first, others = " " * indent, " " * (indent + hanging)
        for line in wrap(text, self._console.width, initial_indent=first, subsequent_indent=others) or [""]:
            self._line(line, style)

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(self._printable(text), style), soft_wrap=True)

    def _printable(self, text: str) -> str:
        """Replace characters that the terminal's encoding lacks by question marks."""
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        return text.encode(encoding, "replace").decode(encoding)


def json_lines(value: Any, width: int, *, head: str = "") -> list[str]:
    """Format JSON after `head`: what fits into `width` columns takes one line, the rest is broken at its commas."""
    flat = head + json.dumps(value, ensure_ascii=False)
    if len(flat) <= width or not isinstance(value, dict | list) or not value:
        return [flat]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    heads = (json.dumps(key, ensure_ascii=False) + ": " for key in value) if isinstance(value, dict) else repeat("")
    items = value.values() if isinstance(value, dict) else value
    lines = [head + opening]
    for each, item in zip(heads, items, strict=False):
        # two columns for the indentation, one for the comma
        lines += [f"  {line}" for line in json_lines(item, width - 3, head=each)]
        lines[-1] += ","
    return [*lines[:-1], lines[-1].removesuffix(","), closing]


_EDITS_AGO = timedelta(minutes=1)
"""The age of the edits. Anything younger than `settle` would wait for the next poll."""

_HINT = "run `demo --keep DIR` and report the folder: it holds invented data only; log.jsonl says what happened"


class DemoFailed(SyncError):
    """A claim of the demo does not hold."""

    exit_code = 70


def tell(folder: Path, *, kept: bool, wait: Callable[[], None] = lambda: None) -> None:
    """Run the demo in `folder`, an absolute path to an empty one. Return only if every check held.

    Call `wait` between the steps. Raises DemoFailed with all claims of a step that do not hold, and click's Abort
    after Ctrl-C.
    """
    database = folder / "sample.db"
    write_sample(database)
    with (
        without_proxies(),
        logging_to(folder / "log.jsonl"),
        start(SandboxOptions(port=0, store=folder / "sandbox.db")) as sandbox,
    ):
        config = load_config(write_settings(folder, database=database, base_url=sandbox.url), env={})
        story = Story(Screen(wait), folder, config, sandbox)
        story.introduce()
        first = story.first_run()
        story.explain_quarantine()
        story.second_run(first)
        story.third_run(first)
        story.status()
        story.what_next(kept=kept)


@dataclass(frozen=True, slots=True)
class Story:
    """The steps, with the folder, the configuration and the sandbox that they share."""

    screen: Screen
    folder: Path
    config: Config
    sandbox: RunningSandbox

    def introduce(self) -> None:
        source = look_at_source(self.database)
        self.screen.title("closingdealz-sync: a whole run, with invented data")
        self.screen.step("A database and a server", "Both were made just now, on this machine alone.")
        self.screen.place("folder    ", str(self.folder))
        self.screen.place("database  ", "sample.db, as untidy as real databases are")
        self.screen.place("settings  ", "config.toml: what to read, and what lead it becomes")
        self.screen.place("server    ", f"{self.sandbox.url} stands in for ClosingDealz")
        self.screen.figures(
            {
                "companies": source.companies,
                "contacts": source.contacts,
                "companies that `where` in config.toml leaves out": len(source.internal),
                "company whose name is longer than ClosingDealz takes": len(source.too_long),
            }
        )

    def first_run(self) -> Received:
        self.screen.step("The first run", "Every company becomes a lead with its contacts, up to 100 in one request.")
        summary = self._run()
        source, received = look_at_source(self.database), self._received()
        totals = summary.totals
        self.screen.figures({"leads created": totals["sent"], "requests": totals["requests"]})
        own = CheckedClaim(
            "the run's figures are the server's",
            (totals["sent"], totals["requests"]) == (len(received.leads), received.requests),
            f"{totals['sent']} and {len(received.leads)} leads",
        )
        self._must_hold([*compare(source, self._ledger(), received), own])
        self.screen.gap()
        self.screen.say("One row as the source holds it, in part:")
        self.screen.document(look_at_row(self.database, UNTIDY, ("name", "email", "billing_email", "phone")))
        self.screen.say("The same company as a lead, as the server keeps it:")
        untidy = source.expected[str(UNTIDY)].name
        self._show(lead for lead in received.leads if essence_of(lead).name == untidy)
        self.screen.place("All of them, while this demo runs: ", f"{self.sandbox.url}/_sandbox/leads")
        return received

    def explain_quarantine(self) -> None:
        self.screen.step("What was not sent, and why", "Nothing is left out or cut silently.")
        source = look_at_source(self.database)
        with self._opened_ledger() as ledger:
            aside = list(ledger.records.in_state("quarantined"))
        fields: list[str] = []
        for record in aside:
            self.screen.say(f"{record['stream']}, record {record['id']}, waits in quarantine:")
            for note in _notes(record["reason"]):
                fields.append(note["field"])
                self.screen.detail(f"{note['field']}: {note['rule']} (it has {note['length']})")
                self.screen.detail(f"what to do: {note['hint']}")
        self.screen.say(f"{len(source.internal)} companies are internal: filtered by `where`.")
        self.screen.say(
            f"{len(source.bad_emails)} e-mail addresses are not valid: their companies were sent without them."
        )
        self._must_hold([CheckedClaim("the reason names the field", fields == ["name"], f"{len(aside)} record")])

    def second_run(self, first: Received) -> None:
        self.screen.step("The same again", "Nothing changed, so nothing is sent: the ledger knows what was.")
        was = self._ledger()
        self._run()
        self._must_hold(compare_unchanged(first, self._received(), was, self._ledger()))

    def third_run(self, before: Received) -> None:
        self.screen.step("Life goes on", "A company changes, one is new, and a contact moves to another company.")
        edits = edit_sample(self.database, at=datetime.now(UTC) - _EDITS_AGO)
        self._run()
        received, ledger = self._received(), self._ledger()
        self.screen.say("The new one is sent:")
        self._show(received.leads[len(before.leads) :])
        self.screen.say("The API cannot change a lead, so these are listed for a person, as drift:")
        for id_, what in _drift(edits, ledger):
            self.screen.detail(f"erp.companies, record {id_}: {what}")
        self.screen.gap()
        self._must_hold(compare_edited(edits, look_at_source(self.database), ledger, before, received))

    def status(self) -> None:
        self.screen.step("Where things stand", "Each record is in one named state, and each request is accounted for.")
        ledger, stats = self._ledger(), self._received().stats
        self.screen.figures(
            {
                "delivered": len(ledger.of("delivered")),
                "of them drifted: changed after they were sent": len(ledger.drifted),
                "filtered by `where`": len(ledger.of("filtered")),
                "quarantined until somebody fixes the name": len(ledger.of("quarantined")),
                "in doubt": len(ledger.of("in_doubt")),
                "requests in the busiest minute; the server allows 100": stats["max_in_window"],
            }
        )

    def what_next(self, *, kept: bool) -> None:
        self.screen.step("What next", "All that was claimed here was checked. Now with your own data:")
        for command, what in _COMMANDS.items():
            self.screen.place(f"  closingdealz-sync {command:<15} ", what)
        if kept:
            config, store = (shlex.quote(str(self.folder / name)) for name in ("config.toml", "sandbox.db"))
            self.screen.gap()
            self.screen.say("The folder is kept. To look around in it, with the server in a second terminal:")
            self.screen.place("  ", f"closingdealz-sync sandbox --port {self.sandbox.options.port} --store {store}")
            self.screen.place("  ", f"closingdealz-sync -c {config} status")
        else:
            self.screen.say("The folder is removed now; `demo --keep DIR` keeps it for you to look around in.")

    # -- what the steps do

    @property
    def database(self) -> Path:
        return self.folder / "sample.db"

    def _run(self) -> Summary:
        """Run one round as `once` does, with the ledger opened and closed around it."""
        with self._opened_ledger() as ledger:
            summary = Round(self.config, ledger).run()
        if summary.interrupted:
            raise Abort
        troubles = [str(failure.error) for failure in summary.failures]
        troubles += [f"the workspace {name} rests: {why}" for name, why in summary.rests.items()]
        if troubles:
            raise DemoFailed("\n  ".join(["the run did not come to its end", *troubles]), hint=_HINT)
        return summary

    def _opened_ledger(self) -> Ledger:
        return open_ledger(self.config, own=True)

    def _ledger(self) -> Remembered:
        return look_at_ledger(self.config.ledger_path)

    def _received(self) -> Received:
        return look_at_server(self.sandbox.store_path, window=self.sandbox.options.per)

    def _show(self, leads: Iterable[Mapping[str, Any]]) -> None:
        for lead in leads:
            self.screen.document(lead)

    def _must_hold(self, checks: Sequence[CheckedClaim]) -> None:
        for check in checks:
            self.screen.check(check.claim, check.figures, holds=check.holds)
        failed = [f"{check.claim}: {check.figures}" for check in checks if not check.holds]
        if failed:
            raise DemoFailed("\n  ".join(["what the demo shows is not so", *failed]), hint=_HINT)


_COMMANDS = {
    "init": "write a configuration file",
    "check": "is everything in place?",
    "preview": "which leads would it create? Sends none",
    "once --max 5": "create five, then look at them",
    "run": "read and deliver from then on",
}


def _notes(reason: object) -> Sequence[Mapping[str, Any]]:
    """Return a quarantined record's reason as the ledger returns it."""
    return cast("Sequence[Mapping[str, Any]]", reason or ())


def _drift(edits: Edits, ledger: Remembered) -> Iterable[tuple[str, str]]:
    """Return (id, what the demo did to it) for each record that the ledger lists as drifted."""
    did = {edits.changed: "it changed", edits.left: "a contact left it", edits.joined: "a contact joined it"}
    return ((id_, did.get(id_, "it changed, but not by this demo")) for id_ in sorted(ledger.drifted, key=int))
