"""Migration 6: nested contacts count for `match_on`; records that a source made of others."""

from __future__ import annotations

from state.diagram import OWNERS
from state.schema.ddl import one_of


def _stands(row: str) -> str:
    """Return `stands_for_a_lead` as SQL, of OLD or NEW."""
    return f"({row}.lead_exists <> 'no' OR {row}.state IN {one_of(OWNERS)})"


WAITS = """again IS NULL AND (lead_exists <> 'yes' OR queued IS NOT NULL)
  AND (state IN ('sending', 'in_doubt') OR (fit = 'eligible' AND state IN ('pending', 'held', 'quarantined')))"""
"""A resend that a person ordered (`queued IS NULL`) must not be stopped by judging it again."""

CHANGES = f"""
-- `nested`: the value is that of a contact nested in the record's lead, not one of the lead itself.
ALTER TABLE match_values ADD COLUMN nested INTEGER NOT NULL DEFAULT 0 CHECK (nested IN (0, 1));

-- How many contacts of the latest version can be recognised; NULL where nobody has looked.
ALTER TABLE records ADD COLUMN nested INTEGER CHECK (nested >= 0);
-- Whether the stream's mapping nests contacts; NULL until it is registered.
ALTER TABLE streams ADD COLUMN nests INTEGER CHECK (nests IN (0, 1));

-- Contacts that a record's lead goes without, because another lead stands for them: by which value, and whose that is
-- (NULL: imported, or known from the receipts alone). `place` is that in the list of the whole lead.
CREATE TABLE left_out (
  record INTEGER NOT NULL REFERENCES records (key),
  place INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('email', 'phone')),
  value BLOB NOT NULL,
  owner INTEGER REFERENCES records (key),
  rule TEXT NOT NULL,
  PRIMARY KEY (record, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX left_out_for ON left_out (owner) WHERE owner IS NOT NULL;
CREATE INDEX left_out_by_value ON left_out (value);
CREATE TRIGGER records_left_out_again AFTER UPDATE OF state, lead_exists ON records
WHEN {_stands("OLD")} AND NOT {_stands("NEW")}
BEGIN
  UPDATE records SET again = 'judge' WHERE {WAITS} AND key IN (
    SELECT record FROM left_out WHERE owner = NEW.key
    UNION SELECT record FROM heirs WHERE former = NEW.id AND borne = 0
  );
END;
CREATE TRIGGER match_values_left_out AFTER DELETE ON match_values
BEGIN
  UPDATE records SET again = 'judge'
  WHERE key IN (SELECT record FROM left_out WHERE owner = OLD.record AND value = OLD.value) AND {WAITS};
END;

-- The ids of records that a record, or a child nested in it (`child`), was made from at its source: one person for
-- good. `borne`: this record's own lead has that person, or will have.
CREATE TABLE heirs (
  record INTEGER NOT NULL REFERENCES records (key),
  former TEXT NOT NULL,
  child INTEGER NOT NULL CHECK (child IN (0, 1)),
  borne INTEGER NOT NULL CHECK (borne IN (0, 1)),
  PRIMARY KEY (record, former, child)
) STRICT, WITHOUT ROWID;
CREATE INDEX heirs_by_former ON heirs (former);
DROP TRIGGER records_lead_stands;
CREATE TRIGGER records_lead_stands AFTER UPDATE OF lead_exists ON records
WHEN OLD.lead_exists <> 'yes' AND NEW.lead_exists = 'yes'
BEGIN
  UPDATE records SET again = NULL WHERE key = NEW.key AND again = 'judge';
  UPDATE records SET again = 'judge' WHERE twin = NEW.key AND again IS NULL AND (
    EXISTS (SELECT 1 FROM merges WHERE stream = NEW.stream AND (loser = NEW.id OR survivor = NEW.id))
    OR EXISTS (SELECT 1 FROM heirs WHERE (record = records.key AND former = NEW.id)
      OR (record = NEW.key AND former = records.id))
  );
END;

-- What waits was matched before contacts counted.
UPDATE records SET again = 'judge' WHERE again IS NULL AND lead_exists <> 'yes'
  AND state IN ('pending', 'held', 'sending', 'in_doubt') AND stream IN (
    SELECT id FROM streams WHERE workspace IN (
      SELECT workspace FROM streams WHERE match_on <> '[]' UNION SELECT workspace FROM foreign_values
    )
  );
"""  # noqa: S608 - made of constants
