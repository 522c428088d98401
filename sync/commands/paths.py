"""`closingdealz-sync paths`: lets the service write to folders of its configuration outside its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.commands.click_options import config_option
from sync.commands.loading import load

if TYPE_CHECKING:  # --help does without them
    from sync.config.schema import Config
    from sync.installation.layout import InstallLayout
    from sync.installation.machine import Machine

_HEAD = "# Written by `closingdealz-sync paths` from [ledger] of the configuration; run it again to rewrite this.\n"


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@config_option
def paths(config: Path | None, dry_run: bool) -> int:
    """Allow the service to write to `receipts_copy` and `backups_to` outside its own folder.

    Creates missing folders for the service's user, and a drop-in for its unit (`paths.conf`). Run it again
    after editing [ledger], then restart the service. Needs root.
    """
    from sync.installation.layout import InstallLayout
    from sync.installation.machine import Failed, Machine

    # /run/systemd/system exists where systemd runs (sd_booted(3))
    if not dry_run and (os.geteuid() != 0 or not Path("/run/systemd/system").is_dir()):
        raise click.UsageError("this changes a systemd unit: run it as root, on the machine that runs the service")
    loaded = load(config)
    try:
        allow(loaded, InstallLayout(), Machine(dry_run=dry_run))
    except Failed as failed:
        raise click.ClickException(str(failed)) from failed
    return 0


def allow(config: Config, layout: InstallLayout, machine: Machine) -> None:
    """Make the folders and the drop-in, or remove a drop-in that is no longer needed. Raises Failed."""
    unit, state = _service_of(config, layout, machine)
    folders = _outside(config, state)
    for folder in folders:
        _make(folder, unit, machine)
        if folder.exists() and config.ledger_path.parent.exists() and _same_disk(folder, config.ledger_path.parent):
            machine.say(
                f"note: {folder} is on the ledger's disk, and would be lost with it; is the other disk mounted?"
            )
    drop_in = layout.root / "etc/systemd/system" / f"{unit}.d" / "paths.conf"
    before = machine.changes
    if folders:
        machine.write(drop_in, _text_of(folders).encode(), 0o644)
    elif drop_in.is_file() and drop_in.read_text(encoding="utf-8").startswith(_HEAD):
        machine.remove(drop_in)
    if machine.changes == before:
        machine.say(f"{unit} may write everywhere it needs to")
        return
    machine.systemctl("read the units anew", "daemon-reload")
    if machine.dry_run:
        return
    if machine.active_units(unit):
        machine.say(f"Done. Next: systemctl restart {unit}")


def _service_of(config: Config, layout: InstallLayout, machine: Machine) -> tuple[str, Path]:
    """Return the service's unit, and the folder where it may write. In a dry run a file that is no service's stands for
    that of the one service. Raises Failed."""
    from sync.installation.layout import NAME
    from sync.installation.machine import Failed

    try:
        instance = config.path.parent.relative_to(layout.config)
    except ValueError:
        what = f"{config.path} is not the configuration of a service: those are in {layout.config}"
        if not machine.dry_run:
            raise Failed(what) from None
        machine.say(f"note: {what}; this is what would be done once it is there")
        return f"{NAME}.service", config.path.parent
    return f"{NAME}@{instance}.service" if instance.parts else f"{NAME}.service", layout.state / instance


def _outside(config: Config, state: Path) -> Sequence[Path]:
    from sync.service.writable import places_of

    folders = (place.folder for place in places_of(config))
    return [folder for folder in dict.fromkeys(folders) if not folder.is_relative_to(state)]


def _make(folder: Path, unit: str, machine: Machine) -> None:
    from sync.installation.machine import Failed

    if folder.exists():
        return
    if not folder.parent.is_dir():
        raise Failed(
            f"{folder.parent} does not exist: mount the disk that belongs there, or create it; then run this again"
        )
    machine.make_folder(folder, 0o700)
    if machine.dry_run:
        return
    user, group = (machine.ask("systemctl", "show", "--value", f"--property={of}", unit) for of in ("User", "Group"))
    shutil.chown(folder, user.stdout.strip() or "root", group.stdout.strip() or None)


def _same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def _text_of(folders: Sequence[Path]) -> str:
    """Return the drop-in: the service waits for the mounts. A folder that is missing all the same (`-`) is reported by
    the daemon.

    Raises Failed for a name that no unit can hold.
    """
    from sync.installation.machine import Failed

    for folder in folders:
        if any(each in str(folder) for each in '"\\\n'):
            raise Failed(f"{folder}: a unit cannot name a folder with a quote, a backslash or a line end in its name")
    names = [str(folder).replace("%", "%%") for folder in folders]
    mounts = "".join(f'RequiresMountsFor="{name}"\n' for name in names)
    written = "".join(f'ReadWritePaths="-{name}"\n' for name in names)
    return f"{_HEAD}[Unit]\n{mounts}\n[Service]\n{written}"
