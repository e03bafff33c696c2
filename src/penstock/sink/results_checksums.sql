-- Version 3: every row has a checksum (station/checked_rows.py), and the file knows whose it is.

ALTER TABLE meta ADD COLUMN pipeline BLOB NOT NULL DEFAULT x'';     -- the ventilator's; empty: none has come yet
ALTER TABLE meta ADD COLUMN life INTEGER NOT NULL DEFAULT 0;        -- of the ventilator, when it was heard last
ALTER TABLE meta ADD COLUMN accepted INTEGER NOT NULL DEFAULT 0;    -- chunks that it had ever accepted by then
ALTER TABLE meta ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;     -- the end of the log when lines were found damaged
ALTER TABLE meta ADD COLUMN schema INTEGER NOT NULL DEFAULT 0;      -- checksum of the schema
ALTER TABLE meta ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;

ALTER TABLE batch ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE claim ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE doomed ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE output ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE doomed_output ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;

-- The checksum stands before the body, so that it is read without it.
DROP INDEX line_position;
DROP INDEX line_start;
DROP INDEX line_opening;
ALTER TABLE line RENAME TO line_before;
CREATE TABLE line (
    seq     INTEGER PRIMARY KEY,
    batch   INTEGER NOT NULL,
    start   INTEGER NOT NULL,
    stop    INTEGER NOT NULL,
    kind    INTEGER NOT NULL,           -- 0: an attempt, 1: a final outcome, 2: jobs were opened again
    worker  BLOB NOT NULL,
    chain   BLOB NOT NULL,
    crc     INTEGER NOT NULL,           -- of head and body
    sum     INTEGER NOT NULL,           -- of all but the body
    head    BLOB NOT NULL,              -- msgpack OutcomeHead
    body    BLOB NOT NULL               -- last, so that it is read only where it is wanted
) STRICT;
INSERT INTO line SELECT seq, batch, start, stop, kind, worker, chain, crc,
    row_sum('line', seq, batch, start, stop, kind, worker, chain, crc, head), head, body FROM line_before ORDER BY seq;
DROP TABLE line_before;
CREATE INDEX line_position ON line (batch, seq);
CREATE INDEX line_start ON line (batch, start, stop);
CREATE INDEX line_opening ON line (batch, start, stop, seq) WHERE kind = 2;

-- What was found damaged, and what became of it.
CREATE TABLE damage (
    number  INTEGER PRIMARY KEY,
    found_time REAL NOT NULL,
    what    TEXT NOT NULL,
    sum     INTEGER NOT NULL
) STRICT;
