"""`python3 -m sync.installation install` and `uninstall`: their steps, each of which may be repeated."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sync.installation.layout import NAME, InstallLayout
from sync.installation.machine import Failed, Machine, warn
from sync.installation.releases import (
    Release,
    extras_of,
    is_complete,
    make,
    own_source,
    prune,
    refuse_other_python,
    release_of,
    wheel_of,
)

UNITS = (f"{NAME}.service", f"{NAME}@*.service")


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of an installation: `extras` None means those of the last time, or else all; `wheels` is a folder
    that pip takes everything from; `refresh` asks for the newest packages that the version allows."""

    source: Path
    extras: Sequence[str] | None = None
    wheels: Path | None = None
    refresh: bool = False


def install(wishes: Wishes, layout: InstallLayout, machine: Machine) -> None:
    """Put the program in place or upgrade it, and restart running services if anything changed. Configuration, secrets
    and ledger are kept. Raises Failed."""
    if machine.systemd and not Path("/run/systemd/system").is_dir():
        raise Failed("this machine was not started by systemd; for an image there is --root")
    chosen = wishes.extras if wishes.extras is not None else _settings(layout).get("extras")
    with wheel_of(wishes.source, machine, wishes.wheels, layout) as wheel:
        if not wheel.name:
            _foresee(f"install that wheel below {layout.releases}", layout, machine)
            return
        offered = extras_of(wheel)
        if "all" in (chosen or ()):
            chosen = offered
        if unknown := sorted({*(chosen or ())} - {*offered}):
            raise Failed(f"--extras: there is no {', '.join(unknown)}; this version has {', '.join(sorted(offered))}")
        extras = offered if chosen is None else chosen
        when = time.strftime("%Y%m%d-%H%M%S", time.gmtime()) if wishes.refresh else ""
        release = release_of(wheel, extras, platform.python_version(), layout, when)
        if not is_complete(release):
            if machine.dry_run:
                _foresee(f"make {release.path}", layout, machine)
                return
            refuse_other_python(layout)
            make(release, wheel, extras, machine, wishes.wheels)
    # Before anything that runs is touched: the old version stays in use if the new one cannot start.
    _refuse_bad_configuration(release, layout, machine)
    put_in_place(release, layout, machine)
    if chosen is not None:
        machine.write(layout.settings, json.dumps({"extras": list(chosen)}).encode() + b"\n", 0o644)
    # Remembered before the switch, as the release to go back to.
    before = layout.current.resolve() if layout.current.exists() else None
    machine.link(layout.current, release.path.relative_to(layout.home))
    # After the switch, and before the restart: the new version says which paths it needs.
    _allow_paths(release, layout, machine)
    _start_again(release, before, layout, machine)
    # Last: until the restart succeeded, the former release may be needed.
    prune(layout, machine, *{release.path, before or release.path})
    machine.say(_what_next(layout, machine))


def put_in_place(release: Release, layout: InstallLayout, machine: Machine) -> None:
    """Write units, user, command, man page and completions; make folders and a first configuration if they are
    missing."""
    for target, (source, mode) in layout.files(release.share).items():
        machine.write(target, source.read_bytes(), mode)
    for target, command in layout.generated().items():
        result = machine.ask(*release.program, *command, env={"NO_COLOR": "1"})
        if result.returncode:
            raise Failed(f"{NAME} {' '.join(command)} failed:\n{result.stderr.strip()}")
        machine.write(target, result.stdout.encode(), 0o644)
    if machine.systemd and not machine.dry_run and machine.changes:
        # Both read the files that were just written.
        machine.run("make the user", "systemd-sysusers", f"{NAME}.conf")
        machine.run("make the folders", "systemd-tmpfiles", "--create", f"{NAME}.conf")
    machine.make_folder(layout.config, 0o755)
    # systemd reads credentials as root and hands copies to the service, so nobody else needs access:
    # https://systemd.io/CREDENTIALS/
    machine.make_folder(layout.config / "credentials", 0o700)
    config = layout.config / "config.toml"
    if not config.exists():
        machine.write(config, (release.share / "systemd/config.toml").read_bytes(), 0o640)
        machine.give(config, NAME)


def _foresee(what: str, layout: InstallLayout, machine: Machine) -> None:
    """Print what a release that is not made yet would change."""
    machine.say(f"would {what}")
    for target in [*layout.files(layout.current / "share" / NAME), *layout.generated()]:
        machine.say(f"would write {target}{' where it differs' if target.exists() else ''}")
    for target in (layout.config / "credentials", layout.config / "config.toml"):
        if not target.exists():
            machine.say(f"would write {target}")
    machine.say(f"would point {layout.current} to it")
    for unit in machine.active_units(*UNITS):
        machine.say(f"would restart {unit}")


def _refuse_bad_configuration(release: Release, layout: InstallLayout, machine: Machine) -> None:
    """Raise Failed if the new version cannot use an existing configuration: it must not replace the old version
    then."""
    for config, state in _configurations(layout):
        result = machine.ask(*release.program, "check", "--file", "-c", config, env={"STATE_DIRECTORY": str(state)})
        if result.returncode:
            text = f"{result.stdout}{result.stderr}".strip()
            raise Failed(f"this version cannot use {config}, so nothing was changed:\n{text}")


def _allow_paths(release: Release, layout: InstallLayout, machine: Machine) -> None:
    """Refresh the drop-in of a service that writes outside its own folder. What fails is only a warning: the service
    reports it when it starts."""
    if not machine.systemd or machine.dry_run or not machine.changes:
        return
    for config, state in _configurations(layout):
        result = machine.ask(*release.program, "paths", "-c", config, env={"STATE_DIRECTORY": str(state)})
        if result.returncode:
            warn(f"{config}: {result.stderr.strip()}")
        elif "paths.conf" in result.stdout:
            machine.say(result.stdout.strip())


def _configurations(layout: InstallLayout) -> Iterator[tuple[Path, Path]]:
    """Yield each configuration that exists, the service's and its instances', with its folder for the ledger."""
    for config in sorted([layout.config / "config.toml", *layout.config.glob("*/config.toml")]):
        if config.is_file():
            yield config, layout.state / config.parent.relative_to(layout.config)


def _start_again(release: Release, before: Path | None, layout: InstallLayout, machine: Machine) -> None:
    """Start running services again in the new version, which migrates its ledger after a backup. Raises Failed."""
    if not machine.changes:
        return
    machine.systemctl("read the units anew", "daemon-reload")
    for unit in machine.active_units(*UNITS):
        try:
            machine.systemctl("restart", "restart", unit)
        except Failed as failed:
            status = machine.ask("systemctl", "status", "--no-pager", "--lines=15", unit).stdout.strip()
            back = f"\nto go back: ln -sfn {before} {layout.current} && systemctl restart {unit}" if before else ""
            raise Failed(f"{release.name} is installed, but {unit} does not start:\n{status}{back}") from failed


def _what_next(layout: InstallLayout, machine: Machine) -> str:
    if not machine.changes:
        return "Nothing had to be changed."
    running = machine.active_units(*UNITS)
    if running:
        return f"Done; runs: {', '.join(running)}. Next: {NAME} status"
    secrets, config = layout.config / "credentials", layout.config / "config.toml"
    return (
        f"Done. Next: put the secrets into {secrets} and your tables into {config};"
        f" then: {NAME} check && {NAME} preview && systemctl enable --now {NAME}"
    )


def _settings(layout: InstallLayout) -> dict[str, list[str]]:
    try:
        return dict(json.loads(layout.settings.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def uninstall(layout: InstallLayout, machine: Machine, *, purge: bool) -> None:
    """Remove the program and its units; configuration, secrets, ledger and user only with `purge`. Raises Failed."""
    for unit in machine.active_units(*UNITS):
        machine.systemctl("stop", "stop", unit)
    enabled = layout.root / "etc/systemd/system"
    # Not by `systemctl disable`, which an image without a running systemd cannot do.
    for link in sorted(enabled.glob(f"*.wants/{NAME}*.service")):
        machine.remove(link)
    for path in [*layout.files(layout.current / "share" / NAME), *layout.generated(), layout.documents, layout.home]:
        machine.remove(path)
    machine.systemctl("read the units anew", "daemon-reload")
    if purge:
        for path in (layout.config, layout.state, *sorted(enabled.glob(f"{NAME}*.service.d"))):
            machine.remove(path)
        if machine.systemd and machine.ask("id", NAME).returncode == 0:
            machine.run("remove the user", "userdel", NAME)
    kept = [str(path) for path in (layout.config, layout.state) if path.exists()]
    if kept and not machine.dry_run:
        machine.say(f"Done. Left as they are: {' and '.join(kept)}; --purge removes them too.")
    elif not machine.dry_run:
        machine.say("Done. Nothing is left.")


def must_be_root() -> None:
    """Raise Failed unless this runs as root on a machine with systemd."""
    import os

    if os.geteuid() != 0:
        raise Failed("this must be run by root: sudo …")
    if shutil.which("systemctl") is None:
        raise Failed("there is no systemctl: this machine has no systemd")


EXIT_FAILED = 1
EXIT_USAGE = 64


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override] # it does not return either
        self.print_usage(sys.stderr)
        warn(f"error: {message}")
        sys.exit(EXIT_USAGE)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = _Parser(prog="python3 -m sync.installation", description=f"Installs or removes the service {NAME}.")
    verbs = found.add_subparsers(dest="verb", required=True, parser_class=_Parser)
    one = verbs.add_parser("install", help="Install or upgrade; may be done again. Keeps configuration and ledger.")
    one.add_argument("source", nargs="?", type=Path, help="a wheel or a checkout (default: what this is run from)")
    one.add_argument("--extras", help="drivers, such as postgresql,mysql (default: the same as last time, or all)")
    one.add_argument(
        "--wheels", type=Path, metavar="DIR", help="take every package from this folder, none from an index"
    )
    one.add_argument(
        "--refresh",
        action="store_true",
        help="take the newest packages that this version allows instead of those it was tested with (an advisory)",
    )
    two = verbs.add_parser("uninstall", help="Remove the program; keeps configuration, secrets and ledger.")
    two.add_argument("--purge", action="store_true", help="remove these too, and the user")
    two.add_argument("-y", "--yes", action="store_true", help="do not ask before --purge")
    for each in (one, two):
        each.add_argument("--dry-run", action="store_true", help="only say what would be done")
        each.add_argument("--root", type=Path, metavar="DIR", help="work on an image below DIR, without its systemd")
    return found


def main(words: list[str]) -> int:
    """Return the exit code: 0, 1 if something failed, 64 for a wrong command line."""
    asked = parser().parse_args(words)
    layout = InstallLayout(asked.root.resolve() if asked.root else Path("/"))
    machine = Machine(dry_run=asked.dry_run, systemd=asked.root is None)
    os.umask(0o022)  # the service's user must be able to read what is installed
    try:
        if machine.systemd and not asked.dry_run:
            must_be_root()
        with machine.alone(layout.home.parent):
            _do(asked, layout, machine)
    except Failed as failed:
        warn(f"error: {failed}")
        return EXIT_FAILED
    except OSError as error:
        # shutil's own errors name no file, but list what happened to each
        warn(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}")
        return EXIT_FAILED
    return 0


def _do(asked: argparse.Namespace, layout: InstallLayout, machine: Machine) -> None:
    if asked.verb == "install":
        extras = None if asked.extras is None else [each.strip() for each in asked.extras.split(",") if each.strip()]
        if asked.wheels is not None and not asked.wheels.is_dir():
            raise Failed(f"--wheels: there is no folder {asked.wheels}")
        install(Wishes(asked.source or own_source(), extras, asked.wheels, asked.refresh), layout, machine)
    elif not asked.purge or asked.yes or asked.dry_run or _confirmed(layout):
        uninstall(layout, machine, purge=asked.purge)


def _confirmed(layout: InstallLayout) -> bool:
    text = f"This removes {layout.config} and {layout.state}: what was sent is forgotten. Type {NAME} to go on: "
    return input(text).strip() == NAME


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
