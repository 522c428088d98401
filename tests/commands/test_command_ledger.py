"""`ledger`: a stream that moved keeps its history, damage is found, a copy can stand in for the original."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from state.ledger import Ledger
from tests.commands.command_world import World, doubtful

RENAMED = {"streams.companies": "streams.firms"}


def test_a_renamed_stream_is_refused_until_the_ledger_knows_and_sends_nothing_again(world: World) -> None:
    world.companies(range(1, 6))
    world.run("once")
    world.write_config(replace=RENAMED)

    refused = world.run("once")
    assert refused.exit_code == 78
    assert f"closingdealz-sync -c {world.config} ledger rename-stream erp.companies erp.firms" in refused.stderr

    result = world.run("ledger", "rename-stream", "--yes", "erp.companies", "erp.firms")
    assert result.exit_code == 0
    assert result.stdout.startswith("erp.companies is now erp.firms: 5 records with everything known about them")
    again = world.json("once")
    assert (again["sent"], again["states"]["delivered"]) == (0, 5)
    assert len(world.arrived()) == 5


def test_a_moved_database_is_accepted_under_its_old_name(world: World) -> None:
    world.companies(range(1, 4))
    world.run("once")
    (world.folder / "erp.db").rename(world.folder / "moved.db")
    world.write_config(replace={"erp.db": "moved.db"})
    assert world.run("once").exit_code == 78
    result = world.run("ledger", "rename-stream", "--yes", "erp.companies", "erp.companies")
    assert result.stdout.startswith("erp.companies is now what the configuration declares: 3 records")
    assert world.run("ledger", "rename-stream", "--yes", "erp.people", "erp.people").exit_code == 0
    assert world.json("once")["sent"] == 0


def test_renaming_needs_no_api_key(world: World) -> None:
    world.companies([1])
    world.run("once")
    world.write_config(replace=RENAMED)
    assert world.run("ledger", "rename-stream", "--yes", "erp.companies", "erp.firms", key=None).exit_code == 0


def test_another_path_makes_no_new_ledger_unless_that_is_said(world: World) -> None:
    """It would know nothing of what was sent, and send it again."""
    world.companies(range(1, 4))
    world.run("once")
    moved = {'path = "state/ledger.db"': 'path = "moved/ledger.db"'}
    world.write_config(replace=moved)
    for words in (["once"], ["send-test", "--yes"], ["status"], ["doubt", "list"]):
        refused = world.run(*words)
        assert refused.exit_code == 78
        assert f"until now this configuration had {world.ledger}" in refused.stderr
        assert f"closingdealz-sync -c {world.config} ledger create" in refused.stderr
    assert not (world.folder / "moved").exists()

    world.write_config()
    assert world.json("once")["sent"] == 0
    (world.folder / "moved").mkdir()
    for each in sorted(world.ledger.parent.glob("ledger.db*")):
        each.rename(world.folder / "moved" / each.name)
    world.write_config(replace=moved)
    assert world.json("once")["sent"] == 0, "it moved with its path"

    world.write_config()
    assert world.run("once").exit_code == 78
    made = world.run("ledger", "create")
    assert (made.exit_code, made.stdout) == (0, f"made {world.ledger}: it knows nothing of what was sent before\n")
    assert world.run("ledger", "create").exit_code == 64
    assert world.json("once")["sent"] == 3
    assert len(world.arrived()) == 6


def test_a_new_ledger_that_sends_nothing_again_needs_no_word(world: World) -> None:
    world.companies(range(1, 4))
    start = {'start = "all"': 'start = "now"'}
    world.write_config(replace=start)
    world.run("once")
    world.write_config(replace={**start, "state/ledger.db": "other.db"})
    assert world.json("once")["sent"] == 0
    assert world.arrived() == []


def test_what_cannot_be_renamed_says_why(world: World) -> None:
    nothing = world.run("ledger", "rename-stream", "--yes", "erp.companies", "erp.companies")
    assert nothing.exit_code == 74
    assert "there is no ledger" in nothing.stderr
    assert not world.ledger.exists()
    world.run("once")
    unknown_new = world.run("ledger", "rename-stream", "--yes", "erp.companies", "erp.firms")
    assert unknown_new.exit_code == 64
    assert "There is no stream 'erp.firms'" in unknown_new.stderr
    unknown_old = world.run("ledger", "rename-stream", "--yes", "erp.firms", "erp.companies")
    assert unknown_old.exit_code == 78
    assert "it knows: erp.companies, erp.people" in unknown_old.stderr
    assert world.run("ledger", "rename-stream", "--yes", "erp.companies", "erp.people").exit_code == 78
    with world.open(own=True):
        assert world.run("ledger", "rename-stream", "--yes", "erp.companies", "erp.companies").exit_code == 75


def test_a_sound_ledger_is_called_sound_beside_its_holder(world: World) -> None:
    doubtful(world, 3)
    with world.open(own=True):
        result = world.run("ledger", "verify")
        found = world.json("ledger", "verify")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "the ledger is sound, and its receipts agree with it"
    assert (found["sound"], found["faults"]) == (True, [])
    assert (found["rows"]["records"], found["rows"]["batches"], found["rows"]["deliveries"]) == (3, 2, 6)


def test_sums_that_do_not_hold_are_damage(world: World) -> None:
    world.companies(range(1, 4))
    world.run("once")
    connection = sqlite3.connect(world.ledger)
    connection.execute("DELETE FROM deliveries WHERE position = 1")
    connection.execute("UPDATE records SET stream = 77 WHERE id = '1'")
    connection.commit()
    connection.close()

    found = world.json("ledger", "verify", code=74)

    assert found["sound"] is False
    assert "batches that do not hold as many leads as they say: 1" in found["faults"]
    assert any(fault.endswith("what it refers to in streams is missing") for fault in found["faults"])
    assert "restore the last sound backup" in world.run("ledger", "verify").stdout


def test_receipts_that_are_gone_are_no_reason_to_restore_an_older_ledger(world: World) -> None:
    world.companies([1])
    world.run("once")
    world.ledger.with_name("ledger.db.receipts").unlink()
    found = world.json("ledger", "verify", code=74)
    assert "are missing" in found["faults"][0]
    said = world.run("ledger", "verify").stdout
    assert found["cure"] in said
    assert "written again from the ledger" in said
    assert "backup" not in said
    world.run("once")
    assert world.run("ledger", "verify").exit_code == 0, "the cure works as printed"


def test_receipts_that_know_more_than_the_ledger_rebuild_it(world: World) -> None:
    world.companies([1])
    world.run("once")
    kept = world.ledger.read_bytes()
    world.companies([2])
    world.run("once")
    with closing(sqlite3.connect(world.ledger)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    world.ledger.write_bytes(kept)
    found = world.json("ledger", "verify", code=74)
    assert "name batches that the ledger does not know: 1" in found["faults"][0]
    assert "ledger rebuild" in found["cure"]


def test_damaged_pages_are_found(world: World) -> None:
    world.companies(range(1, 200))
    world.run("once")
    with world.open(own=True) as ledger:
        ledger.file.maintain()
    with open(world.ledger, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for page in range(size // 4096 // 2, size // 4096):
            file.seek(page * 4096 + 100)
            file.write(b"\xff" * 2000)
    assert world.run("ledger", "verify").exit_code == 74


def test_a_copy_can_stand_in_for_the_original(world: World, tmp_path: Path) -> None:
    world.companies(range(1, 6))
    world.run("once")
    copy = tmp_path / "elsewhere" / "copy.db"
    copy.parent.mkdir()
    with world.open(own=True):
        result = world.run("ledger", "backup", str(copy))
    assert result.exit_code == 0
    assert [oct(path.stat().st_mode & 0o777) for path in (copy, Path(f"{copy}.key"))] == ["0o600", "0o600"]

    for name in ("ledger.db", "ledger.db.key"):
        (world.ledger.parent / name).unlink()
    copy.rename(world.ledger)
    Path(f"{copy}.key").rename(f"{world.ledger}.key")
    assert world.json("once")["sent"] == 0
    assert len(world.arrived()) == 5


def test_a_copy_without_a_name_lies_beside_the_ledger(world: World, tmp_path: Path) -> None:
    world.run("once")
    world.run("ledger", "backup")
    (copy,) = world.ledger.parent.glob("ledger.db.backup-20*[0-9]")
    Ledger(copy, own=True).close()
    folder = tmp_path / "copies"
    folder.mkdir()
    world.run("ledger", "backup", str(folder))
    assert len([*folder.glob("ledger.db.backup-20*")]) == 2


def test_nothing_is_ever_written_over(world: World, tmp_path: Path) -> None:
    world.run("once")
    for name in ("taken.db", "other.db.key"):
        (tmp_path / name).write_text("mine")
        target = tmp_path / name.removesuffix(".key")
        result = world.run("ledger", "backup", str(target))
        assert result.exit_code == 64
        assert "exists already and was left as it is" in result.stderr
        assert (tmp_path / name).read_text() == "mine"
    assert not (tmp_path / "taken.db.key").exists()
    assert not (tmp_path / "other.db").exists()


def test_a_folder_that_is_not_there_is_named(world: World, tmp_path: Path) -> None:
    world.run("once")
    target = tmp_path / "no" / "such" / "copy.db"
    result = world.run("ledger", "backup", str(target))
    assert result.exit_code == 74
    assert str(target.parent) in result.stderr


# -- rebuild


def lose(world: World) -> None:
    for suffix in ("", "-wal", "-shm"):
        world.ledger.with_name(world.ledger.name + suffix).unlink(missing_ok=True)


def test_without_its_ledger_every_command_names_the_one_that_helps(world: World, tmp_path: Path) -> None:
    world.companies(range(1, 4))
    world.run("once")
    lose(world)
    csv = tmp_path / "leads.csv"
    csv.write_text("email\ninfo@example.com\n")
    for arguments in (
        ["status"],
        ["status", "--json"],
        ["once"],
        ["doubt", "list"],
        ["quarantine", "list"],
        ["ledger", "verify"],
        ["ledger", "backup", str(tmp_path)],
        ["ledger", "import", "--csv", str(csv)],
        ["ledger", "import", "--csv", str(csv), "--dry-run"],
        ["send-test", "--yes"],
    ):
        result = world.run(*arguments)
        assert result.exit_code == 78, (arguments, result.output)
        assert "tell of 3 leads that were created or may have been" in result.stderr
        assert f"closingdealz-sync -c {world.config} ledger rebuild" in result.stderr
    assert not world.ledger.exists()
    shown = world.run("preview", "erp.companies")
    assert shown.exit_code == 0
    assert "the ledger is left out: the ledger" in shown.stdout


def test_rebuild_says_what_it_made_and_nothing_is_sent_again(world: World) -> None:
    world.companies(range(1, 4))
    world.run("once")
    lose(world)
    before = len(world.sandbox.requests())
    result = world.run("ledger", "rebuild")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "a new ledger was made from the receipts",
        "streams     erp.companies and erp.people",
        "batches     1 that it did not know",
        "remembered  3 delivered: recognised when their source shows them again",
        "",
        "The next poll reads each stream; what was sent is not sent again, and an unusual number of new leads is held.",
        f"Next: closingdealz-sync -c {world.config} once, then closingdealz-sync -c {world.config} status",
    ]
    assert world.run("once").exit_code == 0
    assert len(world.sandbox.requests()) == before
    again = world.json("ledger", "rebuild")
    assert (again["is_new"], again["batches"], again["remembered"]) == (False, 0, {})
    assert Path(again["kept"]).exists()


def test_there_is_nothing_to_rebuild_from(world: World) -> None:
    result = world.run("ledger", "rebuild")
    assert result.exit_code == 78
    assert "there are no receipts beside" in result.stderr
    assert not world.ledger.exists()


def test_moving_to_another_workspace_says_what_was_imported_for_the_old_one(world: World) -> None:
    world.companies([1])
    world.run("once")
    leads = world.folder / "leads.csv"
    leads.write_text("email\nsomebody@corp.example\n")
    assert world.run("ledger", "import", "--csv", str(leads)).exit_code == 0
    world.write_config(replace={"[workspaces.main]": "[workspaces.prod]"})
    moved = world.run("ledger", "rename-stream", "--yes", "erp.companies", "erp.companies")
    assert moved.exit_code == 0, moved.output
    assert "imported for workspace main (1 value) does not count for prod" in moved.stdout
    assert "ledger import --csv FILE --workspace prod" in moved.stdout
    assert "imported" not in world.run("ledger", "rename-stream", "--yes", "erp.companies", "erp.companies").stdout


def test_without_a_terminal_a_stream_is_renamed_only_by_yes(world: World) -> None:
    """What is taken for sent cannot be asked of ClosingDealz: a script has to say that it means it."""
    world.companies([1, 2])
    world.run("once")
    world.write_config(replace=RENAMED)
    refused = world.run("ledger", "rename-stream", "erp.companies", "erp.firms")
    assert refused.exit_code == 64
    assert "2 records of erp.companies will count as records of erp.firms" in refused.stderr
    assert "Nothing was done. Add --yes" in refused.stderr
    assert world.run("once").exit_code == 78


def test_on_a_terminal_renaming_asks_and_obeys(world: World) -> None:
    world.companies([1, 2])
    world.run("once")
    world.write_config(replace=RENAMED)
    words = ("ledger", "rename-stream", "erp.companies", "erp.firms")
    code, shown = world.on_a_screen(*words, answer="n\n")
    assert (code != 0, "Are they? [y/N]" in shown) == (True, True)
    assert world.run("once").exit_code == 78
    code, shown = world.on_a_screen(*words, answer="y\n")
    assert (code, "erp.companies is now erp.firms: 2 records" in shown) == (0, True)
    assert world.json("once")["sent"] == 0


def test_on_a_terminal_a_rebuild_asks_and_a_no_leaves_the_ledger(world: World) -> None:
    """A script is not asked: the old ledger is kept as a copy, so it can be put back."""
    world.companies([1])
    world.run("once")
    before = sorted(world.ledger.parent.iterdir())
    code, shown = world.on_a_screen("ledger", "rebuild", answer="n\n")
    assert (code != 0, "is kept as a copy" in shown) == (True, True)
    assert "Go on? [y/N]" in shown
    assert sorted(world.ledger.parent.iterdir()) == before
    code, shown = world.on_a_screen("ledger", "rebuild", answer="y\n")
    assert code == 0
    assert world.run("ledger", "rebuild").exit_code == 0


def test_receipts_are_given_up_only_by_yes(world: World) -> None:
    world.companies([1])
    world.run("once")
    lose(world)
    refused = world.run("ledger", "rebuild", "--accept-loss")
    assert (refused.exit_code, world.ledger.exists()) == (64, False)
    assert "what only they record may be sent again. Nothing was done. Add --yes" in refused.stderr
    code, shown = world.on_a_screen("ledger", "rebuild", "--accept-loss", answer="n\n")
    assert (code != 0, "Go on? [y/N]" in shown, world.ledger.exists()) == (True, True, False)
    assert world.run("ledger", "rebuild", "--accept-loss", "--yes").exit_code == 0
