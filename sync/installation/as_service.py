"""Runs a command of the program as the service runs: in the sandbox of its unit, with all its drop-ins.

    python -I -m sync.installation.as_service closingdealz-sync@acme.service PROGRAM status

There is one list of what the service may do: the unit. What `check` sees under it is what the daemon will see.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sync.service.systemd import UNIT_FAULT

EXIT_CONFIG = 78

_LIFE = re.compile(
    r"Type|NotifyAccess|ExecCondition|Exec(Start|Reload|Stop).*|Restart.*|SuccessExitStatus|Timeout.*|Watchdog.*"
    r"|RuntimeMaxSec|RuntimeRandomizedExtraSec|Kill.*|SendSIG.*|FinalKillSignal|OOMPolicy|PIDFile|GuessMainPID"
    r"|RemainAfterExit|ExitType|BusName|Sockets|FileDescriptorStore.*|NonBlocking|USBFunction.*|ReloadSignal"
    r"|Standard(Input|Output|Error).*|TTY.*|Syslog.*|RuntimeDirectory.*"
)
"""How the daemon is started, watched and ended, and where its log goes: a command has its own. A folder below /run
would go with the command, from under the daemon."""
_SHUT_OUT = frozenset({"ProtectSystem", "ProtectHome", "PrivateTmp"})
_FILES_OF_ANYBODY = ({"ledger", "backup"}, {"ledger", "import"})
"""Commands that take a file which the administrator names, where the daemon need not see it."""


class UnusableUnit(Exception):
    """The unit cannot be followed: what is wrong, and what to do."""


def settings_of(text: str) -> list[tuple[str, str]]:
    """Return the settings of [Service], in order, from the output of `systemctl cat`: the unit and then its
    drop-ins."""
    found = []
    section = ""
    for line in _whole_lines(text):
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line:
            key, _, value = line.partition("=")
            found.append((key.strip(), value.strip()))
    return found


def _whole_lines(text: str) -> Iterator[str]:
    """Yield the lines without comments; those continued by a backslash are joined."""
    begun = ""
    for line in map(str.strip, text.splitlines()):
        if line[:1] in ("#", ";"):
            continue
        if line.endswith("\\"):
            begun += line[:-1] + " "
            continue
        if begun or line:
            yield begun + line
        begun = ""


def properties_of(text: str, unit: str, words: Sequence[str]) -> list[str]:
    """Return `--property=` for each setting that makes the sandbox. Raises UnusableUnit."""
    settings = settings_of(text)
    if not any(key == "ExecStart" for key, _ in settings):
        raise UnusableUnit(
            f"there is no unit {unit}, or it is masked: install it with `python3 -m sync.installation install`"
        )
    left_out = _SHUT_OUT if any(each <= set(words[:3]) for each in _FILES_OF_ANYBODY) else frozenset()
    kept = [(key, resolve(value, unit)) for key, value in settings if not _LIFE.fullmatch(key) and key not in left_out]
    for place in _missing_credentials(kept):
        raise UnusableUnit(f"there is no {place}, where the secrets of {unit} are")
    return [f"--property={key}={value}" for key, value in kept]


def resolve(value: str, unit: str) -> str:
    """Return the value with systemd's specifiers replaced for this unit. Raises UnusableUnit for an unknown one."""
    name = unit.removesuffix(".service")
    prefix, _, instance = name.partition("@")
    plain = instance.replace("-", "/")
    known = {
        "%": "%",
        "n": unit,
        "N": name,
        "p": prefix,
        "i": instance,
        "I": _unescaped(plain),
        "H": os.uname().nodename,
    }
    known |= {"S": "/var/lib", "E": "/etc", "C": "/var/cache", "L": "/var/log", "t": "/run"}

    def stands_for(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise UnusableUnit(
                f"{unit} or a drop-in of it uses {found[0]}, which this command does not know: write it out"
            )
        return known[found[1]]

    return re.sub("%(.)", stands_for, value)


def _unescaped(text: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)


def _missing_credentials(settings: Iterable[tuple[str, str]]) -> Iterator[str]:
    wanted: list[str] = []
    for key, value in settings:
        if key in ("LoadCredential", "LoadCredentialEncrypted"):
            place = value.partition(":")[2]
            wanted = [*wanted, place] if value else []
    return (place for place in wanted if place.startswith("/") and not Path(place).exists())


def fault_of(text: str, unit: str) -> str:
    """Return why systemd cannot begin the program at all, or an empty text, from the output of `systemctl show`.

    Such a start leaves no word in the ledger. (systemd.exec(5), "Process Exit Codes")
    """
    shown = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    status = int(shown.get("ExecMainStatus") or 0)
    waits = shown.get("ActiveState") == "failed" or shown.get("SubState") == "auto-restart"
    if not waits or status not in _NOT_BEGUN:
        return ""
    return f"systemd cannot start {unit} ({status}/{_NOT_BEGUN[status]}); journalctl -n 20 -u {unit} says more"


_NOT_BEGUN = {
    200: "CHDIR: its working folder is missing",
    203: "EXEC: the program cannot be executed",
    209: "STDOUT: its log cannot be opened",
    216: "GROUP: a group does not exist",
    217: "USER: its user does not exist",
    226: "NAMESPACE: a folder that the unit names is missing, such as that of a disk that is not mounted",
    228: "SECCOMP: a filter of system calls cannot be set",
    233: "RUNTIME_DIRECTORY: its folder below /run cannot be made",
    238: "STATE_DIRECTORY: the ledger's folder cannot be made",
    240: "CONFIGURATION_DIRECTORY: the configuration's folder cannot be made",
    243: "CREDENTIALS: a secret is missing or cannot be decrypted",
}


def main(unit: str, *command: str) -> None:
    """Replace this process by systemd-run, or exit with EXIT_CONFIG if the unit cannot be followed."""
    fault = fault_of(_asked("show", "--property=ActiveState,SubState,ExecMainStatus", "--", unit), unit)
    if fault:
        # Said here too, since what keeps the service from starting may keep this command from it.
        print(f"warning: {fault}", file=sys.stderr)
    try:
        properties = properties_of(_asked("cat", "--", unit), unit, command[1:])
    except UnusableUnit as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    # Without a terminal on both ends a pty would mangle what is piped.
    how = "--pty" if sys.stdin.isatty() and sys.stdout.isatty() else "--pipe"
    passed = [f"--setenv={name}" for name in ("TERM", "LANG", "NO_COLOR") if name in os.environ]
    if fault:
        passed.append(f"--setenv={UNIT_FAULT}={fault}")
    words = ["systemd-run", "--quiet", "--collect", "--wait", how, *properties, *passed, "--", *command]
    # Replaced, not run as a child: signals and the exit code then need no relaying.
    os.execvp(words[0], words)  # noqa: S606 - no shell is wanted


def _asked(*words: str) -> str:
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False).stdout  # noqa: S603, S607 - no shell


if __name__ == "__main__":
    main(*sys.argv[1:])
