"""Migration 8: match values are indexed only where something is compared with them; new records cost less to count."""

from __future__ import annotations

CHANGES = """
-- By what the record's lead can be recognised (`state.matching.match_values.packed`), until its stream is indexed.
ALTER TABLE records ADD COLUMN unindexed BLOB;

-- Whether `match_values` holds those of the stream's records; 'begun': it does once their `unindexed` is moved there.
ALTER TABLE streams ADD COLUMN indexed TEXT NOT NULL DEFAULT 'no'
  CHECK (indexed = 'no' OR indexed = 'begun' OR indexed = 'yes');
UPDATE streams SET indexed = 'yes';

-- Nearly all new records are pending: whoever inserts those counts them, a page at once.
DROP TRIGGER tallies_come;
CREATE TRIGGER tallies_come AFTER INSERT ON records WHEN NEW.state <> 'pending'
BEGIN
  UPDATE tallies SET records = records + 1 WHERE stream = NEW.stream AND state = NEW.state;
END;
"""
