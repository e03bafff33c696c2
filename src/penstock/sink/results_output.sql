-- Version 2: what is kept of the output of jobs beside their outcomes, in parts.

CREATE TABLE output (
    batch   BLOB NOT NULL,
    job     INTEGER NOT NULL,
    lease   INTEGER NOT NULL,           -- whose run of the job wrote it
    stream  INTEGER NOT NULL,           -- 0: stdout, 1: stderr
    position INTEGER NOT NULL,          -- of its first byte in the whole output
    crc     INTEGER NOT NULL,           -- of data
    data    BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX output_position ON output (batch, job, lease, stream, position);

-- Batches whose outputs go a few parts at a time, but for so many bytes of each.
CREATE TABLE doomed_output (batch BLOB PRIMARY KEY, bound INTEGER NOT NULL) STRICT, WITHOUT ROWID;
