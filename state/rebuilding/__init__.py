"""A ledger made from its receipts, or brought up to them."""
