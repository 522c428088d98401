"""Polling: records are read, mapped and judged, and committed to the ledger with the cursor."""
