"""Migrations 2 to 6: what the first tables had to learn. Each is a constant with its name."""

from __future__ import annotations

from state.diagram import OWNERS, one_of


def _stands(row: str) -> str:
    """Return `stands_for_a_lead` as SQL, of OLD or NEW."""
    return f"({row}.lead_exists <> 'no' OR {row}.state IN {one_of(OWNERS)})"


QUEUES = f"""
-- Only records of released polls can be claimed: the guard looks at a poll before any of it is sent.
ALTER TABLE polls ADD COLUMN released INTEGER NOT NULL DEFAULT 1 CHECK (released IN (0, 1));
CREATE INDEX polls_unreleased ON polls (stream) WHERE released = 0;

-- `queued`: the poll in which the record last became pending, NULL where a person let it go. `again`: it is to be
-- judged again at its stream's next turn, by the rules ('judge') or, by a person's word, to be sent if it can be
-- ('send'); it cannot be claimed before. What is on
-- the wire is judged after its verdict, if its lead was not created.
-- `twin`: the record whose lead stands for this one too.
ALTER TABLE records ADD COLUMN queued INTEGER;
ALTER TABLE records ADD COLUMN again TEXT CHECK (again IN ('judge', 'send'));
ALTER TABLE records ADD COLUMN twin INTEGER REFERENCES records (key) CHECK (twin IS NULL OR state = 'duplicate');
CREATE INDEX records_made ON records (queued) WHERE state IN ('pending', 'held');
-- What a person changed the lead to by hand, as its payload; empty where that is not known any more.
ALTER TABLE records ADD COLUMN acked BLOB;
CREATE INDEX records_acked ON records (since) WHERE acked IS NOT NULL;
CREATE INDEX records_again ON records (stream) WHERE again IS NOT NULL;
CREATE INDEX records_twins ON records (twin) WHERE twin IS NOT NULL;
CREATE TRIGGER records_twins_again AFTER UPDATE OF state, lead_exists ON records
WHEN {_stands("OLD")} AND NOT {_stands("NEW")}
BEGIN
  UPDATE records SET again = 'judge' WHERE twin = NEW.key AND again IS NULL;
END;

-- The kinds of values by which a stream's records are matched with leads that exist; a JSON list. What waits in a
-- stream that is not `configured` any more is never sent, so it stands for no lead.
ALTER TABLE streams ADD COLUMN match_on TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(match_on));
ALTER TABLE streams ADD COLUMN configured INTEGER NOT NULL DEFAULT 1 CHECK (configured IN (0, 1));

-- Keyed hashes of the e-mail addresses, domains and phone numbers of each record's lead.
CREATE TABLE match_values (
  value BLOB NOT NULL,
  record INTEGER NOT NULL REFERENCES records (key),
  kind TEXT NOT NULL CHECK (kind IN ('email', 'domain', 'phone')),
  PRIMARY KEY (value, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX match_values_of_record ON match_values (record);
CREATE TRIGGER match_values_gone AFTER DELETE ON match_values
BEGIN
  UPDATE records SET again = 'judge' WHERE twin = OLD.record AND again IS NULL;
END;

-- The same of leads that exist in ClosingDealz and are no record's of ours, or are not yet known whose.
CREATE TABLE foreign_values (
  workspace TEXT NOT NULL,
  value BLOB NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('email', 'domain', 'phone')),
  PRIMARY KEY (workspace, value)
) STRICT, WITHOUT ROWID;

-- Records that were merged into another at their source, which is never forgotten: they are one person for good.
CREATE TABLE merges (
  stream INTEGER NOT NULL REFERENCES streams (id),
  loser TEXT NOT NULL,
  survivor TEXT NOT NULL,
  PRIMARY KEY (stream, loser, survivor),
  CHECK (loser <> survivor)
) STRICT, WITHOUT ROWID;
CREATE INDEX merges_by_survivor ON merges (stream, survivor);
CREATE TRIGGER records_lead_stands AFTER UPDATE OF lead_exists ON records
WHEN OLD.lead_exists <> 'yes' AND NEW.lead_exists = 'yes'
BEGIN
  UPDATE records SET again = NULL WHERE key = NEW.key AND again = 'judge';
  UPDATE records SET again = 'judge' WHERE twin = NEW.key AND again IS NULL AND EXISTS (
    SELECT 1 FROM merges WHERE stream = NEW.stream AND (loser = NEW.id OR survivor = NEW.id)
  );
END;

-- How many leads of a mapping version had each field, so that one that is suddenly empty is noticed. '' counts leads.
CREATE TABLE fills (
  mapping INTEGER NOT NULL REFERENCES mappings (id),
  field TEXT NOT NULL,
  leads INTEGER NOT NULL,
  PRIMARY KEY (mapping, field)
) STRICT, WITHOUT ROWID;

-- What the receipts know of records that the ledger has not read since it was rebuilt. `record` is a keyed hash,
-- `lead_exists` as in records.
CREATE TABLE remembered (
  stream INTEGER NOT NULL REFERENCES streams (id),
  record BLOB NOT NULL,
  fate TEXT NOT NULL CHECK (fate IN ('delivered', 'in_doubt', 'known', 'forgotten')),
  lead_exists TEXT NOT NULL CHECK (lead_exists IN ('no', 'maybe', 'yes')),
  batch TEXT REFERENCES batches (name),
  position INTEGER,
  mapping TEXT,
  source_fp BLOB,
  wire_fp BLOB,
  PRIMARY KEY (stream, record),
  CHECK ((fate IN ('delivered', 'in_doubt')) = (batch IS NOT NULL)),
  CHECK ((fate = 'in_doubt') = (lead_exists = 'maybe') OR (fate = 'in_doubt' AND lead_exists = 'yes')),
  CHECK ((fate = 'forgotten') = (lead_exists = 'no'))
) STRICT, WITHOUT ROWID;
CREATE INDEX remembered_of_batch ON remembered (batch) WHERE batch IS NOT NULL;

-- By what leads can be recognised that stood in ClosingDealz when the ledger was rebuilt; not which leads those are.
CREATE TABLE remembered_values (
  workspace TEXT NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (workspace, value)
) STRICT, WITHOUT ROWID;

-- What the receipts must still be told, written in the transaction that makes it true; `subject` is the key of a record
-- or the id of a stream, `facts` a JSON object.
CREATE TABLE receipts_due (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN
    ('stream', 'renamed', 'word', 'known', 'forgotten', 'recalled', 'imported', 'unimported')),
  subject INTEGER,
  facts TEXT CHECK (facts IS NULL OR json_valid(facts))
) STRICT;
CREATE TRIGGER due_record_inserted AFTER INSERT ON records WHEN NEW.state IN ('known', 'forgotten')
BEGIN
  INSERT INTO receipts_due (kind, subject) VALUES (NEW.state, NEW.key);
END;
CREATE TRIGGER due_record AFTER UPDATE OF state ON records
WHEN NEW.state IN ('known', 'forgotten') AND OLD.state <> NEW.state
BEGIN
  INSERT INTO receipts_due (kind, subject) VALUES (NEW.state, NEW.key);
END;
CREATE TRIGGER due_recalled AFTER UPDATE OF state ON records WHEN OLD.state = 'forgotten' AND NEW.state <> 'forgotten'
BEGIN
  INSERT INTO receipts_due (kind, subject) VALUES ('recalled', NEW.key);
END;
CREATE TRIGGER due_stream_inserted AFTER INSERT ON streams
BEGIN
  INSERT INTO receipts_due (kind, subject) VALUES ('stream', NEW.id);
END;
CREATE TRIGGER due_renamed AFTER UPDATE OF name ON streams WHEN OLD.name <> NEW.name
BEGIN
  INSERT INTO receipts_due (kind, facts) VALUES ('renamed', json_object('old', OLD.name, 'new', NEW.name));
END;
CREATE TRIGGER due_stream AFTER UPDATE OF identity, workspace ON streams
BEGIN
  INSERT INTO receipts_due (kind, subject) VALUES ('stream', NEW.id);
END;
CREATE TRIGGER due_baseline AFTER INSERT ON lanes WHEN NEW.lane = '@baseline'
BEGIN
  INSERT INTO receipts_due (kind, subject) VALUES ('stream', NEW.stream);
END;
CREATE TRIGGER due_imported AFTER INSERT ON foreign_values
BEGIN
  INSERT INTO receipts_due (kind, facts) VALUES
    ('imported', json_object('workspace', NEW.workspace, 'kind', NEW.kind, 'value', hex(NEW.value)));
END;
CREATE TRIGGER due_unimported AFTER DELETE ON foreign_values
BEGIN
  INSERT INTO receipts_due (kind, facts) VALUES
    ('unimported', json_object('workspace', OLD.workspace, 'kind', OLD.kind, 'value', hex(OLD.value)));
END;

-- How far the limit is lowered because somebody else uses this key; it climbs back by itself.
ALTER TABLE api_keys ADD COLUMN share REAL NOT NULL DEFAULT 1.0 CHECK (share > 0 AND share <= 1);
ALTER TABLE api_keys ADD COLUMN share_at REAL NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN share_boot TEXT NOT NULL DEFAULT '';

-- A batch in doubt may be settled lead by lead; then its end is `settled`. `account` says what happened on the wire,
-- `words` what people said of it, a line each. `rebuilt`: only the receipts know what was in it.
ALTER TABLE deliveries ADD COLUMN word TEXT CHECK (word IN ('landed', 'absent'));
CREATE TABLE batches_now (
  name TEXT PRIMARY KEY,
  workspace TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN
    ('sending', 'created', 'refused', 'rejected', 'paused', 'in_doubt', 'landed', 'absent', 'settled')),
  leads INTEGER NOT NULL CHECK (leads BETWEEN 1 AND 100),
  part INTEGER,
  slot INTEGER,
  claimed_at INTEGER NOT NULL,
  ended_at INTEGER,
  status INTEGER,
  cause TEXT,
  message TEXT,
  account TEXT,
  words TEXT,
  rebuilt INTEGER NOT NULL DEFAULT 0 CHECK (rebuilt IN (0, 1)),
  CHECK ((state = 'sending') = (ended_at IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO batches_now
  (name, workspace, state, leads, part, slot, claimed_at, ended_at, status, cause, message, words)
  SELECT name, workspace, state, leads, part, slot, claimed_at, ended_at, status, cause,
    CASE WHEN message LIKE state || ' by %' THEN NULL ELSE message END,
    CASE WHEN message LIKE state || ' by %' THEN message END FROM batches;
DROP TABLE batches;
ALTER TABLE batches_now RENAME TO batches;
CREATE INDEX batches_open ON batches (state) WHERE state IN ('sending', 'in_doubt');
CREATE INDEX batches_by_time ON batches (ended_at);
CREATE TRIGGER batches_verdict BEFORE UPDATE OF state ON batches
WHEN NOT (OLD.state = 'sending'
  OR (OLD.state = 'in_doubt' AND NEW.state IN ('in_doubt', 'landed', 'absent', 'settled')))
BEGIN
  SELECT raise(ABORT, 'a verdict does not change');
END;

-- Streams that were polled to their end before there was a guard have had their first scan.
INSERT OR IGNORE INTO lanes (stream, lane, cursor, moved_at)
  SELECT stream, '@first', '{{"over": true}}', max(ended_at) FROM polls
  WHERE kind = 'poll' AND outcome = 'complete' GROUP BY stream;
"""  # noqa: S608 - made of constants
"""Receipts, the guard, duplicates, records to be judged again, batches settled lead by lead."""

LABELS = """
-- What a batch's leads bear in ClosingDealz: the configuration may name another label by the time that somebody looks.
ALTER TABLE batches ADD COLUMN label TEXT;

-- `batch`: it is in doubt whether the lead that had this value stands in ClosingDealz.
ALTER TABLE remembered_values ADD COLUMN batch TEXT REFERENCES batches (name);
CREATE INDEX remembered_values_in_doubt ON remembered_values (batch) WHERE batch IS NOT NULL;
"""
"""The label of a batch; whose values are in doubt in a ledger that was rebuilt."""

ALIKE = """
-- The id stays the spelling that was seen first. NULL where a key has one spelling only.
ALTER TABLE records ADD COLUMN alike TEXT;
CREATE INDEX records_alike ON records (stream, alike) WHERE alike IS NOT NULL;
"""
"""The form that all spellings of a record's id share, where its source may respell keys."""

ORPHANS = """
-- Since when (ms) a person is to look at a lead of ours whose record is filtered or gone; NULL where none is, or was
-- looked at.
ALTER TABLE records ADD COLUMN orphaned INTEGER;
CREATE INDEX records_orphaned ON records (stream) WHERE orphaned IS NOT NULL;
UPDATE records SET
  state = CASE WHEN base_batch IS NULL THEN 'known' ELSE 'delivered' END,
  orphaned = CASE WHEN base_batch IS NOT NULL THEN since END
WHERE lead_exists = 'yes' AND state IN ('filtered', 'withdrawn');
"""
"""Leads whose records were filtered or went after they were created stay what they are, and are listed."""

WAITS = """again IS NULL AND (lead_exists <> 'yes' OR queued IS NOT NULL)
  AND (state IN ('sending', 'in_doubt') OR (fit = 'eligible' AND state IN ('pending', 'held', 'quarantined')))"""
"""A resend that a person ordered (`queued IS NULL`) must not be stopped by judging it again."""

CONTACTS = f"""
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
"""Nested contacts count for `match_on`; records that a source made of others."""
