"""The stand-in's doors: OAuth's token endpoint and SOAP's login(), and the sessions that they open."""

from __future__ import annotations

import base64
import re
import threading
from typing import Any
from urllib.parse import parse_qs

import jwt

from tests.salesforce.sf_faults import Asked


class Logins:
    """`instance` is the host that a login names; `login_fault` what it meets instead: status and body."""

    @property
    def host(self) -> str:
        raise NotImplementedError

    def close_doors(self) -> None:
        """As new: nobody is logged in, but for one session that always was."""
        self.sessions: set[str] = {"open-session"}
        self.client = ("the-client-id", "the-client-secret")
        self.users = {"ann@example.com": "the-password" + "the-token"}
        self.public_key: Any = None
        self.audiences = {"https://acme.my.salesforce.com"}
        self.sessions_are_good = True
        self.instance: str | None = None
        self.login_fault: tuple[int, Any] | None = None
        self.opened = 0
        self._lock = threading.Lock()

    def login(self, asked: Asked, body: bytes) -> tuple[int, Any, dict[str, str]]:
        if self.login_fault is not None:
            return *self.login_fault, {}
        if asked.path.startswith("/services/Soap"):
            return self._soap(body.decode())
        form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
        fault = self._oauth_fault(asked, form)
        if fault is not None:
            return 400, {"error": fault[0], "error_description": fault[1]}, {}
        return 200, {"access_token": self._open(), "instance_url": f"https://{self.instance or self.host}",
                     "id": "https://login.salesforce.com/id/00D/005", "token_type": "Bearer",
                     "issued_at": "1729294906256", "signature": "…"}, {}  # fmt: skip

    def _open(self) -> str:
        with self._lock:
            self.opened += 1
            session = f"session-{self.opened}"
            self.sessions.add(session)
        return session

    def _oauth_fault(self, asked: Asked, form: dict[str, str]) -> tuple[str, str] | None:
        host = asked.headers.get("host", "")
        match form.get("grant_type"):
            case "client_credentials":
                if host.startswith(("login.", "test.")):
                    return "invalid_grant", "request not supported on this domain"
                given = base64.b64decode(asked.headers.get("authorization", "").removeprefix("Basic ")).decode()
                return None if tuple(given.split(":")) == self.client else ("invalid_client", "invalid client")
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                try:
                    claims = jwt.decode(form["assertion"], self.public_key, ["RS256"], options={"verify_aud": False})
                except jwt.PyJWTError:
                    return "invalid_grant", "invalid assertion"
                if claims["aud"] not in self.audiences:
                    return "invalid_grant", "audience is invalid"
                return None if claims["sub"] in self.users else ("invalid_grant", "user hasn't approved this consumer")
            case _:
                return "unsupported_grant_type", "grant type not supported"

    def _soap(self, body: str) -> tuple[int, Any, dict[str, str]]:
        user, password = (re.search(rf"<n1:{name}>(.*?)</n1:{name}>", body) for name in ("username", "password"))
        assert user
        assert password
        if self.users.get(user[1]) != password[1]:
            return 500, _SOAP_FAULT.format("INVALID_LOGIN"), {"Content-Type": "text/xml"}
        return 200, _SOAP_OPEN.format(self.instance or self.host, self._open()), {"Content-Type": "text/xml"}


_SOAP_FAULT = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:sf="urn:fault.partner.soap.sforce.com"><soapenv:Body><soapenv:Fault><detail>'
    "<sf:exceptionCode>{}</sf:exceptionCode><sf:exceptionMessage>no</sf:exceptionMessage></detail></soapenv:Fault>"
    "</soapenv:Body></soapenv:Envelope>"
)
_SOAP_OPEN = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns="urn:partner.soap.sforce.com"><soapenv:Body><loginResponse><result><serverUrl>https://{}/services/Soap/u/64.0/'
    "00D</serverUrl><sessionId>{}</sessionId></result></loginResponse></soapenv:Body></soapenv:Envelope>"
)
