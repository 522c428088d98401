"""A machine with a real systemd: Debian in a container of systemd-nspawn, also where this machine's PID 1 is none.

Needs root and, the first time, apt: for systemd-container and mmdebstrap, and about a minute to make Debian's file
system, which is kept (see CACHE). Each box is an overlay over it, with a network of its own: nothing gets out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CACHE = Path(os.environ.get("CLOSINGDEALZ_SYNC_BOX", "/var/tmp/closingdealz-sync-box"))
PACKAGES = (
    "systemd,systemd-sysv,dbus,libpam-systemd,python3,python3-venv,ca-certificates,procps,iproute2,man-db,groff-base,"
    "postgresql,jq"
)
MASKED = [
    *(
        "console-getty.service",
        "getty@tty1.service",
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
        "dpkg-db-backup.timer",
    ),
    *("man-db.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "systemd-modules-load.service"),
    *("dev-hugepages.mount", "systemd-timesyncd.service"),
]
# What nspawn keeps from its guest, but units need for their own sandboxes: cgroup programs, keyrings.
ARGUMENTS = ("--capability=CAP_BPF,CAP_SYSLOG", "--system-call-filter=bpf", "--system-call-filter=@keyring")


def until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(0.1)


class Box:
    """Boot it, run commands in it as root, reboot it; use it as a context manager."""

    def __init__(self, suite: str, binds: Sequence[Path] = ()) -> None:
        """Prepare a box; `binds` are folders that it sees read-only, below /host."""
        self._lower = file_system(suite)
        self._binds = binds
        self._folder = Path(tempfile.mkdtemp(prefix="closingdealz-box-", dir="/var/tmp"))
        self.root = self._folder / "root"
        self.name = self._folder.name[-24:].replace("_", "x")
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Box:
        for name in ("upper", "work", "root"):
            (self._folder / name).mkdir()
        layers = f"lowerdir={self._lower},upperdir={self._folder}/upper,workdir={self._folder}/work"
        subprocess.run(["mount", "-t", "overlay", self.name, "-o", layers, self.root], check=True)
        (self.root / "etc/hostname").write_text("box\n")
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost box\n::1 localhost\n")
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self.power_off()
        subprocess.run(["umount", "--lazy", self.root], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def boot(self) -> float:
        """Boot it, and return the seconds until systemd reports `running` or `degraded`."""
        began = time.monotonic()
        binds = [f"--bind-ro={path}:/host/{path.name}" for path in self._binds]
        command = ["systemd-nspawn", "--quiet", f"--directory={self.root}", f"--machine={self.name}", "--boot"]
        options = ["--register=no", "--keep-unit", "--private-network", "--resolv-conf=off", "--timezone=off"]
        quiet = ["--link-journal=no", "--console=pipe", *ARGUMENTS, *binds]
        env = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        with (self._folder / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                [*command, *options, *quiet],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=env,
                start_new_session=True,
                preexec_fn=self._join_cgroup,  # noqa: PLW1509 - this program has one thread
            )
        until(self._find_leader, "the container's PID 1, and its systemd", 60)
        self.run("systemctl", "is-system-running", "--wait", check=False)
        return time.monotonic() - began

    def power_off(self) -> None:
        """Power it off, in order if that takes less than 30 s."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._leader, signal.SIGRTMIN + 4)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        for place in _cgroups():
            for folder in sorted((place / self.name).glob("**/"), reverse=True):
                folder.rmdir()

    def reboot(self) -> float:
        """Power it off and on with the same disk; return the seconds of the boot."""
        self.power_off()
        return self.boot()

    def run(self, *words: str | Path, check: bool = True, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root."""
        env = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "SYSTEMD_COLORS": "0",
            "SYSTEMD_PAGER": "cat",
        }
        done = subprocess.run(
            ["nsenter", f"--target={self._leader}", "--all", "--", *map(str, words)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env=env,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def out(self, *words: str | Path) -> str:
        return self.run(*words).stdout.strip()

    def _find_leader(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError((self._folder / "console.log").read_text(errors="replace")[-2000:])
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        # at first it is another one, which makes the container and leaves
        self._leader = int(children[0]) if children else 0
        return bool(children) and Path(f"/proc/{self._leader}/root/run/systemd/private").exists()

    def _join_cgroup(self) -> None:
        for place in _cgroups():
            (place / self.name).mkdir(exist_ok=True)
            (place / self.name / "cgroup.procs").write_text(str(os.getpid()))


def _cgroups() -> list[Path]:
    """Return the parents for a box's control group: the unified hierarchy, and systemd's old one if it exists."""
    top = Path("/sys/fs/cgroup")
    unified = top / "unified" if (top / "unified").is_dir() else top
    return [unified, *([top / "systemd"] if (top / "systemd").is_dir() else [])]


def file_system(suite: str) -> Path:
    """Return Debian's file system, made at the first call."""
    key = hashlib.sha256(f"1 {suite} {PACKAGES} {MASKED}".encode()).hexdigest()[:8]
    made = CACHE / f"{suite}-{key}"
    if made.is_dir():
        return made
    for tool, package in (("mmdebstrap", "mmdebstrap"), ("systemd-nspawn", "systemd-container")):
        if shutil.which(tool) is None:
            subprocess.run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", package], check=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    draft = CACHE / f"{made.name}.new"
    if draft.exists():
        shutil.rmtree(draft)
    clean = 'rm -f "$1"/etc/hostname "$1"/etc/resolv.conf; echo uninitialized > "$1"/etc/machine-id'
    # in a mount namespace of its own: what is killed halfway leaves no mounts behind
    alone = ["unshare", "--mount", "--propagation", "private"]
    options = ["--quiet", "--variant=minbase", f"--include={PACKAGES}", f"--customize-hook={clean}"]
    subprocess.run([*alone, "mmdebstrap", *options, suite, draft], check=True)
    for unit in MASKED:
        (draft / "etc/systemd/system" / unit).symlink_to("/dev/null")
    (draft / "var/log/journal").mkdir(exist_ok=True)
    return draft.rename(made)
