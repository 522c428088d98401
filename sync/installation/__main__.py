"""`python3 -m sync.installation install` and `uninstall`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from sync.installation.install_steps import Wishes, install, must_be_root, uninstall
from sync.installation.layout import NAME, InstallLayout
from sync.installation.machine import Failed, Machine, warn
from sync.installation.releases import own_source

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
    one.add_argument("--extras", help="drivers, such as postgresql,mysql (default: as the last time, or all)")
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
        warn(f"error: {error.filename or ''}: {error.strerror}")
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
