"""What the daemon remembers: the ledger, its schema migrations, its lock and keys."""

__program__ = "closingdealz-sync"
