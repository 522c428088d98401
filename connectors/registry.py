"""The connectors by name. Each is imported only when a source needs it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from sync.shared.errors import ConfigError, Problem

if TYPE_CHECKING:  # the interface needs pydantic, which naming the connectors does not
    from connectors.interface import ConnectorType

CONNECTORS: dict[str, str] = {
    "sql": "connectors.sql.connector",
    "salesforce": "connectors.salesforce.connector",
    "hubspot": "connectors.hubspot.connector",
}
"""The name in the configuration, and the module that offers the connector as `CONNECTOR`; the first is the one that
`init` writes unless another is asked for. Nothing else outside a connector's folder names one."""

_OURS = ("connectors", "state", "sync")


def connector_type(name: str) -> ConnectorType:
    """Return the connector of that name. Raises ConfigError, placed at `connector`, where this version has none or its
    packages are not installed."""
    from connectors.interface import NeedsPackages

    module = CONNECTORS.get(name)
    if module is None:
        known = ", ".join(sorted(CONNECTORS))
        raise ConfigError([Problem("connector", f'"{name[:40]}" is not a connector', f"this version has: {known}")])
    try:
        found = cast("ConnectorType", import_module(module).CONNECTOR)
    except ModuleNotFoundError as error:
        # A module of ours that is missing is a broken installation: an extra would not bring it.
        if (error.name or "").partition(".")[0] in _OURS:
            raise
        raise _missing_packages(name) from None
    if isinstance(found, NeedsPackages) and None in map(find_spec, found.packages):
        raise _missing_packages(name)
    return found


def reader_of(url: str) -> str:
    """Return the name of the connector that reads such a URL. Raises ConfigError, which does not hold the URL, where
    none does."""
    from connectors.interface import Drafts

    # In the list's order, so that the connectors behind the first that fits are not imported.
    for name in CONNECTORS:
        kind = connector_type(name)
        if isinstance(kind, Drafts):
            try:
                kind.address(url)
            except ValueError:
                continue
            return name
    raise ConfigError([Problem("url", "no connector reads such a URL")])


def _missing_packages(name: str) -> ConfigError:
    return ConfigError([Problem("connector", f"the packages for {name!r} are not installed", how_to_install(name))])


def how_to_install(extra: str) -> str:
    """Return how to get the packages of an extra. The program is on no index, so pip does not find it by its name."""
    return (
        f"install the program again with the extra {extra!r} beside those that you have: pipx install --force"
        f" '.[{extra}]' in a clone; for the service, --extras of its installation"
    )
