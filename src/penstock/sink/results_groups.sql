-- Version 4: failed jobs are counted by their error.

-- Lines up to this one are still to be counted, from the last one down.
ALTER TABLE meta ADD COLUMN uncounted INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET uncounted = seq;

CREATE TABLE failure_group (
    batch   INTEGER NOT NULL,
    key     BLOB NOT NULL,              -- hash of the pattern
    jobs    INTEGER NOT NULL,
    first_time REAL NOT NULL,
    last_time REAL NOT NULL,
    pattern TEXT NOT NULL,
    workers BLOB NOT NULL,              -- msgpack
    examples BLOB NOT NULL,             -- msgpack
    sum     INTEGER NOT NULL,
    PRIMARY KEY (batch, key)
) STRICT, WITHOUT ROWID;

-- Openings whose jobs from `start` on still count as failed.
CREATE TABLE uncounted_opening (
    seq     INTEGER PRIMARY KEY,
    batch   INTEGER NOT NULL,
    start   INTEGER NOT NULL,
    stop    INTEGER NOT NULL,
    sum     INTEGER NOT NULL
) STRICT;
