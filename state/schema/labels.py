"""Migration 3: the label of a batch; whose values are in doubt in a ledger that was rebuilt."""

CHANGES = """
-- What a batch's leads bear in ClosingDealz: the configuration may name another label by the time that somebody looks.
ALTER TABLE batches ADD COLUMN label TEXT;

-- `batch`: it is in doubt whether the lead that had this value stands in ClosingDealz.
ALTER TABLE remembered_values ADD COLUMN batch TEXT REFERENCES batches (name);
CREATE INDEX remembered_values_in_doubt ON remembered_values (batch) WHERE batch IS NOT NULL;
"""
