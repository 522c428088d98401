"""What the daemon remembers: the ledger, its schema migrations, its lock and keys."""
