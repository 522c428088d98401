"""Migration 8: the two moves that every record makes, onto the wire and from there to `delivered`, run few triggers.

Who makes one of them counts it and drops what it leaves behind, for a whole batch at once: see `state.bulk.count_moves`
and `state.verdicts`.
"""

from __future__ import annotations

from state.schema.payloads import forbidden_moves, is_not

_DELIVERED = "(OLD.state = 'sending' AND NEW.state = 'delivered')"
_CLAIMED = "(OLD.state = 'pending' AND NEW.state = 'sending')"
# `sending` first: nearly all that is no delivery is a claim
_NEEDS_NONE = (
    f"(NEW.state <> 'sending' AND {is_not('NEW.state', {'in_doubt', 'pending', 'quarantined', 'held', 'duplicate'})})"
)

CHANGES = f"""
-- After the update: for a trigger before it, SQLite would look up the row again and read each of its columns anew.
DROP TRIGGER records_move;
CREATE TRIGGER records_move AFTER UPDATE OF state ON records WHEN {forbidden_moves()}
BEGIN
  SELECT raise(ABORT, 'this move between states does not exist');
END;
DROP TRIGGER records_lead_stays;
CREATE TRIGGER records_lead_stays AFTER UPDATE OF lead_exists ON records
WHEN OLD.lead_exists = 'yes' AND NEW.lead_exists <> 'yes'
BEGIN
  SELECT raise(ABORT, 'a lead that exists cannot cease to exist');
END;

DROP TRIGGER tallies_move;
CREATE TRIGGER tallies_move AFTER UPDATE OF state ON records
WHEN OLD.state <> NEW.state AND NOT {_CLAIMED} AND NOT {_DELIVERED}
BEGIN
  UPDATE tallies SET records = records + 1 WHERE stream = NEW.stream AND state = NEW.state;
  UPDATE tallies SET records = records - 1 WHERE stream = OLD.stream AND state = OLD.state;
END;

DROP TRIGGER payloads_go;
CREATE TRIGGER payloads_go AFTER UPDATE OF payload ON records
WHEN OLD.payload IS NOT NULL AND NEW.payload IS NOT OLD.payload AND NOT {_DELIVERED}
  AND NOT EXISTS (
    SELECT 1 FROM deliveries d JOIN batches b ON b.name = d.batch
    WHERE d.record = OLD.key AND d.payload = OLD.payload AND b.kept = 1
  )
BEGIN
  DELETE FROM payloads WHERE id = OLD.payload;
END;
DROP TRIGGER source_values_go;
CREATE TRIGGER source_values_go AFTER UPDATE OF state, drift ON records
WHEN NEW.drift = 0 AND (NEW.state = 'delivered' OR {_NEEDS_NONE})
BEGIN
  DELETE FROM source_values WHERE record = NEW.key;
END;

DROP TRIGGER due_record;
DROP TRIGGER due_recalled;
CREATE TRIGGER due_record AFTER UPDATE OF state ON records
WHEN OLD.state <> NEW.state AND (NEW.state = 'known' OR NEW.state = 'forgotten' OR OLD.state = 'forgotten')
BEGIN
  INSERT INTO receipts_due (kind, subject) SELECT 'recalled', NEW.key WHERE OLD.state = 'forgotten';
  INSERT INTO receipts_due (kind, subject)
    SELECT NEW.state, NEW.key WHERE NEW.state = 'known' OR NEW.state = 'forgotten';
END;

-- An intent's values are read from this index alone: they are hashes, so in the table each is on another page.
DROP INDEX match_values_of_record;
CREATE INDEX match_values_of_record ON match_values (record, kind);
"""  # noqa: S608 - made of constants
