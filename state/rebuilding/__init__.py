"""Rebuilds a ledger from its receipts, or brings an older one up to them."""
