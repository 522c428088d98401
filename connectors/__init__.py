"""Sources of records: the connector interface, the connectors, and the conformance suite that each of them must
pass."""

__program__ = "closingdealz-sync"
