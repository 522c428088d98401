"""Migration 4: the form that all spellings of a record's id share, where its source may respell keys."""

CHANGES = """
-- The id stays the spelling that was seen first. NULL where a key has one spelling only.
ALTER TABLE records ADD COLUMN alike TEXT;
CREATE INDEX records_alike ON records (stream, alike) WHERE alike IS NOT NULL;
"""
