"""The schema of the configuration file: the one source for validation, defaults and the reference in the docs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializeAsAny,
    model_validator,
)

from connectors.registry import CONNECTORS
from sync.config.value_types import (
    Memo,
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
from sync.shared.durations import Duration
from sync.shared.secrets import SecretRef

Expression = Annotated[str | bool | int | float, BeforeValidator(check_expression)]
"""A JMESPath expression over the record, or a TOML number or boolean, which stands for itself."""
Expressions = Annotated[str | bool | int | float | list[str | bool | int | float], BeforeValidator(check_expressions)]
"""One expression that yields a list, or a list of expressions, each of which yields one item or a list of items."""
Constant = Annotated[str | bool | int | float, BeforeValidator(check_constant)]
"""A value of a look-up table."""
Start = Annotated[Literal["all", "now"] | date, BeforeValidator(parse_start)]
"""The beginning of a stream: everything there is, what changes from now on, or from a date (UTC)."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""A name in the file, of a workspace, source, stream, child or look-up table."""

OWN_KEYS = "\0options"
"""The key under which the loader hands over a connector's own keys: no file can hold it, since NUL is refused."""
_SECOND = timedelta(seconds=1)
_YEAR = timedelta(days=366)


class Table(BaseModel):
    """A table of the file: unknown keys are refused, values are not coerced, nothing changes after loading."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        validate_default=True,
        allow_inf_nan=False,
        defer_build=True,  # most tables are only built as parts of another one
    )


class Limit(Table):
    """The server's rate limit for one API key."""

    requests: int = Field(100, ge=1, le=100_000, description="How many requests the server allows one key.")
    per: Duration = Field(
        timedelta(seconds=60),
        ge=timedelta(milliseconds=100),
        le=timedelta(days=1),
        description="The length of the window in which it allows them.",
    )


class WireList(Table):
    """The names on the wire of one list of nested values, such as `"email": [{"Address": …}]`."""

    field: str = Field(min_length=1, description="The name of the list in a lead.")
    member: str = Field(min_length=1, description="The name of the value in each of its objects.")


class Wire(Table):
    """Names on the wire, where the vendor's pages disagree."""

    emails: WireList = Field(WireList(field="email", member="Address"), description="E-mail addresses.")
    phones: WireList = Field(WireList(field="phoneNumber", member="Number"), description="Phone numbers.")
    socials: WireList = Field(WireList(field="socials", member="Url"), description="Web addresses.")
    addresses: WireList = Field(WireList(field="address", member="Address"), description="Postal addresses.")


class Workspace(Table):
    """One ClosingDealz API key."""

    api_key: SecretRef = Field(description="The API key. A key must belong to one ledger only.")
    base_url: Annotated[str, AfterValidator(check_base_url)] = Field(
        "https://app.closingdealz.io",
        description="Where the API is, without its path. Plain http is allowed to this machine only.",
    )
    limit: Limit = Field(Limit(), description="The server's rate limit for one key.")
    batch_size: int = Field(100, ge=1, le=100, description="The most leads in one request.")
    in_flight: int = Field(8, ge=1, le=32, description="The most requests in flight at a time.")
    linger: Duration = Field(
        timedelta(seconds=2),
        le=timedelta(hours=1),
        description="How long a batch that is not full waits for more leads.",
    )
    timeout: Duration = Field(
        timedelta(seconds=60),
        ge=_SECOND,
        le=timedelta(minutes=15),
        description="How long a request may take in all, including its answer.",
    )
    label: Annotated[str, AfterValidator(check_label_template)] | None = Field(
        None,
        description="A label on every lead, such as `sync-{batch}`; `{batch}` stands for the name of its request (22 "
        "characters), so that you can find what a batch in doubt created.",
    )
    unknown_statuses: list[Annotated[int, Field(ge=300, le=599)]] = Field(
        [], description="Further HTTP statuses after which it is unknown what was created."
    )
    on_unknown: Literal["hold", "resend"] = Field(
        "hold",
        description="What happens to a batch whose outcome is unknown: it is frozen until a person settles it, or "
        '(with "resend") sent again, which may create duplicates.',
    )
    on_rejected: Literal["bisect", "hold"] = Field(
        "bisect",
        description="What happens to a rejected batch: it is halved until the offending lead is found, or the whole "
        "batch waits for a person. `send-test --probe-rejection` tells you which one your server needs.",
    )
    max_pending: int = Field(50_000, ge=100, description="Reading pauses while this many leads wait to be sent.")
    wire: Wire = Field(Wire(), description="Names in the request, in case the server expects others.")

    @property
    def leads_per_second(self) -> float:
        """Return how many leads the limit allows per second in full batches."""
        return self.batch_size * self.limit.requests / self.limit.per.total_seconds()


class LedgerOptions(Table):
    """The ledger: the program's memory."""

    path: str = Field(
        "ledger.db",
        min_length=1,
        description="The ledger's file, relative to this file; under systemd to $STATE_DIRECTORY. Never on a network "
        "file system.",
    )
    keep_payloads: Duration = Field(
        timedelta(days=30),
        ge=timedelta(hours=1),
        le=10 * _YEAR,
        description="How long the payload of a delivered lead is kept: it is personal data.",
    )
    receipts_copy: str | None = Field(
        None, min_length=1, description="A folder for a second set of receipts, on another disk or machine."
    )
    backups: int = Field(3, ge=0, le=366, description="How many daily copies of the ledger are kept; 0 makes none.")
    backups_to: str = Field(
        "backups",
        min_length=1,
        description="The folder of these copies, best on another disk; relative to the ledger's folder.",
    )


class Log(Table):
    """The level and format of the log."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The lowest level that is written.")
    format: Literal["auto", "json", "pretty"] = Field(
        "auto", description='"auto" is "pretty" on a terminal and "json" elsewhere.'
    )


class MetricsSection(Table):
    """The HTTP endpoint on this machine: `/healthz` and Prometheus' `/metrics`. Without this table there is none."""

    listen: Annotated[str, AfterValidator(check_listen)] = Field(
        "127.0.0.1:9464", description="The address and port, of this machine only."
    )


class ServiceOptions(Table):
    """The daemon under a service manager."""

    hung_after: Duration = Field(
        timedelta(minutes=15),
        ge=_SECOND,
        le=timedelta(days=1),
        description="A poll that reads no page for this long is considered hung: the watchdog is no longer fed, and "
        "systemd restarts the daemon.",
    )


class Guard(Table):
    """The most leads that may be created without approval: in one poll, and in 24 hours."""

    max_new: int = Field(5000, ge=1, description="The most new leads in one poll.")
    factor: float = Field(
        10,
        gt=1,
        description="The most new leads in 24 hours, as a multiple of an average day of the last four weeks.",
    )
    at_least: int = Field(100, ge=0, description="Up to this many in 24 hours are never held because of factor.")


class LeadFields(Table):
    """The fields that a lead and a nested contact share."""

    name: Expression | None = Field(None, description="The name of a company, the first name of a contact.")
    last_name: Expression | None = Field(None, description="The last name of a contact.")
    industry: Expression | None = Field(None, description="The industry.")
    role: Expression | None = Field(None, description="The role of a contact.")
    contact_id: Expression | None = Field(None, description="The UUID of a contact that exists in ClosingDealz.")
    emails: Expressions | None = Field(None, description="E-mail addresses.")
    phones: Expressions | None = Field(None, description="Phone numbers.")
    socials: Expressions | None = Field(None, description="Web addresses and profiles.")
    addresses: Expressions | None = Field(None, description="Postal addresses, each as one text.")
    notes: Expression | None = Field(None, description="Notes of the lead.")
    date: Expression | None = Field(
        None, description="When the lead was captured (ISO 8601); without it the moment of its creation."
    )
    truncate: list[str] = Field(
        [], description="Fields whose text is cut at the API's limit instead of being left out."
    )
    required: list[str] = Field(
        [],
        description="Fields that the lead needs besides its name: without one of them it is not sent (a nested "
        "contact is left out).",
    )
    require: list[str] | None = Field(
        None, description="The older form of required: it replaces the name instead of adding to it."
    )


class ContactTable(LeadFields):
    """One `[[….lead.contacts]]`: nested contacts, from a list expression; its fields are relative to each item."""

    from_: Expression = Field(
        alias="from",
        description="A list of the record; the other expressions of this table are evaluated on each of its items.",
    )
    where: Expression | None = Field(None, description="Only items for which this is true.")


class LeadTable(LeadFields):
    """`[sources.X.streams.Y.lead]`: the rules that turn a record into a lead."""

    kind: Literal["company", "contact"] = Field(description="What kind of lead it becomes.")
    where: Expression | None = Field(None, description="Only records for which this is true.")
    employee_count: Expression | None = Field(None, description="The number of employees of a company.")
    company_id: Expression | None = Field(None, description="The UUID of a company that exists in ClosingDealz.")
    labels: Expressions | None = Field(None, description="Labels.")
    contacts: list[ContactTable] = Field([], description="Nested contacts; several such tables feed one list.")


class Extended(Table):
    """A table of the file that holds a connector's own keys beside the engine's.

    As it stands it has none: `joined.py` makes the models that know a connector's.
    """

    options: SerializeAsAny[BaseModel] = Field(default_factory=Table, alias=OWN_KEYS, exclude=True)
    """The connector's own keys of this table, in its own model."""

    @classmethod
    def own_model(cls) -> type[BaseModel] | None:
        """Return the connector's model; None where no connector is known."""
        model = cls.model_fields["options"].annotation
        return model if isinstance(model, type) and model is not BaseModel else None

    @model_validator(mode="before")
    @classmethod
    def _move_own_keys(cls, table: Any) -> Any:
        """Move the connector's keys into a table of their own, for its model to check.

        That model is nested, not inherited: its checks between keys then run even if one of the engine's keys is
        wrong, and every problem of the file is found at once.
        """
        model = cls.own_model()
        if model is None or not isinstance(table, dict):
            return table
        own = {key for name, field in model.model_fields.items() for key in [field.alias or name]}
        moved = {key: value for key, value in table.items() if key in own}
        return {key: value for key, value in table.items() if key not in own} | {OWN_KEYS: moved}


class Stream(Extended):
    """One kind of record of a source."""

    start: Start = Field(
        description='Whether the records that exist now are sent ("all"), taken as known ("now"), or ignored if they '
        "are older than a date. It cannot be reversed later."
    )
    on_change: Literal["hold", "resend"] = Field(
        description='Whether a record that changes after its lead was created is listed as drift ("hold") or creates '
        'another lead ("resend"). It cannot be reversed later.'
    )
    workspace: str | None = Field(None, description="Where its leads go; needed only if there are several.")
    match_on: list[Literal["email", "domain", "phone"]] = Field(
        [], description="Which common values make a record the duplicate of one that has a lead."
    )
    resend_label: Annotated[str, AfterValidator(check_label)] | None = Field(
        None, description="A label on each further lead of a record, including one that `drift resend` creates."
    )
    sweep: Duration = Field(
        timedelta(days=1),
        ge=timedelta(minutes=1),
        le=_YEAR,
        description="How often all ids are compared with the ledger.",
    )
    guard: Guard | None = Field(None, description="Where this stream differs from [guard].")
    lead: LeadTable = Field(description="The mapping.")
    children: Mapping[Name, Any] = Field({}, description="Records nested into each record as a list of that name.")
    """Each child's options, in the connector's own model."""


class Source(Extended):
    """One system that records come from."""

    connector: str = Field(description=f"The kind of source: {', '.join(CONNECTORS)}.")
    every: Duration = Field(
        timedelta(minutes=5),
        ge=_SECOND,
        le=_YEAR,
        description="How often its streams are read. If it is not set, a stream whose polls take long because it has "
        "no `modified` column is read less often.",
    )
    cron: Annotated[str, AfterValidator(check_cron)] | None = Field(
        None, description="Instead of every: minute, hour, day, month and weekday (mon, tue …)."
    )
    overlap: Duration = Field(
        timedelta(minutes=10),
        le=timedelta(days=31),
        description="What changed in this time before the last poll is read again, since commits may be late.",
    )
    settle: Duration = Field(
        timedelta(seconds=5), le=timedelta(days=1), description="What changed less than this long ago is not read yet."
    )
    page_size: int = Field(1000, ge=1, le=50_000, description="How many records are read and committed at a time.")
    streams: Mapping[Name, Stream] = Field(min_length=1, description="What is read from it.")


class Config(Table):
    """The whole file, validated. `path` is the file it came from."""

    workspaces: Mapping[Name, Workspace] = Field(min_length=1, description="One table for each API key.")
    ledger: LedgerOptions = Field(LedgerOptions(), description="Where the program remembers.")
    log: Log = Field(Log(), description="How the log is written: level and format.")
    metrics: MetricsSection | None = Field(None, description="Health checks and metrics, served over HTTP.")
    service: ServiceOptions = Field(ServiceOptions(), description="The daemon under a service manager.")
    guard: Guard = Field(Guard(), description="What may be created without anybody's approval.")
    lookups: Mapping[Name, Mapping[str, Constant]] = Field({}, description="Tables for the function lookup().")
    """`[lookups.NAME]`: tables for the mapping function lookup(NAME, key)."""
    sources: Mapping[Name, Source] = Field(min_length=1, description="One table for each system that is read.")
    path: Path = Field(default=Path("config.toml"), exclude=True)
    digest: str = Field(default="", exclude=True)
    """A digest of the file without its comments, to tell whether the file is the one in force."""
    state_folder: Path | None = Field(default=None, exclude=True)
    """The folder ($STATE_DIRECTORY) of a relative `ledger.path`; None: the folder of the file."""

    _memo: Memo = PrivateAttr(default_factory=Memo)

    @property
    def memo(self) -> Memo:
        """Values computed from this configuration, or from the one that it was copied from."""
        return self._memo

    @property
    def ledger_path(self) -> Path:
        """Return the ledger's file, absolute."""
        return (
            (self.path.parent if self.state_folder is None else self.state_folder).joinpath(self.ledger.path).resolve()
        )

    @property
    def receipts_copy_path(self) -> Path | None:
        """Return the folder of the second receipts, absolute; None if there is none."""
        if self.ledger.receipts_copy is None:
            return None
        return self.ledger_path.parent.joinpath(self.ledger.receipts_copy).resolve()

    @property
    def backups_path(self) -> Path:
        """Return the folder of the daily copies, absolute."""
        return self.ledger_path.parent.joinpath(self.ledger.backups_to).resolve()

    def guard_of(self, stream: Stream) -> Guard:
        """Return the guard of a stream: [guard], overridden by the keys of the stream's own table."""
        own = stream.guard
        return self.guard if own is None else self.guard.model_copy(update=own.model_dump(exclude_unset=True))

    def workspace_of(self, stream: Stream) -> str:
        """Return the name of the workspace that a stream's leads go to."""
        return stream.workspace or next(iter(self.workspaces))
