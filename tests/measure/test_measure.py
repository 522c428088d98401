"""Count a planted example, and follow a poll and a batch through the program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.measure.__main__ import PACKAGES, main
from tests.measure.code import imports_of, modules_of
from tests.measure.figures import Figures, figures_of, percentile
from tests.measure.trips import trips

HALL = '''\
"""What the hall is for."""

from typing import TYPE_CHECKING, Literal

from house.kitchen.cook import Cook  # noqa: F401

if TYPE_CHECKING:
    from house.stairs import Step

Door = Literal["front", "back"]
"""Where one comes in."""


class Guest:
    """Somebody who comes."""

    def greet(self) -> str:
        """Whether anybody answers."""
        # nobody may be at home
        return "hello"

    def leave(self) -> None:
        """Go, and shut the door."""

    @property
    def name(self) -> str:
        """The guest's own."""
        return "who"


def _seat() -> None:
    """How a guest sits down."""
'''
STAIRS = '''\
"""Up and down."""


class _Door:
    pass


class Step:
    """One of many."""


def climb() -> None:
    """Nobody climbs."""
    from house import hall

    print(hall)
'''
COOK = '''\
from house import stairs
from house.kitchen import hall


class Cook:
    """Who cooks."""
'''


@pytest.fixture
def house(tmp_path: Path) -> Figures:
    files = {"hall.py": HALL, "stairs.py": STAIRS, "kitchen/cook.py": COOK, "kitchen/hall.py": "", "__init__.py": ""}
    for name, text in files.items():
        path = tmp_path / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    modules = modules_of(tmp_path, ("house",))
    return figures_of(modules, imports_of(modules))


def test_names_that_mean_several_things_are_listed_with_where(house: Figures) -> None:
    assert house.lists["classes"] == ["2 Door: house/hall.py, house/stairs.py"]
    assert house.lists["modules"] == ["2 hall.py: house, house/kitchen"]
    assert house.values["class_names"] == 4


def test_docstrings_of_what_is_public_are_looked_at(house: Figures) -> None:
    assert house.lists["wh"] == [
        "house/hall.py: What the hall is for.",
        "house/hall.py:10 Door: Where one comes in.",
        "house/hall.py:17 Guest.greet: Whether anybody answers.",
    ]
    assert [line.rpartition(": ")[2] for line in house.lists["verbless"]] == [
        "Whether anybody answers.",
        "Nobody climbs.",
    ]
    assert (house.values["docstrings"], house.values["docstrings_wh_percent"]) == (10, 30.0)


def test_sizes_and_comments_are_counted_without_what_a_linter_is_told(house: Figures) -> None:
    assert (house.values["files"], house.values["functions"], house.rooms["house/kitchen"]) == (5, 5, 6)
    assert house.values["comments_per_100_statements"] == round(100 / (12 + 6 + 3), 1)


def test_imports_are_told_apart_by_when_they_run(house: Figures) -> None:
    assert "house.kitchen.hall <- house.kitchen.cook" in house.lists["single"]
    assert house.lists["circles"] == []
    assert house.lists["circles-late"]
    assert all({"house.hall", "house.stairs"} <= set(circle.split(" -> ")) for circle in house.lists["circles-late"])


def test_a_percentile_is_one_of_the_values() -> None:
    assert [percentile(range(1, n + 1), 95) for n in (1, 10, 20, 100)] == [1, 10, 19, 95]


def test_the_program_itself_has_no_circle_and_can_be_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--no-trips", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["files"] > 100
    assert {room.split("/")[0] for room in document["rooms"]} == set(PACKAGES)
    listed = document["lists"]["classes"]
    assert len(listed) == document["class_names_several"] < 15, listed
    monkeypatch.setattr("tests.measure.__main__.PACKAGES", ("state",))  # all of them take long to read
    assert main(["--no-trips", "--json"]) == 0
    of_one = json.loads(capsys.readouterr().out)["lists"]["single"]
    assert main(["--list", "single"]) == 0
    assert capsys.readouterr().out.splitlines() == of_one != []


def test_a_poll_and_a_batch_are_followed_through_the_files_that_do_them() -> None:
    followed = trips(PACKAGES)
    assert {"sync/polling/poll.py", "state/records.py"} <= set(followed["poll"].files)
    assert {"sync/delivery/sender.py", "state/verdicts.py"} <= set(followed["batch"].files)
    assert not any(file.startswith("sync/trial/sandbox") for trip in followed.values() for file in trip.files)
