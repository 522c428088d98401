"""The paths of everything that is installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NAME = "closingdealz-sync"


@dataclass(frozen=True, slots=True)
class InstallLayout:
    """Paths below `root`, which is `/` except in tests and images. Units lie in /usr/local, where `systemctl mask` and
    `systemctl edit --full` can still override them."""

    root: Path = Path("/")

    @property
    def home(self) -> Path:
        return self.root / "opt" / NAME

    @property
    def releases(self) -> Path:
        """Return the folder of releases: one environment for each version; only the last few are kept."""
        return self.home / "releases"

    @property
    def current(self) -> Path:
        """Return the link to the release in use; the units name it."""
        return self.home / "current"

    @property
    def building(self) -> Path:
        """Return the folder in which a wheel is built; it is removed afterwards."""
        return self.home / "building"

    @property
    def settings(self) -> Path:
        """Return the file that keeps the options of the last installation."""
        return self.home / "installation.json"

    @property
    def config(self) -> Path:
        return self.root / "etc" / NAME

    @property
    def state(self) -> Path:
        return self.root / "var/lib" / NAME

    @property
    def units(self) -> Path:
        return self.root / "usr/local/lib/systemd/system"

    @property
    def command(self) -> Path:
        return self.root / "usr/local/bin" / NAME

    @property
    def documents(self) -> Path:
        return self.root / "usr/local/share/doc" / NAME

    def files(self, share: Path) -> dict[Path, tuple[Path, int]]:
        """Return each file to install, with its source in a release's `share` folder and its mode."""
        systemd = share / "systemd"
        found = {
            self.units / f"{NAME}.service": (systemd / f"{NAME}.service", 0o644),
            self.units / f"{NAME}@.service": (systemd / f"{NAME}@.service", 0o644),
            self.root / f"usr/local/lib/sysusers.d/{NAME}.conf": (systemd / f"{NAME}.sysusers.conf", 0o644),
            self.root / f"usr/local/lib/tmpfiles.d/{NAME}.conf": (systemd / f"{NAME}.tmpfiles.conf", 0o644),
            self.command: (systemd / NAME, 0o755),
            self.documents / "config.example.toml": (share / "config.example.toml", 0o644),
            self.documents / "prometheus-alerts.yml": (systemd / "prometheus-alerts.yml", 0o644),
        }
        for example in sorted(share.glob("connectors/*/config.example.toml")):
            found[self.documents / example.relative_to(share)] = (example, 0o644)
        for drop_in in sorted((systemd / "examples").glob("*.conf")):
            found[self.documents / "examples" / drop_in.name] = (drop_in, 0o644)
        return found

    def generated(self) -> dict[Path, tuple[str, ...]]:
        """Return each file whose content a command of the program prints, with that command."""
        share = self.root / "usr/local/share"
        return {
            share / f"man/man8/{NAME}.8": ("manual",),
            share / f"bash-completion/completions/{NAME}": ("completion", "bash"),
            share / f"zsh/site-functions/_{NAME}": ("completion", "zsh"),
            share / f"fish/vendor_completions.d/{NAME}.fish": ("completion", "fish"),
        }
