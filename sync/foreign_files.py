"""Recognises packages and files that another distribution put in place of this program's: pip writes over a package of
the same name without a word. Standard library only, and quick, since it runs before anything else is imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

EXIT_INSTALLATION = 78
MARK = '__program__ = "closingdealz-sync"'
"""In the file of each package: nobody else's has it."""
PACKAGES = ("sync", "connectors", "state")

_NAME = "closingdealz-sync"
_ROOT = Path(__file__).parent.parent


def foreign_package(root: Path = _ROOT) -> str:
    """Return what is wrong with the packages of the program in that folder; empty where they are its own."""
    for name in PACKAGES:
        ours = root / name / "__init__.py"
        found = find_spec(name)
        origin = Path(found.origin) if found and found.origin else None
        if origin is None or not (_is_same(origin, ours) and MARK in origin.read_text(errors="replace")):
            return _said(str(origin or ours), f"{name}/__init__.py")
    return ""


def foreign_file() -> str:
    """Return the same for any file that is not as it was installed. Slow: for use once something has gone wrong."""
    import base64
    import hashlib
    from importlib.metadata import PackageNotFoundError, distribution

    with suppress(PackageNotFoundError):
        for file in distribution(_NAME).files or ():
            if file.suffix != ".py" or file.hash is None:
                continue
            place = Path(str(file.locate()))
            digest = hashlib.new(file.hash.mode, place.read_bytes() if place.exists() else b"").digest()
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
                return _said(str(place), str(file))
    return ""


def _is_same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _said(place: str, file: str) -> str:
    owners = " and ".join(_owners(file))
    return (
        f"error: {place} does not belong to this program{f': {owners} installed it' if owners else ''}\n"
        f"  hint: install {_NAME} into an environment of its own: pipx install '.[all]', or uv tool install '.[all]',"
        " in a clone of it"
    )


def _owners(file: str) -> Iterator[str]:
    """The other distributions that name this file as theirs."""
    from importlib.metadata import distributions

    for each in distributions():
        name = str(each.metadata["Name"])
        if name != _NAME and any(str(one) == file for one in each.files or ()):
            yield name
