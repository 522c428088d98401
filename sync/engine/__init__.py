"""The running engine: a compiled configuration, its streams and workspaces over one ledger, and their exchange."""
