"""Where records come from: the connector interface, the connectors, and the suite that each must pass."""

__program__ = "closingdealz-sync"
