"""A ledger of which files are lost, damaged, older or another one's, and an operator who runs what each hint names.

`a` to `d` stand on the server: `a` since before the older copies were made, `c` in doubt, `d` on the wire as the
process was killed. `e` was claimed and never left, `f` waits.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from state.ledger import Ledger
from state.rebuilding.rebuild import rebuild
from state.rows import Claim
from sync.cli import main
from sync.shared.errors import SyncError
from tests.state.ledger_tools import RULE, WORKSPACE, FakeClock, UnsyncedDisk, claim, commit, declare, unsynced
from tests.state.rebuild_tools import pending, reading, registered, send

LANDED = frozenset("abcd")
EVERYTHING = "abcdef"
LEDGERS = ("ok", "lost", "older", "older and wal", "empty", "garbage")
RECEIPTS = ("ok", "missing", "tail", "torn", "empty", "damaged", "older", "another's")
COPIES = ("none", "ok", "missing", "lagging", "torn")
KEYS = ("ok", "missing", "another")
Case = tuple[str, str, str, str]
Files = Mapping[str, bytes]


def cases() -> list[Case]:
    """Every combination of ledger, receipts, second receipts and key."""
    return list(product(LEDGERS, RECEIPTS, COPIES, KEYS))


def _opened(folder: Path, *, copy: bool) -> Ledger:
    second = folder / "second" if copy else None
    return Ledger(
        folder / "ledger.db",
        own=True,
        clock=FakeClock(),
        connector=unsynced,
        disk=UnsyncedDisk(),
        receipts_copy=second,
    )


@cache
def _histories(copy: bool) -> tuple[Files, Files, Files]:
    """The files early on, those at the end, and another ledger's."""
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        folder = Path(one)
        with _opened(folder, copy=copy) as ledger:
            send(ledger, "created", "a")
        early = _files(folder)
        with _opened(folder, copy=copy) as ledger:
            send(ledger, "created", "b")
            send(ledger, "in_doubt", "c")
            pending(ledger, registered(ledger), "d")
            ledger.journal.intent(claim(ledger).batch)
            pending(ledger, registered(ledger), "e")
            claim(ledger)
            pending(ledger, registered(ledger), "f")
            end = _files(folder)
        with _opened(Path(other), copy=copy) as ledger:
            send(ledger, "created", "x")
        return early, end, _files(Path(other))


def _files(folder: Path) -> Files:
    found = (each for each in folder.rglob("ledger.db*") if not each.name.endswith((".lock", "-shm")))
    return {str(each.relative_to(folder)): each.read_bytes() for each in found}


def lay(folder: Path, case: Case) -> None:
    """The files as the disaster left them."""
    ledger, receipts, copy, key = case
    early, end, other = _histories(copy != "none")
    files = dict(end)
    match ledger:
        case "lost":
            files.pop("ledger.db")
            files.pop("ledger.db-wal", None)
        case "older":
            files["ledger.db"] = early["ledger.db"]
            files.pop("ledger.db-wal", None)
        case "older and wal":
            files["ledger.db"] = early["ledger.db"]
        case "empty" | "garbage":
            files["ledger.db"] = b"" if ledger == "empty" else b"no database at all " * 1000
            files.pop("ledger.db-wal", None)
    _put(files, "ledger.db.receipts", _spoilt(receipts, "ledger.db.receipts", early, end, other))
    if copy != "none":
        kind = {"lagging": "older"}.get(copy, copy)
        _put(files, "second/ledger.db.receipts", _spoilt(kind, "second/ledger.db.receipts", early, end, other))
    _put(files, "ledger.db.key", {"ok": end, "another": other}.get(key, {}).get("ledger.db.key"))
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def _put(files: dict[str, bytes], name: str, content: bytes | None) -> None:
    files.pop(name, None)
    if content is not None:
        files[name] = content


def _spoilt(kind: str, name: str, early: Files, end: Files, other: Files) -> bytes | None:
    lines = end[name].splitlines(keepends=True)
    match kind:
        case "missing":
            return None
        case "tail":
            return b"".join(lines[4:])
        case "torn":
            return end[name][:-20]
        case "empty":
            return b""
        case "damaged":
            return b"".join([*lines[:2], lines[2][:-9] + b"????????\n", *lines[3:]])
        case "older":
            return early[name]
        case "another's":
            return other[name]
    return end[name]


def known_to(case: Case) -> set[str]:
    """Which of the leads that stand on the server any file still tells of."""
    ledger, receipts, copy, _ = case
    told = {"ok": "abcd", "torn": "abc", "tail": "bcd", "damaged": "bcd", "older": "a", "lagging": "a"}
    ledgers = {"ok": "abcd", "older": "a", "older and wal": "a"}
    return {*ledgers.get(ledger, ""), *told.get(receipts, ""), *told.get(copy, "")}


@dataclass
class Operator:
    """Does what each error's hint names, and nothing else, until the program runs or a person is asked."""

    folder: Path
    copy: bool
    said: list[str] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)

    def work(self) -> bool:
        """Whether the program runs in the end. Raises AssertionError where the hints go round in circles."""
        commands: list[list[str]] = [["once"]]
        while commands:
            words = commands.pop(0)
            try:
                self.run(words)
            except SyncError as error:
                self.said.append(str(error))
                commands = named_in(error.hint)
            else:
                if words == ["once"]:
                    return True
                commands = [["once"]]
            assert len(set(self.said)) == len(self.said), "the hints go round in circles"
        return False

    def run(self, words: list[str]) -> None:
        match words:
            case ["once"]:
                self._once()
            case ["ledger", "rebuild"]:
                second = self.folder / "second" if self.copy else None
                rebuild(self.folder / "ledger.db", clock=FakeClock(), connector=unsynced, receipts_copy=second)
            case ["ledger", "rename-stream", old, _]:
                with _opened(self.folder, copy=self.copy) as ledger:
                    ledger.streams.rename(old, declare(old))
            case _:
                raise AssertionError(f"a hint names {words}")

    def _once(self) -> None:
        with _opened(self.folder, copy=self.copy) as ledger:
            stream = registered(ledger)
            ledger.recover()
            commit(ledger, stream, [reading(each, mapping=stream.mapping) for each in EVERYTHING])
            clock = ledger.clock
            assert isinstance(clock, FakeClock)
            for _ in range(20):
                got = ledger.outbox.claim(WORKSPACE, RULE, most=100, linger=0, timeout=60)
                if isinstance(got, Claim):
                    ledger.journal.intent(got.batch)
                    self.sent |= {each.id for each in got.deliveries}
                    ledger.journal.verdict(got.batch, "created")
                    ledger.verdicts.conclude(got.batch, "created", slot=got.slot)
                clock.advance(61)


def named_in(hint: str) -> list[list[str]]:
    """The commands that a hint names; each must be one of the program's."""
    found = [line.split() for line in re.findall(r"closingdealz-sync ((?:[a-z][\w.-]*\s?)+)", hint)]
    for words in found:
        command: click.Command | None = main
        for word in words:
            if isinstance(command, click.Group):
                command = command.get_command(click.Context(command), word)
                assert command is not None, f"there is no command {words}"
    return found


def check(folder: Path, case: Case) -> str:
    """What became of it: `runs`, or `asks`. Raises AssertionError where anything was sent that a file still knew of, or
    a lead again where the files show that they have lost something."""
    lay(folder, case)
    operator = Operator(folder, case[2] != "none")
    runs = operator.work()
    again = operator.sent & LANDED
    assert not again & known_to(case), f"{case} sent again: {sorted(again)} after {operator.said}"
    seen = (
        {"tail", "damaged"}
        | ({"another's"} if case[3] == "ok" else set())
        | ({"empty"} if case[2] in {"none", "missing"} else set())
    )
    lost = case[0] in {"lost", "empty", "garbage"} and case[1] in seen
    assert not (lost and again), f"{case} sent again: {sorted(again)} after {operator.said}"
    if not runs:
        assert operator.said[-1].count("hint:") == 1, "a person is told what to do"
    return "runs" if runs else "asks"


def every(folder: Path, chosen: list[Case]) -> Iterator[tuple[Case, str]]:
    """What became of each of them."""
    for case in chosen:
        here = folder / "case"
        here.mkdir()
        try:
            yield case, check(here, case)
        finally:
            shutil.rmtree(here)
