"""Leaves that the engine, the connectors and the ledger share: errors, words, the clock. They import no room."""
