"""The schema of the configuration file: the one source for validation, defaults and the reference in the docs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, field_validator

from sync.durations import Duration
from sync.secrets import SecretRef

Expression = str | bool | int | float
"""A JMESPath expression over the record, or a TOML number or boolean, which stands for itself."""
Expressions = Expression | list[Expression]
"""One expression that yields a list, or a list of expressions, each of which yields one item or a list of items."""


class Table(BaseModel):
    """A table of the file: unknown keys are refused, values are not coerced, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


class Limit(Table):
    """The server's rate limit for one API key."""

    requests: int = Field(100, ge=1, le=100_000)
    per: Duration = timedelta(seconds=60)

    @field_validator("per")
    @classmethod
    def _positive(cls, value: timedelta) -> timedelta:
        if value.total_seconds() <= 0:
            raise ValueError("must be longer than zero")
        return value


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
    base_url: str = "https://app.closingdealz.io"
    limit: Limit = Limit()
    batch_size: int = Field(100, ge=1, le=100)
    in_flight: int = Field(4, ge=1, le=32)
    linger: Duration = timedelta(seconds=2)
    timeout: Duration = timedelta(seconds=60)
    label: str | None = Field(None, min_length=1, max_length=64)
    unknown_statuses: list[int] = []
    on_unknown: Literal["hold", "resend"] = "hold"
    on_rejected: Literal["bisect", "hold"] = "bisect"
    max_pending: int = Field(50_000, ge=100)
    wire: Wire = Wire()


class LedgerOptions(Table):
    """Where the program remembers."""

    path: str = "ledger.db"
    keep_payloads: Duration = timedelta(days=30)
    receipts_copy: str | None = None


class Log(Table):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "pretty"] = "auto"


class Metrics(Table):
    listen: str = "127.0.0.1:9464"


class Guard(Table):
    """More new leads in one poll than this are held for approval."""

    max_new: int = Field(5000, ge=1)
    factor: float = Field(10, gt=1)


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
    """Fields whose text is cut at the API's limit instead of sending the lead to quarantine."""
    require: list[str] | None = None
    """Fields without which the lead is not sent (a nested contact: left out)."""


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

    start: Literal["all", "now"] | date
    on_change: Literal["hold", "resend"]
    workspace: str | None = None
    match_on: list[Literal["email", "domain", "phone"]] = []
    resend_label: str | None = Field(None, min_length=1, max_length=64)
    sweep: Duration = timedelta(days=1)
    guard: Guard | None = None
    lead: LeadTable
    children: Mapping[str, Any] = {}
    """Each child's options, as the connector's own model."""
    options: SerializeAsAny[BaseModel] = Field(default_factory=BaseModel, exclude=True)
    """The connector's own keys of this table; filled by the loader, never written in the file."""


class Source(Table):
    """One system that records come from."""

    connector: str
    every: Duration = timedelta(minutes=5)
    cron: str | None = None
    overlap: Duration = timedelta(minutes=10)
    settle: Duration = timedelta(seconds=5)
    page_size: int = Field(1000, ge=1, le=50_000)
    streams: Mapping[str, Stream]
    options: SerializeAsAny[BaseModel] = Field(default_factory=BaseModel, exclude=True)
    """The connector's own keys of this table; filled by the loader, never written in the file."""


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Config(Table):
    """The whole file, validated. `path` is the file it came from."""

    workspaces: Mapping[Name, Workspace] = Field(min_length=1)
    ledger: LedgerOptions = LedgerOptions()
    log: Log = Log()
    metrics: Metrics | None = None
    guard: Guard = Guard()
    lookups: Mapping[str, Mapping[str, Any]] = {}
    """`[lookups.NAME]`: tables for the mapping function lookup(NAME, key)."""
    sources: Mapping[Name, Source]
    path: Path = Field(default=Path("config.toml"), exclude=True)

    @property
    def ledger_path(self) -> Path:
        """The ledger's file; a relative path is taken from the configuration file's folder (the loader resolves
        $STATE_DIRECTORY)."""
        return (self.path.parent / self.ledger.path).resolve()
