"""All errors, named by what to do about them.

    SyncError
     ├── ConfigError         fix the file; lists all problems at once                   exit 78
     ├── LedgerUntrusted     the ledger does not fit: run the command that is named     exit 78
     │    └── LedgerMixed    file and log are of different times: restore it again      exit 78
     ├── LedgerError         stop sending first: disk, file system, damage              exit 74
     │    └── LedgerLost     stop: another process took it over, or files were removed  exit 74
     ├── LedgerBusy          another process holds the ledger                           exit 75
     ├── SourceUnavailable   try later: network, server down, locked                    exit 75
     ├── SourceRefused       pause this source: credentials, permissions, missing table exit 77
     └── Stopped             the program was asked to stop

Imports nothing of the project, so `connectors` and `state` may use it. No message contains a secret or a value of a
record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class SyncError(Exception):
    """The base of all errors: what happened, where (source, stream, field), and what to do next (`hint`)."""

    exit_code = 70

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        source: str | None = None,
        stream: str | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.source = source
        self.stream = stream
        self.field = field

    def __str__(self) -> str:
        place = ".".join(part for part in (self.source, self.stream) if part)
        if self.field:
            place = f"{place} field {self.field!r}" if place else f"field {self.field!r}"
        text = f"{place}: {self.message}" if place else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in the configuration file: where (`sources.erp.streams.companies.key`), what, and the cure."""

    where: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.hint})" if self.hint else "")


class ConfigError(SyncError):
    """The configuration file cannot be used; `problems` holds all that is wrong with it."""

    exit_code = 78

    def __init__(self, problems: Sequence[Problem], *, file: str = "") -> None:
        self.problems = tuple(problems)
        self.file = file
        head = f"{file}: " if file else ""
        count = len(self.problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"{head}{count} problem{'s' if count != 1 else ''} in the configuration{lines}")


class LedgerUntrusted(SyncError):
    """The ledger and the configuration (or the program) do not belong together; nothing was changed or sent."""

    exit_code = 78


class LedgerMixed(LedgerUntrusted):
    """The ledger's file and its log are of different times: the file was restored while it was in use."""


class LedgerError(SyncError):
    """The ledger cannot be read or written: nothing may be sent that cannot be remembered."""

    exit_code = 74


class LedgerLost(LedgerError):
    """This process no longer owns the ledger: another took it over, or its files were removed. It sends nothing."""


class LedgerBusy(SyncError):
    """Another process holds the ledger's lock."""

    exit_code = 75


class SourceUnavailable(SyncError):
    """The source does not answer now; the next poll resumes where this one stopped."""

    exit_code = 75


class SourceRefused(SyncError):
    """The source answers, and will go on refusing until a person fixes credentials, permissions or the schema."""

    exit_code = 77


class Stopped(SyncError):
    """The program was asked to stop while it waited or worked."""

    exit_code = 0
