"""Every command of the README and the pages is run as it stands, or says in its page's source why it cannot be."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import stat
import subprocess
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import click

from sync.cli import COMMANDS, PROGRAM, main
from tests.docs.pages import EVERYTHING, blocks, prose, spans
from tests.proof.harness import Daemon, command, sandbox_with

NOT_RUN = {
    "not run: index": "installs packages from an index, which takes minutes and a network",
    "not run: root": "installs the service, which needs root",
    "not run: systemd": "needs the service in a running systemd",
    "not run: long": "is a proof of minutes or hours",
    "test command": "runs all tests, this one among them",
    "questions": "is run with a log of every event by test_operation",
}
"""Why a block of commands is not run here, by the comment before it."""

SOURCE = """
create table companies (id integer primary key, name text, website text, updated_at text);
create table contacts (id integer primary key, company_id integer references companies, first_name text,
  last_name text, email text, updated_at text);
insert into companies values (1, 'Oak Mill', 'https://oak.example', '2026-01-01 10:00:00'),
  (2, 'Elm Works', 'https://elm.example', '2026-01-02 10:00:00'),
  (3, 'Ash Farm', 'https://ash.example', '2026-01-03 10:00:00');
insert into contacts values (1, 1, 'Jane', 'Doe', 'jane@oak.example', '2026-01-01 10:00:00');
"""
EDITOR = """#!/bin/sh
sed -i -e '/^api_key/a base_url = "{url}"' -e 's/^start = .*/start = "all"/' "$1"
"""


class Operator:
    """Somebody who follows the pages in a folder of their own, with a database, an editor and a stand-in server."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        with closing(sqlite3.connect(folder / "crm.db")) as database:
            database.executescript(SOURCE)
        (folder / "leads.csv").write_text("email,website\ninfo@elm.example,https://elm.example\n")
        editor = folder / "editor"
        editor.write_text(EDITOR.format(url=url))
        editor.chmod(stat.S_IRWXU)
        self.has = {
            "CLOSINGDEALZ_API_KEY": "sandbox-key",
            "DATABASE_URL": f"sqlite:///{folder}/crm.db",
            "EDITOR": str(editor),
        }

    def follow(self, line: str) -> None:
        """Do what a line says; it must succeed."""
        words = shlex.split(line, comments=True)
        if words[0] == "export":
            assert {each.partition("=")[0] for each in words[1:]} <= self.has.keys(), line
        elif words == [PROGRAM, "run"]:
            self._run()
        elif words[0] == PROGRAM:
            ended = command(*words[1:], env=self.has, folder=self.folder)
            assert ended.code == 0, f"{line}\n{ended.stdout}{ended.stderr}"
        else:
            done = subprocess.run(["bash", "-c", line], env={**os.environ, **self.has}, cwd=self.folder)
            assert done.returncode == 0, line

    def _run(self) -> None:
        with Daemon(self.folder / "config.toml", self.has) as daemon:
            daemon.wait_for("started")
            assert daemon.stop() == 0


def test_every_command_works_as_it_stands(tmp_path: Path) -> None:
    """The README's first, in whose folder the others go on."""
    with sandbox_with() as sandbox:
        operator = Operator(tmp_path, sandbox.url)
        for block in blocks("sh"):
            if block.mark in NOT_RUN:
                continue
            assert not block.mark, f"{block.page}: nobody knows the reason {block.mark!r}"
            if block.page == "restore":
                (tmp_path / "ledger.db").unlink()
            for line in block.lines:
                operator.follow(line)
        assert {row["lead"]["name"] for row in sandbox.leads()} == {"Oak Mill", "Ash Farm"}


def test_every_block_says_what_it_is() -> None:
    assert {block.language for block in blocks()} <= {"sh", "toml", "text", "sql"}
    assert {block.mark for block in blocks("sh")} - {""} == NOT_RUN.keys()


def test_every_command_in_the_text_is_one() -> None:
    """With its subcommands and options, whatever its arguments are."""
    wrong = {words: fault for words in said() if words.split()[0] in COMMANDS and (fault := fault_of(words))}
    assert wrong == {}


def said() -> set[str]:
    """What stands in backticks in the text, and in blocks of commands, without the program's name."""
    found = {span.removeprefix(f"{PROGRAM} ") for page in EVERYTHING for span in spans(page)}
    for block in blocks("sh"):
        for line in block.lines:
            found |= {part.partition(f"{PROGRAM} ")[2].strip() for part in line.split("&&") if f"{PROGRAM} " in part}
    return {words for words in found if words.strip()}


def fault_of(words: str) -> str:
    """Return the first word that the command line does not know; empty where it knows all."""
    found: click.Command = main
    for word in re.split(r" [|>#]", words)[0].split():
        context = click.Context(found)
        if word.startswith("--"):
            if word not in {name for each in found.get_params(context) for name in each.opts}:
                return word
        elif isinstance(found, click.Group):
            inner = found.get_command(context, word)
            if inner is None:
                return word
            found = inner
    return ""


def test_every_proof_is_there() -> None:
    modules = {found for block in blocks("sh") for found in re.findall(r"-m (tests[\w.]*)", block.text)}
    assert len(modules) > 5
    assert [each for each in modules if find_spec(each) is None] == []


def test_files_that_the_pages_name_are_there() -> None:
    folder = Path(__file__).parents[2] / "systemd"
    for page in EVERYTHING:
        for name in re.findall(r"`(examples/[\w.-]+)`", prose(page)):
            assert (folder / name).is_file(), name
