"""Releases: one environment each below /opt, made from a wheel; a release is complete or absent."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import sys
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sync.installation.layout import NAME, InstallLayout
from sync.installation.machine import Failed, Machine

KEPT = 2
"""The number of releases that stay: the one in use, and the one to go back to."""
_COMPLETE = ".complete"
_NO_DRIVERS = ("all", "mutants", "test")


@dataclass(frozen=True, slots=True)
class Release:
    """An environment with the program in it; `name` is derived from version, wheel, Python and extras."""

    name: str
    path: Path
    there: Path
    """Its path on the running machine, which differs from `path` while it is in an image."""
    refreshed: bool = False
    """Has the newest packages that the wheel allows, instead of those that it was tested with."""

    @property
    def program(self) -> Sequence[str | Path]:
        """Return the command that runs the program before it is in its final place: scripts name that place in their
        first line, and `-I` ignores the installer's environment."""
        return (self.path / "bin/python", "-I", "-m", "sync")

    @property
    def share(self) -> Path:
        """Return the folder of the files that came with the program: units, examples."""
        return self.path / "share" / NAME


def own_source() -> Path:
    """Return the wheel or the checkout that this module was started from; an empty path if it is neither."""
    above = Path(__file__).resolve().parents[2]
    return above if above.suffix == ".whl" or (above / "pyproject.toml").exists() else Path()


@contextmanager
def wheel_of(source: Path, machine: Machine, wheels: Path | None, layout: InstallLayout) -> Iterator[Path]:
    """Yield the source itself if it is a wheel; from a checkout, build one with its own build system.

    What a killed installation left of its building is removed first; nobody else builds meanwhile (`alone`).
    """
    if layout.building.exists():
        machine.remove(layout.building)
    if source.suffix == ".whl" and source.is_file():
        yield source
        return
    if not (source / "pyproject.toml").is_file():
        raise Failed(f"{source} is neither a wheel nor a checkout of {NAME}")
    if machine.dry_run:
        machine.say(f"would build a wheel of {source}")
        yield Path()
        return
    folder = layout.building
    folder.mkdir(parents=True)
    try:
        machine.prepare("make an environment", *_environment(folder / "environment"))
        pip = folder / "environment/bin/pip"
        copy = folder / "source"  # its build leaves files behind
        left_out = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", ".*_cache")
        shutil.copytree(source, copy, ignore=left_out, ignore_dangling_symlinks=True)
        machine.prepare("build a wheel", pip, "wheel", *_from(wheels), "--no-deps", "--wheel-dir", folder, copy)
        yield next(folder.glob("*.whl"))
    finally:
        shutil.rmtree(folder)


def release_of(wheel: Path, extras: Sequence[str], python: str, layout: InstallLayout, refresh: str = "") -> Release:
    """Return the release that a wheel makes: the same one for the same content (pins included), whenever it was built.

    `refresh` is when the newest packages are asked for, which makes another one.
    """
    # RECORD lists the hash of each file, and no time of building.
    contents = _read(wheel, "RECORD") + refresh.encode()
    digest = hashlib.sha256(contents + f"{python} {','.join(sorted(extras))}".encode()).hexdigest()
    name = f"{wheel.name.split('-')[1]}-{digest[:10]}"
    return Release(name, layout.releases / name, InstallLayout().releases / name, bool(refresh))


def extras_of(wheel: Path) -> list[str]:
    """Return the names of the wheel's extras for databases and systems, without those for tests."""
    lines = _read(wheel, "METADATA").decode().split("\n\n", 1)[0].splitlines()
    offered = (line.partition(":")[2].strip() for line in lines if line.startswith("Provides-Extra:"))
    return [name for name in offered if name not in _NO_DRIVERS]


def read_pins(wheel: Path) -> str:
    """Return the packages that the wheel was tested with. Raises Failed for a wheel that is too old to list them."""
    with zipfile.ZipFile(wheel) as archive:
        try:
            return archive.read(NAME_IN_WHEEL).decode()
        except KeyError:
            raise Failed(f"{wheel.name} does not say which packages it was tested with: add --refresh") from None


def _read(wheel: Path, name: str) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(next(each for each in archive.namelist() if each.endswith(f".dist-info/{name}")))


def is_complete(release: Release) -> bool:
    return (release.path / _COMPLETE).exists()


def make(release: Release, wheel: Path, extras: Sequence[str], machine: Machine, wheels: Path | None) -> None:
    """Make the release; one that an earlier attempt left unfinished is made again. Raises Failed."""
    if release.path.exists():
        machine.remove(release.path)
    release.path.parent.mkdir(parents=True, exist_ok=True)
    machine.run("make an environment", *_environment(release.path))
    pip: list[str | Path] = [
        release.path / "bin/pip",
        "install",
        # Everything is compiled at the end: the service's user may not write there later.
        "--no-compile",
        # Never from source: building a package would run its code as root.
        "--only-binary",
        ":all:",
        *_from(wheels),
    ]
    if release.refreshed:
        machine.run("install", *pip, f"{wheel.resolve()}[{','.join(extras)}]" if extras else wheel.resolve())
    else:
        pins = release.path / "requirements.txt"
        pins.write_text(chosen(read_pins(wheel), extras), encoding="utf-8")
        # The pins name every package with its hash, so pip has nothing to resolve and nothing to choose.
        machine.run("install", *pip, "--require-hashes", "--no-deps", "--requirement", pins)
        machine.run("install", *pip, "--no-deps", wheel.resolve())
    machine.run("look at the whole", release.path / "bin/pip", "check")
    frozen = machine.ask(release.path / "bin/pip", "list", "--format", "freeze").stdout
    (release.path / "packages.txt").write_text(frozen, encoding="utf-8")
    machine.run("compile", release.path / "bin/python", "-m", "compileall", "-q", release.path / "lib")
    relocate(release)
    # Last: without this mark the next run starts over.
    (release.path / _COMPLETE).touch()


def relocate(release: Release) -> None:
    """Rewrite the first line of scripts in an image: they must name the interpreter's path on the machine, not in the
    image."""
    if release.path == release.there:
        return
    for script in (release.path / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        if content.startswith(b"#!"):
            script.write_bytes(content.replace(bytes(release.path), bytes(release.there)))


def refuse_other_python(layout: InstallLayout) -> None:
    """Raise Failed if the image has another Python than this machine: the image's Python would not find the
    packages."""
    link = layout.root / "usr/bin/python3"
    theirs = link.readlink().name if link.is_symlink() else ""
    ours = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if theirs not in ("", ours):
        raise Failed(
            f"{link} is {theirs}, this machine's is {ours}: make the image's installation in the image (chroot)"
        )


def prune(layout: InstallLayout, machine: Machine, *keep: Path) -> None:
    """Remove all releases except these and the newest others, KEPT together."""
    others = [each for each in layout.releases.iterdir() if each not in keep] if layout.releases.is_dir() else []
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for each in others[max(0, KEPT - len({*keep})) :]:
        machine.remove(each)


def _environment(path: Path) -> Sequence[str | Path]:
    """Return the command that makes an environment with the system's own Python: `sys.executable` may belong to another
    environment. Raises Failed if it cannot."""
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise Failed("this Python cannot create environments: apt-get install python3-venv, then try again")
    return ("/usr/bin/python3", "-m", "venv", path)


def _from(wheels: Path | None) -> Sequence[str]:
    """Return pip's options for where to look: the index it is configured for, or only a folder of wheels."""
    quiet = ("--quiet", "--disable-pip-version-check")
    return quiet if wheels is None else (*quiet, "--no-index", "--find-links", str(wheels.resolve()))


# ---- the pinned versions


PATH = Path(__file__).with_name("requirements.txt")
NAME_IN_WHEEL = "sync/installation/requirements.txt"
_EXTRAS = "# for "


def pins_of(text: str, extras: Collection[str] | None = None) -> Mapping[str, str]:
    """Return each package's lines, by its name (and marker); those for other extras than these are left out."""
    found: dict[str, str] = {}
    wanted, name = True, ""
    for line in text.splitlines(keepends=True):
        if line.startswith(_EXTRAS):
            wanted = extras is None or not {*line[len(_EXTRAS) :].strip().split(", ")}.isdisjoint(extras)
        elif line.startswith((" ", "\t")):
            found[name] += line
        elif line.strip() and not line.startswith("#"):
            name = line.rstrip(" \\\n") if wanted else ""
            found[name] = line
            wanted = True
    found.pop("", None)
    return found


def chosen(text: str, extras: Collection[str]) -> str:
    """Return the lines that pip is to be given for these extras."""
    return "".join(pins_of(text, extras).values())


def names_of(text: str) -> set[str]:
    """Return the names of all packages, as indexes write them."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[\s=]", line)[0]).lower() for line in pins_of(text)}
