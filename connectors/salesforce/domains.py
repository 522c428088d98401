"""Where an organisation is: what people write as `domain`, and the one form that is used from then on.

A domain of salesforce.com is kept without that ending (`acme.my`), one of another of the vendor's clouds as the whole
host (`acme.my.salesforce.mil`). Source: Salesforce Help, "My Domain URL Formats" (id=xcloud.domain_name_url_formats).
"""

from __future__ import annotations

import re

LOGIN_HOSTS = ("login", "test")
"""The vendor's own log-in hosts, for production and for sandboxes: they name no organisation."""

_SUFFIX = ".salesforce.com"
_CLOUDS = (".salesforce.mil", ".sfcrmproducts.cn", ".sfcrmapps.cn")
"""Endings of hosts outside the commercial cloud: the United States' Department of Defense, China."""
_LABEL = re.compile(r"[a-z0-9](?:-?-?[a-z0-9])*")
_PARTITION = re.compile(r"\.(sandbox|develop|scratch|demo|patch|trailblaze|free|stage)$")
_PAGES = {
    ".lightning.force.com": _SUFFIX,
    ".my.salesforce-setup.com": _SUFFIX,
    ".visualforce.com": _SUFFIX,
    ".vf.force.com": _SUFFIX,
    ".my.site.com": _SUFFIX,
    ".lightning.force.mil": ".salesforce.mil",
    ".lightning.crmforce.mil": ".salesforce.mil",
    ".my.salesforce-setup.mil": ".salesforce.mil",
    ".lightning.sfcrmapps.cn": ".sfcrmproducts.cn",
    ".setup.sfcrmapps.cn": ".sfcrmproducts.cn",
    ".setup.sfcrmproducts.cn": ".sfcrmproducts.cn",
}
"""Hosts of pages, and the ending of the host that takes API requests instead."""


def prefix_of(text: str) -> str:
    """Return the host without `.salesforce.com`, of another cloud the whole host, from any usual spelling: `acme`,
    `acme.my`, `acme--uat.sandbox.my`, a host, a URL copied from the browser. Raises ValueError with what to write."""
    host = re.sub(r"^[a-z]+://", "", text.strip().lower()).split("/")[0].split("?")[0].rstrip(".")
    for pages, suffix in _PAGES.items():
        if host.endswith(pages):
            there = _my_domain(host.removesuffix(pages)) + ("" if suffix == _SUFFIX else suffix)
            raise ValueError(f'is the address of pages, which takes no API requests; write "{there}"')
    suffix = next((each for each in (_SUFFIX, *_CLOUDS) if host.endswith(each)), "")
    prefix = host.removesuffix(suffix)
    if not all(_LABEL.fullmatch(label) for label in prefix.split(".")):
        raise ValueError('is no Salesforce domain; write it as in "acme.my", or copy My Domain from Setup')
    if suffix:
        return prefix if suffix == _SUFFIX else host
    if "." in prefix and not (prefix.endswith(".my") or _PARTITION.search(prefix)):
        raise ValueError("is no host of salesforce.com or its other clouds; copy My Domain from Setup, My Domain")
    return prefix if prefix in LOGIN_HOSTS else _my_domain(prefix)


def _my_domain(name: str) -> str:
    """`acme` is `acme.my`; two hyphens in it name a sandbox."""
    if name.endswith(".my"):
        return name
    if "." not in name and "--" in name:
        return f"{name}.sandbox.my"
    return f"{name}.my"


def host_of(domain: str) -> str:
    """Return the whole host of what `prefix_of` returned."""
    return domain if domain.endswith(_CLOUDS) else f"{domain}{_SUFFIX}"


def is_login_host(domain: str) -> bool:
    """Return whether it is a log-in host, of whichever cloud."""
    return host_of(domain).split(".", 1)[0] in LOGIN_HOSTS and ".my." not in host_of(domain)


def instance_host(text: str) -> str:
    """A host, with its port if it has one, from a host or a URL."""
    host = re.sub(r"^https://", "", text.strip()).split("/")[0]
    if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?", host):
        raise ValueError('must be a host such as "acme.my.salesforce.com"')
    return host.lower()
