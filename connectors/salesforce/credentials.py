"""The credentials of a source: opens sessions with them, and names the organisation that they belong to."""

from __future__ import annotations

import base64
import hashlib
import ssl
import warnings
from datetime import UTC, datetime, timedelta

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from simple_salesforce.login import SalesforceLogin, token_login

from connectors.salesforce.domains import host_of, is_login_host
from connectors.salesforce.options import ClientCredentials, Jwt, Password, SalesforceSource, SessionId, Text
from connectors.salesforce.transport import Http
from sync.shared.errors import ConfigError, Problem
from sync.shared.secrets import SecretRef

_ASSERTED_FOR = timedelta(minutes=3)
"""Salesforce accepts no signed assertion with a longer validity. (docs/sources.md#salesforce-login)"""


class Credentials:
    """The credentials of one source. Secrets are read again at each use; all methods raise ConfigError if that
    fails."""

    def __init__(self, source: str, options: SalesforceSource) -> None:
        self._source = source
        self._options = options

    def open(self, http: Http) -> tuple[str, str]:
        """Return the secret and the host of a new session. Raises whatever simple-salesforce and the connection
        raise."""
        auth, host = self._options.auth, host_of(self._options.domain or "login")
        match auth:
            case SessionId():
                return self._secret(auth.session_id, "session_id"), auth.instance
            case ClientCredentials():
                return self._with_client(http, auth, host)
            case Jwt():
                return self._with_assertion(http, auth, host)
            case Password():
                return self._with_password(http, auth, host)

    def _with_client(self, http: Http, auth: ClientCredentials, host: str) -> tuple[str, str]:
        client, secret = self._text(auth.client_id, "client_id"), self._secret(auth.client_secret, "client_secret")
        basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
        return _token(http, host, client, {"grant_type": "client_credentials"}, {"Authorization": f"Basic {basic}"})

    def _with_assertion(self, http: Http, auth: Jwt, host: str) -> tuple[str, str]:
        client = self._text(auth.client_id, "client_id")
        claims = {
            "iss": client,
            "sub": self._text(auth.username, "username"),
            "aud": f"https://{host_of(auth.audience) if auth.audience else host}",
            "exp": f"{(datetime.now(UTC) + _ASSERTED_FOR).timestamp():.0f}",
        }
        assertion = jwt.encode(claims, self._private_key(auth), algorithm="RS256")
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        return _token(http, host, client, form, None)

    def _with_password(self, http: Http, auth: Password, host: str) -> tuple[str, str]:
        session, instance = SalesforceLogin(
            scratch_url=f"https://{host}",
            username=self._text(auth.username, "username"),
            password=self._secret(auth.password, "password"),
            security_token=self._secret(auth.security_token, "security_token") if auth.security_token else "",
            sf_version=self._options.api_version,
            client_id="closingdealz-sync",
            session=http,
        )
        return str(session or ""), str(instance or "")

    def _private_key(self, auth: Jwt) -> str:
        pem = self._secret(auth.private_key, "private_key")
        try:
            key = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, RSAPrivateKey):
            what = "holds no RSA private key in PEM form without a password"
            raise ConfigError([Problem(f"sources.{self._source}.auth.private_key", what)])
        return pem

    def _secret(self, ref: SecretRef, key: str) -> str:
        return ref.read(key=f"sources.{self._source}.auth.{key}").reveal()

    def _text(self, text: Text, key: str) -> str:
        return text if isinstance(text, str) else self._secret(text, key)

    def check_files(self) -> None:
        """Raise ConfigError if a secret or certificate file that the options name cannot be used."""
        options = self._options
        if options.certificates is not None:
            try:
                ssl.create_default_context(cafile=options.certificates)
            except OSError:
                key = f"sources.{self._source}.ca_file"
                raise ConfigError([Problem(key, "cannot be read, or holds no certificates in PEM form")]) from None
        if options.proxy is not None:
            options.proxy.read(key=f"sources.{self._source}.proxy")
        for name in type(options.auth).model_fields:
            value = getattr(options.auth, name)
            if isinstance(value, SecretRef):
                self._secret(value, name)

    def place(self) -> str:
        """Return the organisation's host, without a request.

        A login host (`login`, `test`) names no organisation: there the user's name is added, hashed because it may be a
        person.
        """
        auth, domain = self._options.auth, self._options.domain or "login"
        if isinstance(auth, SessionId):
            return auth.instance
        if is_login_host(domain) and not isinstance(auth, ClientCredentials):
            user = self._text(auth.username, "username").lower().encode()
            return f"{host_of(domain)}/{hashlib.blake2b(user, digest_size=8).hexdigest()}"
        return host_of(domain)


def _token(http: Http, host: str, client: str, form: dict[str, str], headers: dict[str, str] | None) -> tuple[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would print the client's id
        url = f"https://{host}/services/oauth2/token"
        session, instance = token_login(url, form, host, client, headers, None, http)
    return str(session or ""), str(instance or "")
