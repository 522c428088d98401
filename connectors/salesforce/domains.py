"""Turns what people write as `domain` into the one form that the rest of the program uses.

A domain of salesforce.com is kept without that ending (`acme.my`), one of another cloud of Salesforce as the whole host
(`acme.my.salesforce.mil`). (docs/sources.md#salesforce-login)
"""

from __future__ import annotations

import re

LOGIN_HOSTS = ("login", "test")
"""Salesforce's own login hosts, for production and for sandboxes: they name no organisation."""

_SUFFIX = ".salesforce.com"
_CLOUDS = (".salesforce.mil", ".sfcrmproducts.cn", ".sfcrmapps.cn")
"""Endings of hosts outside the commercial cloud: the US Department of Defense, and China."""
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
"""Hosts that serve pages, and the ending of the host that takes API requests instead."""


def prefix_of(text: str) -> str:
    """Return the host without `.salesforce.com`, or for another cloud the whole host, from any usual spelling.

    Takes `acme`, `acme.my`, `acme--uat.sandbox.my`, a host, or a URL copied from the browser. Raises ValueError, which
    says what to write instead.
    """
    # Whatever follows the host in a copied URL is dropped.
    host = re.sub(r"^[a-z]+://", "", text.strip().lower()).split("/")[0].split("?")[0].rstrip(".")
    # Copied from the browser, the most frequent mistake: such hosts answer INVALID_SESSION_ID.
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
    """Return the My Domain of a name: `acme` is `acme.my`; two hyphens mark a sandbox."""
    if name.endswith(".my"):
        return name
    if "." not in name and "--" in name:
        return f"{name}.sandbox.my"
    return f"{name}.my"


def host_of(domain: str) -> str:
    """Return the whole host for a result of `prefix_of`."""
    return domain if domain.endswith(_CLOUDS) else f"{domain}{_SUFFIX}"


def is_login_host(domain: str) -> bool:
    """Return true for a login host of any cloud."""
    return host_of(domain).split(".", 1)[0] in LOGIN_HOSTS and ".my." not in host_of(domain)


def instance_host(text: str) -> str:
    """Return a host, with its port if there is one, from a host or a URL. Raises ValueError."""
    host = re.sub(r"^https://", "", text.strip()).split("/")[0]
    if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?", host):
        raise ValueError('must be a host such as "acme.my.salesforce.com"')
    return host.lower()
