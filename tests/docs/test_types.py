"""The type checker looks at all that is written here, and is told to overlook nothing."""

from __future__ import annotations

import tomllib

from tests.docs.pages import ROOT

MYPY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]


def test_every_package_is_checked_strictly() -> None:
    assert MYPY["strict"] is True
    assert set(MYPY["packages"]) == {path.parent.name for path in ROOT.glob("*/__init__.py")}


def test_nothing_is_excused_but_libraries_without_types() -> None:
    for each in MYPY["overrides"]:
        assert each.keys() == {"module", "ignore_missing_imports"}
        own = {name for name in each["module"] if name.partition(".")[0] in MYPY["packages"]}
        assert not own
    assert "ignore-without-code" in MYPY["enable_error_code"], "each comment that overrules it says in what"
