"""Migration 1: streams, records, batches and slots.

Times are integers: milliseconds since 1970 UTC by the wall clock, for people. `slots` alone holds seconds since boot.
"""

from __future__ import annotations

from state.diagram import LEAD_EXISTS, MOVES, STATES, State, one_of


def _lead_exists_fits(state: State) -> str:
    return f"(state <> '{state}' OR lead_exists IN {one_of(LEAD_EXISTS[state])})"


def _allowed_moves() -> str:
    return " OR ".join(f"(OLD.state = '{old}' AND NEW.state IN {one_of(MOVES[old])})" for old in STATES)


TABLES = f"""
CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What each configured stream is. `identity` is a JSON object; `mapping` numbers the version in force.
CREATE TABLE streams (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  identity TEXT NOT NULL CHECK (json_valid(identity)),
  workspace TEXT NOT NULL,
  on_change TEXT NOT NULL CHECK (on_change IN ('hold', 'resend')),
  mapping INTEGER REFERENCES mappings (id),
  turn INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE mappings (
  id INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL REFERENCES streams (id),
  version TEXT NOT NULL,
  first_used INTEGER NOT NULL,
  UNIQUE (stream, version)
) STRICT;

-- How far each stream is read: JSON owned by its connector, one row a lane.
CREATE TABLE lanes (
  stream INTEGER NOT NULL REFERENCES streams (id),
  lane TEXT NOT NULL,
  cursor TEXT NOT NULL CHECK (json_valid(cursor)),
  moved_at INTEGER NOT NULL,
  PRIMARY KEY (stream, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE polls (
  id INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL REFERENCES streams (id),
  kind TEXT NOT NULL CHECK (kind IN ('poll', 'sweep', 'remap')),
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  outcome TEXT CHECK (outcome IN ('complete', 'stopped', 'full', 'unavailable', 'refused', 'failed')),
  error TEXT,
  counts TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(counts))
) STRICT;
CREATE INDEX polls_of_stream ON polls (stream, id);

-- One row a record: its latest version, what the existing lead stands for (`base_*`), and what is to happen next.
CREATE TABLE records (
  key INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL REFERENCES streams (id),
  id TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN {one_of(STATES)}),
  lead_exists TEXT NOT NULL CHECK (lead_exists IN ('no', 'maybe', 'yes')),
  fit TEXT NOT NULL CHECK (fit IN ('eligible', 'filtered', 'unfit', 'deleted')),
  modified TEXT,
  mapping INTEGER NOT NULL REFERENCES mappings (id),
  source_fp BLOB,
  wire_fp BLOB,
  source BLOB,
  payload BLOB,
  reason TEXT CHECK (reason IS NULL OR json_valid(reason)),
  base_modified TEXT,
  base_mapping INTEGER REFERENCES mappings (id),
  base_source_fp BLOB,
  base_wire_fp BLOB,
  base_batch TEXT,
  drift INTEGER NOT NULL DEFAULT 0 CHECK (drift IN (0, 1)),
  poll INTEGER,
  backfill INTEGER NOT NULL DEFAULT 0 CHECK (backfill IN (0, 1)),
  part INTEGER,
  batch TEXT,
  first_seen INTEGER NOT NULL,
  since INTEGER NOT NULL,
  UNIQUE (stream, id),
  CHECK ((state IN ('sending', 'in_doubt')) = (batch IS NOT NULL)),
  CHECK (lead_exists <> 'maybe' OR state IN ('sending', 'in_doubt')),
  CHECK (state <> 'pending' OR (payload IS NOT NULL AND fit = 'eligible' AND wire_fp IS NOT NULL)),
  CHECK (state <> 'filtered' OR fit = 'filtered'),
  CHECK (state <> 'withdrawn' OR fit = 'deleted'),
  CHECK (drift = 0 OR lead_exists = 'yes'),
  CHECK (part IS NULL OR state IN ('pending', 'sending', 'in_doubt')),
  CHECK (lead_exists = 'yes' OR base_mapping IS NULL),
  CHECK ({" AND ".join(_lead_exists_fits(state) for state in STATES)})
) STRICT;
CREATE INDEX records_pending ON records (stream, part, backfill, key) WHERE state = 'pending';
CREATE INDEX records_by_state ON records (stream, state);
CREATE INDEX records_on_the_wire ON records (batch) WHERE batch IS NOT NULL;
CREATE INDEX records_drifted ON records (stream) WHERE drift = 1;

CREATE TRIGGER records_move BEFORE UPDATE OF state ON records
WHEN OLD.state <> NEW.state AND NOT ({_allowed_moves()})
BEGIN
  SELECT raise(ABORT, 'this move between states does not exist');
END;
CREATE TRIGGER records_lead_stays BEFORE UPDATE OF lead_exists ON records
WHEN OLD.lead_exists = 'yes' AND NEW.lead_exists <> 'yes'
BEGIN
  SELECT raise(ABORT, 'a lead that exists cannot cease to exist');
END;

-- Frozen attempts. A batch is claimed before its request starts; its verdict never changes once it is certain.
CREATE TABLE batches (
  name TEXT PRIMARY KEY,
  workspace TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN
    ('sending', 'created', 'refused', 'rejected', 'paused', 'in_doubt', 'landed', 'absent')),
  leads INTEGER NOT NULL CHECK (leads BETWEEN 1 AND 100),
  part INTEGER,
  slot INTEGER,
  claimed_at INTEGER NOT NULL,
  ended_at INTEGER,
  status INTEGER,
  cause TEXT,
  message TEXT,
  CHECK ((state = 'sending') = (ended_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX batches_open ON batches (state) WHERE state IN ('sending', 'in_doubt');
CREATE INDEX batches_by_time ON batches (ended_at);

CREATE TRIGGER batches_verdict BEFORE UPDATE OF state ON batches
WHEN NOT (OLD.state = 'sending' OR (OLD.state = 'in_doubt' AND NEW.state IN ('in_doubt', 'landed', 'absent')))
BEGIN
  SELECT raise(ABORT, 'a verdict does not change');
END;

CREATE TABLE deliveries (
  batch TEXT NOT NULL REFERENCES batches (name),
  position INTEGER NOT NULL,
  record INTEGER NOT NULL REFERENCES records (key),
  modified TEXT,
  mapping INTEGER NOT NULL REFERENCES mappings (id),
  source_fp BLOB NOT NULL,
  wire_fp BLOB NOT NULL,
  payload BLOB,
  PRIMARY KEY (batch, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_of_record ON deliveries (record);

-- The governor's window: one row a request. `api_key` is a keyed hash. Seconds since the boot that `boot` names.
CREATE TABLE slots (
  id INTEGER PRIMARY KEY,
  api_key BLOB NOT NULL,
  boot TEXT NOT NULL,
  started REAL NOT NULL,
  deadline REAL NOT NULL,
  ended REAL
) STRICT;
CREATE INDEX slots_of_key ON slots (api_key, id);

-- What the governor learned about a key: the share by which the server's window is longer than it says.
CREATE TABLE api_keys (
  api_key BLOB PRIMARY KEY,
  margin REAL NOT NULL CHECK (margin >= 0)
) STRICT, WITHOUT ROWID;

-- A workspace's health, so that a restart does not forget why it rests.
CREATE TABLE workspaces (
  name TEXT PRIMARY KEY,
  api_key BLOB,
  pace TEXT NOT NULL CHECK (json_valid(pace)),
  changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who belonged to whom when last read, so that a child that moves or goes re-reads both parents.
CREATE TABLE child_links (
  stream INTEGER NOT NULL REFERENCES streams (id),
  child TEXT NOT NULL,
  parent TEXT NOT NULL,
  id TEXT NOT NULL,
  PRIMARY KEY (stream, child, parent, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX child_links_by_child ON child_links (stream, child, id);
"""
