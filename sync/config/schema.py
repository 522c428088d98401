"""The schema of the configuration file: the one source for validation, defaults and the reference in the docs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny

from sync.config.values import (
    check_base_url,
    check_constant,
    check_cron,
    check_expression,
    check_expressions,
    check_label,
    check_label_template,
    check_listen,
    parse_start,
)
from sync.durations import Duration
from sync.secrets import SecretRef

Expression = Annotated[str | bool | int | float, BeforeValidator(check_expression)]
"""A JMESPath expression over the record, or a TOML number or boolean, which stands for itself."""
Expressions = Annotated[str | bool | int | float | list[str | bool | int | float], BeforeValidator(check_expressions)]
"""One expression that yields a list, or a list of expressions, each of which yields one item or a list of items."""
Constant = Annotated[str | bool | int | float, BeforeValidator(check_constant)]
"""A value of a look-up table."""
Start = Annotated[Literal["all", "now"] | date, BeforeValidator(parse_start)]
"""How a stream begins: with all there is, with what changes from now on, or from a date (UTC)."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""What the file may call workspaces, sources, streams, children and look-up tables."""

_SECOND = timedelta(seconds=1)
_YEAR = timedelta(days=366)


class Table(BaseModel):
    """A table of the file: unknown keys are refused, values are not coerced, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)


class Limit(Table):
    """The server's rate limit for one API key."""

    requests: int = Field(100, ge=1, le=100_000)
    per: Duration = Field(timedelta(seconds=60), ge=timedelta(milliseconds=100), le=timedelta(days=1))


class WireList(Table):
    """The names on the wire of one list of nested values, such as `"email": [{"Address": …}]`."""

    field: str = Field(min_length=1)
    member: str = Field(min_length=1)


class Wire(Table):
    """Names on the wire, where the vendor's pages disagree."""

    emails: WireList = WireList(field="email", member="Address")
    phones: WireList = WireList(field="phoneNumber", member="Number")
    socials: WireList = WireList(field="socials", member="Url")
    addresses: WireList = WireList(field="address", member="Address")


class Workspace(Table):
    """One ClosingDealz API key."""

    api_key: SecretRef
    base_url: Annotated[str, AfterValidator(check_base_url)] = "https://app.closingdealz.io"
    """Where the API is, without its path; plain http only to loopback."""
    limit: Limit = Limit()
    batch_size: int = Field(100, ge=1, le=100)
    in_flight: int = Field(8, ge=1, le=32)
    linger: Duration = Field(timedelta(seconds=2), le=timedelta(hours=1))
    timeout: Duration = Field(timedelta(seconds=60), ge=_SECOND, le=timedelta(minutes=15))
    label: Annotated[str, AfterValidator(check_label_template)] | None = None
    """A receipt on every lead; `{batch}` stands for the batch's name, 22 characters."""
    unknown_statuses: list[Annotated[int, Field(ge=300, le=599)]] = []
    on_unknown: Literal["hold", "resend"] = "hold"
    on_rejected: Literal["bisect", "hold"] = "bisect"
    max_pending: int = Field(50_000, ge=100)
    wire: Wire = Wire()

    @property
    def leads_per_second(self) -> float:
        """What the limit allows in full batches."""
        return self.batch_size * self.limit.requests / self.limit.per.total_seconds()


class LedgerOptions(Table):
    """Where the program remembers."""

    path: str = Field("ledger.db", min_length=1)
    keep_payloads: Duration = Field(timedelta(days=30), ge=timedelta(hours=1), le=10 * _YEAR)
    receipts_copy: str | None = Field(None, min_length=1)
    """A folder for a second set of receipts, on another disk or machine."""
    backups: int = Field(3, ge=0, le=366)
    """How many daily copies of the ledger are kept; 0: none are made."""
    backups_to: str = Field("backups", min_length=1)


class Log(Table):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "pretty"] = "auto"


class Metrics(Table):
    """What is served over HTTP on this machine: `/healthz` and Prometheus' `/metrics`."""

    listen: Annotated[str, AfterValidator(check_listen)] = "127.0.0.1:9464"


class ServiceOptions(Table):
    """The daemon under a service manager."""

    hung_after: Duration = Field(timedelta(minutes=15), ge=_SECOND, le=timedelta(days=1))
    """A poll that reads no page for so long hangs: the watchdog is not fed any more."""


class Guard(Table):
    """How many leads may be created without anybody's approval: in one poll, and in 24 hours."""

    max_new: int = Field(5000, ge=1)
    factor: float = Field(10, gt=1)
    """In 24 hours not more than so many times an average day, but `at_least` in any case."""
    at_least: int = Field(100, ge=0)


class LeadFields(Table):
    """The fields that a lead and a nested contact share."""

    name: Expression | None = None
    last_name: Expression | None = None
    industry: Expression | None = None
    role: Expression | None = None
    contact_id: Expression | None = None
    emails: Expressions | None = None
    phones: Expressions | None = None
    socials: Expressions | None = None
    addresses: Expressions | None = None
    notes: Expression | None = None
    date: Expression | None = None
    truncate: list[str] = []
    """Fields whose text is cut at the API's limit instead of being left out."""
    required: list[str] = []
    """Fields without which the lead is not sent (a nested contact: left out), besides its name."""
    require: list[str] | None = None
    """The older form of `required`: it replaces the name instead of adding to it."""


class ContactTable(LeadFields):
    """One `[[….lead.contacts]]`: nested contacts, from a list expression; its fields are relative to each item."""

    from_: Expression = Field(alias="from")
    where: Expression | None = None


class LeadTable(LeadFields):
    """`[sources.X.streams.Y.lead]`: the rules that turn a record into a lead."""

    kind: Literal["company", "contact"]
    where: Expression | None = None
    employee_count: Expression | None = None
    company_id: Expression | None = None
    labels: Expressions | None = None
    contacts: list[ContactTable] = []


class Stream(Table):
    """One kind of record of a source."""

    start: Start
    on_change: Literal["hold", "resend"]
    workspace: str | None = None
    match_on: list[Literal["email", "domain", "phone"]] = []
    resend_label: Annotated[str, AfterValidator(check_label)] | None = None
    sweep: Duration = Field(timedelta(days=1), ge=timedelta(minutes=1), le=_YEAR)
    guard: Guard | None = None
    lead: LeadTable
    children: Mapping[Name, Any] = {}
    """Each child's options, as the connector's own model."""
    options: SerializeAsAny[BaseModel] = Field(default_factory=Table, exclude=True)
    """The connector's own keys of this table; filled by the loader, never written in the file."""


class Source(Table):
    """One system that records come from."""

    connector: str
    every: Duration = Field(timedelta(minutes=5), ge=_SECOND, le=_YEAR)
    cron: Annotated[str, AfterValidator(check_cron)] | None = None
    """Instead of `every`: minute, hour, day, month and weekday."""
    overlap: Duration = Field(timedelta(minutes=10), le=timedelta(days=31))
    settle: Duration = Field(timedelta(seconds=5), le=timedelta(days=1))
    page_size: int = Field(1000, ge=1, le=50_000)
    streams: Mapping[Name, Stream] = Field(min_length=1)
    options: SerializeAsAny[BaseModel] = Field(default_factory=Table, exclude=True)
    """The connector's own keys of this table; filled by the loader, never written in the file."""


class Config(Table):
    """The whole file, validated. `path` is the file it came from."""

    workspaces: Mapping[Name, Workspace] = Field(min_length=1)
    ledger: LedgerOptions = LedgerOptions()
    log: Log = Log()
    metrics: Metrics | None = None
    service: ServiceOptions = ServiceOptions()
    guard: Guard = Guard()
    lookups: Mapping[Name, Mapping[str, Constant]] = {}
    """`[lookups.NAME]`: tables for the mapping function lookup(NAME, key)."""
    sources: Mapping[Name, Source] = Field(min_length=1)
    path: Path = Field(default=Path("config.toml"), exclude=True)
    digest: str = Field(default="", exclude=True)
    """Of what the file says, comments apart: whether it is the one that is in force."""
    state_folder: Path | None = Field(default=None, exclude=True)
    """Where a relative `ledger.path` is taken from ($STATE_DIRECTORY); None: the folder of the file."""

    @property
    def ledger_path(self) -> Path:
        """The ledger's file, absolute."""
        return (
            (self.path.parent if self.state_folder is None else self.state_folder).joinpath(self.ledger.path).resolve()
        )

    @property
    def receipts_copy_path(self) -> Path | None:
        """The folder of the second receipts, absolute."""
        if self.ledger.receipts_copy is None:
            return None
        return self.ledger_path.parent.joinpath(self.ledger.receipts_copy).resolve()

    @property
    def backups_path(self) -> Path:
        """The folder of the daily copies, absolute."""
        return self.ledger_path.parent.joinpath(self.ledger.backups_to).resolve()

    def guard_of(self, stream: Stream) -> Guard:
        """[guard], but for the keys that the stream's own table sets."""
        own = stream.guard
        return self.guard if own is None else self.guard.model_copy(update=own.model_dump(exclude_unset=True))

    def workspace_of(self, stream: Stream) -> str:
        """The name of the workspace that a stream's leads go to."""
        return stream.workspace or next(iter(self.workspaces))
