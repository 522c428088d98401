"""Receipts: an append-only audit log beside the ledger, of what was sent and what became of it.

    claim -> intent receipt, on the disk -> POST -> verdict receipt, on the disk -> verdict into the ledger

They hold keyed hashes and names of streams and batches, no ids and no values of records.
"""
