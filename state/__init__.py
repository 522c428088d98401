"""The ledger and the files beside it: everything the daemon remembers between runs.

Start with `state.ledger.Ledger`, which opens the rest, and `state.diagram`, which defines the states of a record.
"""

__program__ = "closingdealz-sync"
