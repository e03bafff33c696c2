-- Version 2: every row has a checksum (station/checked_rows.py), and the file knows whose it is.

ALTER TABLE meta ADD COLUMN pipeline BLOB NOT NULL DEFAULT x'';     -- made once, and the same in both files
ALTER TABLE meta ADD COLUMN paired INTEGER NOT NULL DEFAULT 0;      -- 1: a sink's file has it, too
ALTER TABLE meta ADD COLUMN accepted INTEGER NOT NULL DEFAULT 0;    -- chunks that were ever accepted
ALTER TABLE meta ADD COLUMN compare INTEGER NOT NULL DEFAULT 0;     -- 1: all is to be compared with the sink's log
ALTER TABLE meta ADD COLUMN schema INTEGER NOT NULL DEFAULT 0;      -- checksum of the schema
ALTER TABLE meta ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET pipeline = randomblob(16);

ALTER TABLE function ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;    -- 1: this row was; nothing of it runs any more
ALTER TABLE batch ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN name TEXT NOT NULL DEFAULT '';         -- of the spec, and so is this:
ALTER TABLE batch ADD COLUMN once TEXT NOT NULL DEFAULT '';
ALTER TABLE batch ADD COLUMN retained_until REAL;                   -- of a batch that has ended
ALTER TABLE batch ADD COLUMN clock INTEGER NOT NULL DEFAULT 0;      -- by which setting of the wall clock it ended
UPDATE batch SET name = spec_field(spec, 'name'), once = spec_field(spec, 'once');
UPDATE batch SET ended_time = NULL WHERE spec_field(spec, 'transient');
UPDATE batch SET retained_until = ended_time + spec_field(spec, 'retain');
-- What has ended is not in memory: it is found by these.
CREATE INDEX batch_here ON batch (number) WHERE ended_time IS NULL;
CREATE INDEX batch_retained ON batch (retained_until, ended_time) WHERE ended_time IS NOT NULL;
CREATE INDEX batch_name ON batch (name, batch) WHERE name != '';
CREATE INDEX batch_once ON batch (once) WHERE once != '';
ALTER TABLE chunk ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;        -- tells whether the payload is this chunk's
ALTER TABLE chunk ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
UPDATE chunk SET crc = row_sum('payload', batch, first, count, size, payload,
    coalesce((SELECT payload.crc FROM payload WHERE payload.number = chunk.payload), 0));
ALTER TABLE digest ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE doomed ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE forgotten ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;

-- Deleted batches whose clients may still ask for them, and why they are gone.
CREATE TABLE deleted (
    number  INTEGER PRIMARY KEY,        -- the oldest go first
    batch   BLOB NOT NULL,
    kind    TEXT NOT NULL,
    why     TEXT NOT NULL,
    sum     INTEGER NOT NULL
) STRICT;

-- What was found damaged, and what became of it.
CREATE TABLE damage (
    number  INTEGER PRIMARY KEY,
    found_time REAL NOT NULL,
    what    TEXT NOT NULL,
    sum     INTEGER NOT NULL
) STRICT;
