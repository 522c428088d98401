"""Migration 7: rows of `records` are short. Payloads and source values have tables of their own, counts are kept, and
what every write is checked by costs little.

A CHECK or WHEN with `x IN ('a', 'b')` builds a table for each row that it looks at, so it is written with `=`.

Migration 8: the two moves that every record makes, onto the wire and from there to `delivered`, run few triggers. Who
makes one of them counts it and drops what it leaves behind, for a whole batch at once: see `state.bulk.count_moves` and
`state.verdicts`.

Migration 9: match values are indexed only where something is compared with them; new records cost less to count.
"""

from __future__ import annotations

from collections.abc import Collection

from state.diagram import LEAD_EXISTS, MOVES, ON_THE_WIRE, OWNERS, STATES, State
from state.schema.additions import WAITS


def _is(column: str, values: Collection[str]) -> str:
    """Return the SQL of "the column has one of these values"."""
    return "(" + " OR ".join(f"{column} = '{value}'" for value in sorted(values)) + ")"


def _makes_sense(state: State) -> str:
    """Return what must hold of a record in this state."""
    terms = [_is("lead_exists", LEAD_EXISTS[state]), f"batch IS {'NOT ' if state in ON_THE_WIRE else ''}NULL"]
    match state:
        case "pending":
            terms += ["payload IS NOT NULL", "fit = 'eligible'", "wire_fp IS NOT NULL"]
        case "filtered":
            terms += ["fit = 'filtered'"]
        case "withdrawn":
            terms += ["fit = 'deleted'"]
    return " AND ".join(terms)


def _forbidden_moves() -> str:
    """Return the moves that the diagram does not have, by the state they would lead to."""
    forbidden = {new: [old for old in STATES if old != new and new not in MOVES[old]] for new in STATES}
    return " OR ".join(
        f"(NEW.state = '{new}' AND OLD.state <> '{new}' AND {_is_not('OLD.state', set(STATES) - set(olds) - {new})})"
        for new, olds in forbidden.items()
        if olds
    )


def _is_not(column: str, values: Collection[str]) -> str:
    return "(" + " AND ".join(f"{column} <> '{value}'" for value in sorted(values)) + ")"


def _stands(row: str) -> str:
    """Return `stands_for_a_lead` as SQL, of OLD or NEW."""
    return f"({row}.lead_exists <> 'no' OR {_is(f'{row}.state', OWNERS)})"


_COLUMNS = (
    "key, stream, id, state, lead_exists, fit, modified, mapping, source_fp, wire_fp, reason, base_modified,"
    " base_mapping, base_source_fp, base_wire_fp, base_batch, drift, poll, queued, backfill, part, batch, again, twin,"
    " orphaned, nested, first_seen, since, alike, acked"
)

# Frozen here: what running code asks for is its own (`state/queues.py`), and may move on with a later migration.
_ASIDE = "state <> 'pending' AND state <> 'sending' AND state <> 'delivered'"
_ELSEWHERE = "lead_exists = 'yes' AND state <> 'delivered' AND state <> 'known'"

CHANGES = f"""
-- Wire documents. A record and the batches that it was in refer to one row; no number is used twice. A row goes when
-- the record has another version and no batch held this one, or when it is `keep_payloads` old.
CREATE TABLE payloads (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  lead BLOB NOT NULL
) STRICT;

-- The values that the mapping read, while a record is unsent or waits for a person.
CREATE TABLE source_values (
  record INTEGER PRIMARY KEY,
  data BLOB NOT NULL
) STRICT;

-- How many records of each stream are in each state.
CREATE TABLE tallies (
  stream INTEGER NOT NULL REFERENCES streams (id),
  state TEXT NOT NULL,
  records INTEGER NOT NULL DEFAULT 0 CHECK (records >= 0),
  PRIMARY KEY (stream, state)
) STRICT, WITHOUT ROWID;

-- `kept`: its payloads and the server's message are still there.
ALTER TABLE batches ADD COLUMN kept INTEGER NOT NULL DEFAULT 1 CHECK (kept = 0 OR kept = 1);
CREATE INDEX batches_kept ON batches (ended_at) WHERE kept = 1;
CREATE INDEX batches_of_part ON batches (part) WHERE part IS NOT NULL;

DROP TRIGGER match_values_gone;
DROP TRIGGER match_values_left_out;

CREATE TABLE records_now (
  key INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL REFERENCES streams (id),
  id TEXT NOT NULL,
  state TEXT NOT NULL,
  lead_exists TEXT NOT NULL CHECK ({_is("lead_exists", ("no", "maybe", "yes"))}),
  fit TEXT NOT NULL CHECK ({_is("fit", ("eligible", "filtered", "unfit", "deleted"))}),
  modified TEXT,
  mapping INTEGER NOT NULL REFERENCES mappings (id),
  source_fp BLOB,
  wire_fp BLOB,
  payload INTEGER,
  reason TEXT CHECK (reason IS NULL OR json_valid(reason)),
  base_modified TEXT,
  base_mapping INTEGER REFERENCES mappings (id) CHECK (base_mapping IS NULL OR lead_exists = 'yes'),
  base_source_fp BLOB,
  base_wire_fp BLOB,
  base_batch TEXT,
  drift INTEGER NOT NULL DEFAULT 0 CHECK (drift = 0 OR (drift = 1 AND lead_exists = 'yes')),
  poll INTEGER,
  -- the poll in which the record last became pending, NULL where a person let it go
  queued INTEGER,
  backfill INTEGER NOT NULL DEFAULT 0 CHECK (backfill = 0 OR backfill = 1),
  part INTEGER CHECK (part IS NULL OR {_is("state", ("pending", "sending", "in_doubt"))}),
  batch TEXT,
  -- to be judged again at its stream's next turn: by the rules, or, by a person's word, to be sent if it can be
  again TEXT CHECK (again IS NULL OR again = 'judge' OR again = 'send'),
  -- the record whose lead stands for this one too
  twin INTEGER REFERENCES records (key) CHECK (twin IS NULL OR state = 'duplicate'),
  -- since when (ms) a person is to look at a lead whose record is filtered or gone
  orphaned INTEGER,
  -- how many contacts of the latest version can be recognised; NULL where nobody has looked
  nested INTEGER CHECK (nested IS NULL OR nested >= 0),
  first_seen INTEGER NOT NULL,
  since INTEGER NOT NULL,
  -- the form that all spellings of the id share, where its source may respell keys
  alike TEXT,
  -- what a person changed the lead to by hand, as its payload; empty where that is not known any more
  acked BLOB,
  UNIQUE (stream, id),
  CHECK (CASE state
    {" ".join(f"WHEN '{state}' THEN {_makes_sense(state)}" for state in STATES)}
    ELSE 0 END)
) STRICT;

INSERT INTO payloads (id, lead) SELECT key, payload FROM records WHERE payload IS NOT NULL;
INSERT INTO source_values (record, data) SELECT key, source FROM records WHERE source IS NOT NULL;
INSERT INTO records_now ({_COLUMNS}, payload)
  SELECT {_COLUMNS}, CASE WHEN payload IS NOT NULL THEN key END FROM records;

-- What a batch held is the record's own payload, if that is still the same.
CREATE TABLE deliveries_now (
  batch TEXT NOT NULL REFERENCES batches (name),
  position INTEGER NOT NULL,
  record INTEGER NOT NULL REFERENCES records (key),
  modified TEXT,
  mapping INTEGER NOT NULL REFERENCES mappings (id),
  source_fp BLOB NOT NULL,
  wire_fp BLOB NOT NULL,
  payload INTEGER,
  word TEXT CHECK (word IS NULL OR word = 'landed' OR word = 'absent'),
  PRIMARY KEY (batch, position)
) STRICT, WITHOUT ROWID;
CREATE TEMP TABLE numbered AS
  SELECT name, coalesce((SELECT max(key) FROM records), 0) + 100 * row_number() OVER () AS first FROM batches;
CREATE UNIQUE INDEX temp.numbered_by_name ON numbered (name);
INSERT INTO payloads (id, lead)
  SELECT n.first + d.position, d.payload FROM deliveries d JOIN records r ON r.key = d.record
  JOIN numbered n ON n.name = d.batch WHERE d.payload IS NOT NULL AND r.payload IS NOT d.payload;
INSERT INTO deliveries_now
  SELECT d.batch, d.position, d.record, d.modified, d.mapping, d.source_fp, d.wire_fp,
    CASE WHEN d.payload IS NULL THEN NULL WHEN r.payload IS d.payload THEN r.key ELSE n.first + d.position END, d.word
  FROM deliveries d JOIN records r ON r.key = d.record JOIN numbered n ON n.name = d.batch;
DROP TABLE numbered;
DROP TABLE deliveries;
ALTER TABLE deliveries_now RENAME TO deliveries;
CREATE INDEX deliveries_of_record ON deliveries (record);

DROP TABLE records;
ALTER TABLE records_now RENAME TO records;
INSERT INTO tallies (stream, state) SELECT s.id, v.column1 FROM streams s CROSS JOIN
  (VALUES {", ".join(f"('{state}')" for state in STATES)}) v;
UPDATE tallies SET records =
  (SELECT count(*) FROM records r WHERE r.stream = tallies.stream AND r.state = tallies.state);

CREATE INDEX records_pending ON records (stream, mapping, part, backfill, key) WHERE state = 'pending';
CREATE INDEX records_aside ON records (stream, state, mapping) WHERE {_ASIDE};
CREATE INDEX records_of_part ON records (part) WHERE part IS NOT NULL;
CREATE INDEX records_in_doubt ON records (batch) WHERE state = 'in_doubt';
CREATE INDEX records_drifted ON records (stream) WHERE drift = 1;
CREATE INDEX records_elsewhere ON records (stream) WHERE {_ELSEWHERE};
CREATE INDEX records_made ON records (queued) WHERE state IN ('pending', 'held');
CREATE INDEX records_acked ON records (since) WHERE acked IS NOT NULL;
CREATE INDEX records_again ON records (stream) WHERE again IS NOT NULL;
CREATE INDEX records_twins ON records (twin) WHERE twin IS NOT NULL;
CREATE INDEX records_alike ON records (stream, alike) WHERE alike IS NOT NULL;
CREATE INDEX records_orphaned ON records (stream) WHERE orphaned IS NOT NULL;

CREATE TRIGGER records_move BEFORE UPDATE OF state ON records WHEN {_forbidden_moves()}
BEGIN
  SELECT raise(ABORT, 'this move between states does not exist');
END;
CREATE TRIGGER records_lead_stays BEFORE UPDATE OF lead_exists ON records
WHEN OLD.lead_exists = 'yes' AND NEW.lead_exists <> 'yes'
BEGIN
  SELECT raise(ABORT, 'a lead that exists cannot cease to exist');
END;

CREATE TRIGGER tallies_of_stream AFTER INSERT ON streams
BEGIN
  INSERT INTO tallies (stream, state) VALUES {", ".join(f"(NEW.id, '{state}')" for state in STATES)};
END;
CREATE TRIGGER tallies_come AFTER INSERT ON records
BEGIN
  UPDATE tallies SET records = records + 1 WHERE stream = NEW.stream AND state = NEW.state;
END;
CREATE TRIGGER tallies_move AFTER UPDATE OF state ON records WHEN OLD.state <> NEW.state
BEGIN
  UPDATE tallies SET records = records + 1 WHERE stream = NEW.stream AND state = NEW.state;
  UPDATE tallies SET records = records - 1 WHERE stream = OLD.stream AND state = OLD.state;
END;
CREATE TRIGGER tallies_go AFTER DELETE ON records
BEGIN
  UPDATE tallies SET records = records - 1 WHERE stream = OLD.stream AND state = OLD.state;
  DELETE FROM source_values WHERE record = OLD.key;
END;

-- Personal data is kept only while something can still be sent or a person has to look at it.
CREATE TRIGGER payloads_go AFTER UPDATE OF payload ON records
WHEN OLD.payload IS NOT NULL AND NEW.payload IS NOT OLD.payload
  AND NOT EXISTS (
    SELECT 1 FROM deliveries d JOIN batches b ON b.name = d.batch
    WHERE d.record = OLD.key AND d.payload = OLD.payload AND b.kept = 1
  )
BEGIN
  DELETE FROM payloads WHERE id = OLD.payload;
END;
CREATE TRIGGER source_values_go AFTER UPDATE OF state, drift ON records
WHEN NEW.drift = 0 AND {_is_not("NEW.state", ("pending", "sending", "in_doubt", "quarantined", "held", "duplicate"))}
BEGIN
  DELETE FROM source_values WHERE record = NEW.key;
END;

CREATE TRIGGER due_record_inserted AFTER INSERT ON records WHEN NEW.state = 'known' OR NEW.state = 'forgotten'
BEGIN
  INSERT INTO receipts_due (kind, subject) VALUES (NEW.state, NEW.key);
END;
CREATE TRIGGER due_record AFTER UPDATE OF state ON records
WHEN OLD.state <> NEW.state AND (NEW.state = 'known' OR NEW.state = 'forgotten')
BEGIN
  INSERT INTO receipts_due (kind, subject) VALUES (NEW.state, NEW.key);
END;
CREATE TRIGGER due_recalled AFTER UPDATE OF state ON records WHEN OLD.state = 'forgotten' AND NEW.state <> 'forgotten'
BEGIN
  INSERT INTO receipts_due (kind, subject) VALUES ('recalled', NEW.key);
END;

-- When a record stops standing for a lead, its duplicates are judged again, and the leads that go without a contact
-- because of it.
CREATE TRIGGER records_again_without AFTER UPDATE OF state, lead_exists ON records
WHEN NEW.lead_exists = 'no' AND {_stands("OLD")} AND NOT {_stands("NEW")}
BEGIN
  UPDATE records SET again = 'judge' WHERE twin = NEW.key AND again IS NULL;
  UPDATE records SET again = 'judge' WHERE {WAITS} AND key IN (
    SELECT record FROM left_out WHERE owner = NEW.key
    UNION SELECT record FROM heirs WHERE former = NEW.id AND borne = 0
  );
END;
CREATE TRIGGER records_lead_stands AFTER UPDATE OF lead_exists ON records
WHEN NEW.lead_exists = 'yes' AND OLD.lead_exists <> 'yes'
  AND (NEW.again = 'judge' OR EXISTS (SELECT 1 FROM records WHERE twin = NEW.key))
BEGIN
  UPDATE records SET again = NULL WHERE key = NEW.key AND again = 'judge';
  UPDATE records SET again = 'judge' WHERE twin = NEW.key AND again IS NULL AND (
    EXISTS (SELECT 1 FROM merges WHERE stream = NEW.stream AND (loser = NEW.id OR survivor = NEW.id))
    OR EXISTS (SELECT 1 FROM heirs WHERE (record = records.key AND former = NEW.id)
      OR (record = NEW.key AND former = records.id))
  );
END;
CREATE TRIGGER match_values_gone AFTER DELETE ON match_values
BEGIN
  UPDATE records SET again = 'judge' WHERE twin = OLD.record AND again IS NULL;
END;
CREATE TRIGGER match_values_left_out AFTER DELETE ON match_values
BEGIN
  UPDATE records SET again = 'judge'
  WHERE key IN (SELECT record FROM left_out WHERE owner = OLD.record AND value = OLD.value) AND {WAITS};
END;
"""  # noqa: S608 - made of constants

_DELIVERED = "(OLD.state = 'sending' AND NEW.state = 'delivered')"
_CLAIMED = "(OLD.state = 'pending' AND NEW.state = 'sending')"
# `sending` first: nearly all that is no delivery is a claim
_NEEDS_NONE = (
    f"(NEW.state <> 'sending' AND {_is_not('NEW.state', {'in_doubt', 'pending', 'quarantined', 'held', 'duplicate'})})"
)

QUICK_MOVES = f"""
-- After the update: for a trigger before it, SQLite would look up the row again and read each of its columns anew.
DROP TRIGGER records_move;
CREATE TRIGGER records_move AFTER UPDATE OF state ON records WHEN {_forbidden_moves()}
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

MATCH_INDEX = """
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
