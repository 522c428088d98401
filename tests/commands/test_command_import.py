"""`ledger import`: what is in ClosingDealz already is never created again, whenever that is said."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.commands.command_world import World

CSV = "Name;E-mail\nFirm 1;F1@Corp.Example\nFirm 2;f2@corp.example, other@corp.example\nNo address;\n"


def csv(world: World, text: str = CSV) -> str:
    path = world.folder / "leads.csv"
    path.write_text(text, encoding="utf-8-sig")
    return str(path)


def test_before_the_first_start_it_makes_the_ledger_and_the_first_round_sends_the_others(world: World) -> None:
    world.companies(range(1, 5))
    dry = world.json("ledger", "import", "--csv", csv(world), "--dry-run")
    assert (dry["rows"], dry["values"], dry["would_be_known"]) == (3, 3, {})
    assert not world.ledger.exists()
    result = world.run("ledger", "import", "--csv", csv(world), "--json")
    assert result.stderr == f"there was no ledger yet: made {world.ledger}\n"
    found = json.loads(result.stdout)
    assert found == {
        "workspace": "main",
        "columns": {"email": ["E-mail"]},
        "rows": 3,
        "values": 3,
        "unusable": {"rows": 1, "lines": [4]},
        "new": 3,
        "judged_again": 0,
        "would_be_known": {},
        "removed": 0,
    }
    assert stat.S_IMODE(world.ledger.stat().st_mode) == 0o600
    first = world.json("once")
    assert (first["known"], first["new"], first["balanced"]) == (2, 2, True)
    assert sorted(world.arrived()) == ["Firm 3", "Firm 4"]
    assert world.json("ledger", "import", "--csv", csv(world))["new"] == 0
    assert world.json("once")["sent"] == 0


def test_what_waits_is_known_at_the_next_round_and_a_change_is_drift(world: World) -> None:
    world.companies(range(1, 4))
    assert world.run("once", key="wrong").exit_code == 77
    dry = world.run("ledger", "import", "--csv", csv(world), "--dry-run")
    assert "2 records would become known: 2 of erp.companies" in dry.stdout
    assert dry.stdout.endswith("nothing was written\n")
    assert world.json("ledger", "import", "--csv", csv(world), "--dry-run")["would_be_known"] == {
        "erp.companies": ["1", "2"]
    }
    with world.open(own=True):
        done = world.run("ledger", "import", "--csv", csv(world))
    assert done.stdout.splitlines() == [
        "read 3 rows with 3 values: email from E-mail",
        "1 row without a usable value: line 4",
        "3 values new to workspace main",
        "2 unsent records with one of them: judged again before anything is sent",
    ]
    assert world.json("once")["states"]["known"] == 2
    assert world.arrived() == ["Firm 3"]
    world.sql("UPDATE companies SET industry = 'Glass', updated_at = '2026-01-03 00:00:00' WHERE id = 1")
    assert world.json("once")["drifted"] == 1
    assert world.arrived() == ["Firm 3"]


def test_it_can_be_taken_back(world: World) -> None:
    world.companies([1])
    world.run("ledger", "import", "--csv", csv(world))
    world.run("once")
    taken = world.run("ledger", "import", "--csv", csv(world, "email\nf2@corp.example\n"), "--forget")
    assert taken.stdout.splitlines()[-1] == "1 value removed from workspace main; records that are known stay known"
    world.companies([2])
    world.run("once")
    assert world.arrived() == ["Firm 2"]
    assert world.json("ledger", "import", "--forget", "--yes")["removed"] == 2
    states = world.json("once")["states"]
    assert (states["known"], states["delivered"]) == (1, 1)


def test_all_that_was_imported_is_forgotten_only_by_a_word(world: World) -> None:
    """Only hashes are kept: without the file nobody can put them back, and the next poll creates the leads."""
    world.companies([1])
    world.run("ledger", "import", "--csv", csv(world))
    refused = world.run("ledger", "import", "--forget")
    assert refused.exit_code == 64
    assert "removed: those leads may be created again. Nothing was done. Add --yes" in refused.stderr
    code, shown = world.on_a_screen("ledger", "import", "--forget", answer="n\n")
    assert (code != 0, "Forget it? [y/N]" in shown) == (True, True)
    world.run("once")
    assert world.arrived() == []
    code, shown = world.on_a_screen("ledger", "import", "--forget", answer="y\n")
    assert (code, "removed from workspace main" in shown) == (0, True)


def test_a_domain_is_that_of_a_company_and_columns_can_be_named(world: World) -> None:
    world.companies([1])
    world.people([1])
    path = csv(world, "Firma,Seite\nCorp,https://www.corp.example\nHome,home.example\n")
    assert world.run("ledger", "import", "--csv", path, "--column", "domain=seite").exit_code == 0
    world.run("once")
    assert world.arrived() == ["Person 1"]


def test_a_large_file_is_read_whole(world: World) -> None:
    rows = "".join(f"Firm {n},f{n}@corp.example\n" for n in range(1, 2502)) + "nothing,\n" * 30
    found = world.json("ledger", "import", "--csv", csv(world, "name,email\n" + rows))
    assert (found["rows"], found["new"], found["unusable"]) == (
        2531,
        2501,
        {"rows": 30, "lines": list(range(2503, 2523))},
    )
    shown = world.run("ledger", "import", "--csv", csv(world, "name,email\n" + rows)).stdout
    assert "30 rows without a usable value: line 2,503, " in shown
    assert "2,522 and 10 more" in shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "Name the file with --csv"),
        (("--dry-run",), "--dry-run needs --csv"),
        (("--csv", "CSV", "--dry-run", "--forget"), "--dry-run needs --csv, and cannot be combined"),
        (("--csv", "CSV", "--column", "mail=E-mail"), "Write --column KIND=NAME"),
        (("--csv", "CSV", "--column", "email="), "Write --column KIND=NAME"),
        (("--csv", "CSV", "--column", "phone=Mobil"), "names no column 'Mobil'"),
        (("--csv", "CSV", "--workspace", "mian"), "There is no workspace 'mian'"),
        (("--csv", "nowhere.csv"), "does not exist"),
        (("--csv", "EMPTY"), "contains anything by which a lead can be recognised"),
    ],
)
def test_what_is_not_understood_is_said_and_nothing_written(world: World, words: tuple[str, ...], says: str) -> None:
    empty = world.folder / "empty.csv"
    empty.write_text("email\nHUNTER2 at nowhere\n")
    files = {"CSV": csv(world), "EMPTY": str(empty)}
    result = world.run("ledger", "import", *(files.get(word, word) for word in words))
    assert result.exit_code == 64
    assert says in result.stderr
    assert "HUNTER2" not in result.output


def test_there_is_nothing_to_take_back_without_a_ledger(world: World) -> None:
    assert world.run("ledger", "import", "--forget", "--yes").exit_code == 74
    assert not world.ledger.exists()


def test_no_value_of_the_file_is_kept_as_it_is(world: World) -> None:
    world.run("ledger", "import", "--csv", csv(world))
    for path in world.ledger.parent.iterdir():
        content = path.read_bytes().lower()
        assert b"corp.example" not in content, path
        assert b"firm 1" not in content, path


def test_several_workspaces_need_a_name(world: World, tmp_path: Path) -> None:
    text = world.config.read_text()
    second = '[workspaces.second]\napi_key = "second-key"\n'
    text = text.replace("[ledger]", second + "[ledger]").replace(
        'table = "companies"', 'table = "companies"\nworkspace = "main"'
    )
    world.config.write_text(text.replace('table = "people"', 'table = "people"\nworkspace = "main"'))
    assert "name one with --workspace" in world.run("ledger", "import", "--csv", csv(world)).stderr
    world.run("ledger", "import", "--csv", csv(world), "--workspace", "second")
    world.companies([1])
    world.run("once")
    assert world.arrived() == ["Firm 1"]
