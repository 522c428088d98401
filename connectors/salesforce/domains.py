"""Where an organisation is: what people write as `domain`, and the one form that is used from then on."""

from __future__ import annotations

import re

LOGIN_HOSTS = ("login", "test")
"""The vendor's own log-in hosts, for production and for sandboxes: they name no organisation."""

_SUFFIX = ".salesforce.com"
_LABEL = re.compile(r"[a-z0-9](?:-?-?[a-z0-9])*")
_PARTITION = re.compile(r"\.(sandbox|develop|scratch|demo|patch|trailblaze|free|stage)$")
_PAGES = (".lightning.force.com", ".my.salesforce-setup.com", ".visualforce.com", ".vf.force.com", ".my.site.com")


def prefix_of(text: str) -> str:
    """The host without `.salesforce.com`, as simple-salesforce wants it, from any usual spelling: `acme`, `acme.my`,
    `acme--uat.sandbox.my`, a whole host, a URL copied from the browser. Raises ValueError with what to write."""
    host = re.sub(r"^[a-z]+://", "", text.strip().lower()).split("/")[0].split("?")[0].rstrip(".")
    for pages in _PAGES:
        if host.endswith(pages):
            name = host.removesuffix(pages)
            raise ValueError(f'is the address of pages, which takes no API requests; write "{_my_domain(name)}"')
    prefix = host.removesuffix(_SUFFIX)
    if not all(_LABEL.fullmatch(label) for label in prefix.split(".")):
        raise ValueError('is no Salesforce domain; write it as in "acme.my", or copy My Domain from Setup')
    if "." in prefix and not host.endswith(_SUFFIX) and not (prefix.endswith(".my") or _PARTITION.search(prefix)):
        raise ValueError("is no host of salesforce.com; copy My Domain from Setup, My Domain")
    return prefix if host.endswith(_SUFFIX) or prefix in LOGIN_HOSTS else _my_domain(prefix)


def _my_domain(name: str) -> str:
    """`acme` is `acme.my`; two hyphens in it name a sandbox."""
    if name.endswith(".my"):
        return name
    if "." not in name and "--" in name:
        return f"{name}.sandbox.my"
    return f"{name}.my"


def host_of(prefix: str) -> str:
    return f"{prefix}{_SUFFIX}"


def instance_host(text: str) -> str:
    """A host, with its port if it has one, from a host or a URL."""
    host = re.sub(r"^https://", "", text.strip()).split("/")[0]
    if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?", host):
        raise ValueError('must be a host such as "acme.my.salesforce.com"')
    return host.lower()
