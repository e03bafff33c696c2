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
