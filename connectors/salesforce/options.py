"""The configuration keys of the Salesforce connector; their descriptions are the reference in the docs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from connectors.interface import EndOfSupport
from connectors.salesforce.domains import instance_host, is_login_host, prefix_of
from sync.shared.durations import Duration
from sync.shared.secrets import SecretRef

LAST_SOAP_VERSION = 64
"""SOAP login() does not exist in later versions. (docs/sources.md#salesforce-end-of-support)"""


def _from_folder(path: str, info: ValidationInfo) -> str:
    return str(Path(info.context["folder"], path)) if info.context else path


Domain = Annotated[str, AfterValidator(prefix_of)]
Host = Annotated[str, AfterValidator(instance_host)]
File = Annotated[str, Field(min_length=1), AfterValidator(_from_folder)]
ApiName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$")]
"""The name of an object or a field in the API: Account, Region__c."""
Text = str | SecretRef
"""A text that is no secret, but may be stored where secrets are."""


class _SalesforceTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


class ClientCredentials(_SalesforceTable):
    """OAuth client credentials: the application acts as the user set as "Run As" in its policies. Recommended."""

    flow: Literal["client_credentials"]
    client_id: Text = Field(description="The consumer key of the External Client App.")
    client_secret: SecretRef = Field(description="Its consumer secret.")


class Jwt(_SalesforceTable):
    """OAuth JWT bearer: a certificate instead of a secret."""

    flow: Literal["jwt"]
    client_id: Text = Field(description="The consumer key of the External Client App.")
    username: Text = Field(description="The user it acts as; the app must be pre-authorised for it.")
    private_key: SecretRef = Field(description="The RSA private key (PEM) whose certificate the app holds.")
    audience: Domain | None = Field(
        None, description='The audience of the assertion: the domain, unless the organisation wants "login" or "test".'
    )


class SessionId(_SalesforceTable):
    """A session that was opened elsewhere; it cannot be renewed. For tests."""

    flow: Literal["session"]
    session_id: SecretRef = Field(description="The access token.")
    instance: Host = Field(description="The host of the session, with its port if necessary.")
    ca_file: File | None = Field(None, description="As the source's ca_file.")


class Password(_SalesforceTable):
    """User name, password and security token by SOAP login(), which Salesforce retires in June 2027."""

    flow: Literal["password"]
    username: Text = Field(description="The user.")
    password: SecretRef = Field(description="Its password.")
    security_token: SecretRef | None = Field(
        None, description="The token that the vendor mailed to the user; not needed from trusted addresses."
    )


Auth = Annotated[ClientCredentials | Jwt | SessionId | Password, Field(discriminator="flow")]


class SalesforceSource(_SalesforceTable):
    """Keys of `[sources.X]` with `connector = "salesforce"`."""

    domain: Domain | None = Field(
        None, description='My Domain: "acme", "acme.my", a host or a URL; with a password "login" or "test" will do.'
    )
    auth: Auth = Field(description="How to log in: flow is client_credentials, jwt, password or session.")
    api_version: str = Field(
        "64.0", pattern=r"^[1-9]\d{1,2}\.0$", description="The version of the API; the vendor retires old ones."
    )
    timeout: Duration = Field(
        timedelta(minutes=3),
        ge=timedelta(milliseconds=100),
        le=timedelta(minutes=30),
        description="How long one request may take in all. Salesforce itself stops a query after two minutes.",
    )
    connect_timeout: Duration = Field(
        timedelta(seconds=10),
        ge=timedelta(milliseconds=100),
        le=timedelta(minutes=5),
        description="How long to wait for a connection to each address.",
    )
    proxy: SecretRef | None = Field(
        None, description="The proxy's URL; without it $HTTPS_PROXY and $NO_PROXY count. It may hold a password."
    )
    ca_file: File | None = Field(
        None, description="Certificates (PEM) to trust instead of the usual ones, as behind an inspecting proxy."
    )
    quota: float = Field(
        0.8,
        gt=0,
        le=1,
        description="The share of the organisation's API requests of 24 hours, whoever uses them, at which this source "
        "pauses. From seven eighths of it on it reads changes only, and less often.",
    )
    person_accounts: Literal["account", "contact"] = Field(
        "account",
        description="Where there are person accounts: which of a person's two records is read. The other one is left "
        "out of the streams of its object.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> SalesforceSource:
        flow = self.auth.flow
        if self.domain is None and flow in {"client_credentials", "jwt"}:
            raise ValueError('needs a domain: My Domain, such as "acme.my"')
        if flow == "client_credentials" and self.domain and is_login_host(self.domain):
            raise ValueError("client credentials are not accepted at login or test: domain must be My Domain")
        if flow == "password" and float(self.api_version) > LAST_SOAP_VERSION:
            raise ValueError(f"a password logs in by SOAP, which ended with api_version {LAST_SOAP_VERSION}.0")
        return self

    @property
    def certificates(self) -> str | None:
        own = self.auth.ca_file if isinstance(self.auth, SessionId) else None
        return own or self.ca_file

    def endings(self) -> Sequence[EndOfSupport]:
        """Return what Salesforce stops supporting of the flow and the version of the API, the earliest first."""
        return endings_of(self.auth.flow, self.api_version)

    def cautions(self) -> Iterator[tuple[str, str, str]]:
        """Yield key, problem and cure of settings that work but deserve attention."""
        if isinstance(self.auth, Password):
            what = "logs in by SOAP login(), which is switched off in new organisations"
            yield "auth", what, 'use flow = "client_credentials" or "jwt"'
        if isinstance(self.auth, SessionId):
            yield "auth", "is a session that cannot be renewed: it ends within hours", "it is meant for tests"


_BOOKKEEPING = frozenset(
    {"attributes", "Id", "SystemModstamp", "LastModifiedDate", "LastViewedDate", "LastReferencedDate"}
)


class SalesforceStream(_SalesforceTable):
    """Keys of `[sources.X.streams.Y]`."""

    object: ApiName = Field(description="The object to read, by its API name: Account, Contact, Lead, Invoice__c.")
    converted: Literal["skip", "read"] = Field(
        "skip",
        description="For Lead, also as a child: whether converted leads are read. They live on as "
        "contacts and accounts, so a person would be read twice.",
    )
    reread: bool = Field(
        False,
        description="Whether the sweep re-reads all records: values of formulas and of parents (Owner.Name) change "
        "without a trace in the record. One request for 200 records.",
    )

    def bookkeeping(self) -> frozenset[str]:
        """Return the id, and the times that move although nothing in the record changed."""
        return _BOOKKEEPING


class SalesforceChild(_SalesforceTable):
    """Keys of `[sources.X.streams.Y.children.Z]`: records nested into their parent's as the list Z."""

    object: ApiName = Field(description="The child object, by its API name: Contact.")
    via: ApiName = Field(description="The child's look-up field that holds its parent's id: AccountId.")


# ---- ends of support, as Salesforce has announced them (docs/sources.md#salesforce-end-of-support)
# A release has no single day: the first day of its season stands for it, June 1st for a Summer release.

SUMMER_25, SUMMER_27, SUMMER_28 = date(2025, 6, 1), date(2027, 6, 1), date(2028, 6, 1)
_OTHER_FLOW = 'set auth = { flow = "client_credentials", … } or { flow = "jwt", … }'
_HIGHER = "raise api_version: `check` names the newest there is"


@dataclass(frozen=True, slots=True)
class _AnnouncedEnd:
    """An end of support, and whom it concerns: versions of the API from `first` to `last`, under one flow or any."""

    first: int
    last: int
    flow: Literal["password"] | None
    ending: EndOfSupport


_ANNOUNCED = (
    # Salesforce Help 005132110: gone from 65.0 on; in older versions it is retired with Summer '27
    _AnnouncedEnd(
        1, 64, "password", EndOfSupport(SUMMER_27, 'SOAP login(), by which flow = "password" logs in', _OTHER_FLOW)
    ),
    # Salesforce Help 000354473
    _AnnouncedEnd(21, 30, None, EndOfSupport(SUMMER_25, "the API in versions 21.0 to 30.0", _HIGHER)),
    # Salesforce Help 005321531
    _AnnouncedEnd(31, 40, None, EndOfSupport(SUMMER_27, "support for the API in versions 31.0 to 40.0", _HIGHER)),
    _AnnouncedEnd(31, 40, None, EndOfSupport(SUMMER_28, "the API in versions 31.0 to 40.0", _HIGHER)),
)


def endings_of(flow: str, api_version: str) -> list[EndOfSupport]:
    """Return what Salesforce stops supporting of this flow and version of the API, the earliest first."""
    version = int(float(api_version))
    found = (
        row.ending for row in _ANNOUNCED if row.first <= version <= row.last and (row.flow is None or row.flow == flow)
    )
    return sorted(found, key=lambda ending: ending.date)
