-- The sink's file: the log of what jobs came to, with their values.

CREATE TABLE meta (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    seq     INTEGER NOT NULL,           -- the end of the log
    chain   BLOB NOT NULL,
    hole    INTEGER NOT NULL,           -- the last line that was deleted with its batch
    hole_chain BLOB NOT NULL
) STRICT;

INSERT INTO meta VALUES (1, 0, x'', 0, x'');

CREATE TABLE batch (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,      -- short, and never used again
    batch   BLOB NOT NULL UNIQUE,
    longest INTEGER NOT NULL,           -- jobs in its longest line: how far back an overlap may start
    as_of   INTEGER NOT NULL,           -- `spans` and `attempts` count the lines up to this one
    spans   BLOB NOT NULL,              -- msgpack
    generations BLOB NOT NULL,          -- msgpack
    attempts BLOB NOT NULL              -- msgpack
) STRICT;

CREATE TABLE line (
    seq     INTEGER PRIMARY KEY,
    batch   INTEGER NOT NULL,
    start   INTEGER NOT NULL,
    stop    INTEGER NOT NULL,
    kind    INTEGER NOT NULL,           -- 0: an attempt, 1: a final outcome, 2: jobs were opened again
    worker  BLOB NOT NULL,
    chain   BLOB NOT NULL,
    crc     INTEGER NOT NULL,           -- of head and body
    head    BLOB NOT NULL,              -- msgpack OutcomeHead
    body    BLOB NOT NULL               -- last, so that it is read only where it is wanted
) STRICT;

CREATE INDEX line_position ON line (batch, seq);
CREATE INDEX line_start ON line (batch, start, stop);
CREATE INDEX line_opening ON line (batch, start, stop, seq) WHERE kind = 2;

-- What each of the readers who share a batch was given last: outcomes `start` to `stop` in the order of recording.
CREATE TABLE claim (
    batch   INTEGER NOT NULL,
    reader  BLOB NOT NULL,
    number  INTEGER NOT NULL,
    start   INTEGER NOT NULL,
    stop    INTEGER NOT NULL,
    PRIMARY KEY (batch, reader)
) STRICT, WITHOUT ROWID;

-- Deleted batches whose lines go a few at a time.
CREATE TABLE doomed (number INTEGER PRIMARY KEY) STRICT;
