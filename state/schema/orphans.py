"""Migration 5: leads whose records were filtered or went after they were created stay what they are, and are listed."""

CHANGES = """
-- Since when (ms) a person is to look at a lead of ours whose record is filtered or gone; NULL where none is, or was
-- looked at.
ALTER TABLE records ADD COLUMN orphaned INTEGER;
CREATE INDEX records_orphaned ON records (stream) WHERE orphaned IS NOT NULL;
UPDATE records SET
  state = CASE WHEN base_batch IS NULL THEN 'known' ELSE 'delivered' END,
  orphaned = CASE WHEN base_batch IS NOT NULL THEN since END
WHERE lead_exists = 'yes' AND state IN ('filtered', 'withdrawn');
"""
