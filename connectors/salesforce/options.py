"""The configuration keys that only the Salesforce connector knows; their descriptions are the reference in the docs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from connectors.interface import EndOfSupport
from connectors.salesforce.domains import instance_host, is_login_host, prefix_of
from connectors.salesforce.endings import endings_of
from sync.shared.durations import Duration
from sync.shared.secrets import SecretRef

LAST_SOAP_VERSION = 64
"""The vendor's SOAP login() is absent from 65.0 on."""


def _from_folder(path: str, info: ValidationInfo) -> str:
    return str(Path(info.context["folder"], path)) if info.context else path


Domain = Annotated[str, AfterValidator(prefix_of)]
Host = Annotated[str, AfterValidator(instance_host)]
File = Annotated[str, Field(min_length=1), AfterValidator(_from_folder)]
ApiName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$")]
"""The name by which the API knows an object or a field: Account, Region__c."""
Text = str | SecretRef
"""No secret, but where secrets may lie is as good a place for it."""


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
        None, description='Whom the assertion is for: the domain, unless the organisation wants "login" or "test".'
    )


class SessionId(_SalesforceTable):
    """A session that somebody else opened; it cannot be renewed. For tests."""

    flow: Literal["session"]
    session_id: SecretRef = Field(description="The access token.")
    instance: Host = Field(description="The host, with its port if need be, that the session is of.")
    ca_file: File | None = Field(None, description="As the source's ca_file.")


class Password(_SalesforceTable):
    """User name, password and security token by SOAP login(), which the vendor retires in June 2027."""

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
        description="How long to wait for a connection, of each address.",
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
        description="The share of the organisation's API requests of 24 hours, used by whomever, at which this source "
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
            raise ValueError("client credentials are not taken at login or test: domain must be My Domain")
        if flow == "password" and float(self.api_version) > LAST_SOAP_VERSION:
            raise ValueError(f"a password logs in by SOAP, which ended with api_version {LAST_SOAP_VERSION}.0")
        return self

    @property
    def certificates(self) -> str | None:
        own = self.auth.ca_file if isinstance(self.auth, SessionId) else None
        return own or self.ca_file

    def endings(self) -> Sequence[EndOfSupport]:
        """Return what ends of the flow and of the version of the API, the earliest first."""
        return endings_of(self.auth.flow, self.api_version)

    def cautions(self) -> Iterator[tuple[str, str, str]]:
        """What works, and still deserves a look: key, what, cure."""
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
        description="Of Lead, also as a child: whether converted leads are read. They live on as contacts and "
        "accounts, so a person would come twice.",
    )
    reread: bool = Field(
        False,
        description="Whether the sweep re-reads all records: values of formulas and of parents (Owner.Name) change "
        "without a trace in the record. One request for 200 records.",
    )

    def bookkeeping(self) -> frozenset[str]:
        """The id, and times that move although nothing of the record changed."""
        return _BOOKKEEPING


class SalesforceChild(_SalesforceTable):
    """Keys of `[sources.X.streams.Y.children.Z]`: records nested into their parent's as the list Z."""

    object: ApiName = Field(description="The child object, by its API name: Contact.")
    via: ApiName = Field(description="The child's look-up field that holds its parent's id: AccountId.")
