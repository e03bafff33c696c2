-- The ventilator's file: what was accepted and is not yet known to be recorded by the sink.

CREATE TABLE meta (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    life    INTEGER NOT NULL,           -- counted up at each start
    applied INTEGER NOT NULL,           -- the sink's log is applied up to this line
    chain   BLOB NOT NULL,              -- and this is that line's chain
    kept_bytes INTEGER NOT NULL         -- payload of finished chunks that are still here
) STRICT;

INSERT INTO meta VALUES (1, 0, 0, x'', 0);

CREATE TABLE function (
    digest  BLOB PRIMARY KEY,
    users   INTEGER NOT NULL,           -- batches that need it
    crc     INTEGER NOT NULL,
    code    BLOB NOT NULL
) STRICT;

CREATE TABLE batch (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,      -- short, and never used again
    batch   BLOB NOT NULL UNIQUE,
    spec    BLOB NOT NULL,              -- msgpack BatchSpec
    function BLOB NOT NULL,
    created_time REAL NOT NULL,
    accepted INTEGER NOT NULL,          -- end of the last chunk
    total   INTEGER,                    -- NULL: more may come
    counts  BLOB NOT NULL,              -- msgpack: jobs by final state
    cancelled BLOB NOT NULL,            -- msgpack: spans
    ended_time REAL,                    -- NULL: not known to have ended
    generation INTEGER NOT NULL,        -- grows with each retry
    asked   BLOB NOT NULL               -- msgpack: the latest retries and how many jobs each opened again
) STRICT;

-- Small rows that change; the payload, which never does, lies apart.
CREATE TABLE chunk (
    batch   INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    size    INTEGER NOT NULL,
    payload INTEGER NOT NULL,
    parts   BLOB,                       -- msgpack OpenParts; NULL: as accepted, all open
    ended   BLOB,                       -- msgpack EndedParts: what ended without success; NULL: nothing
    finished INTEGER,                   -- applied line when the last job ended; NULL: open
    finished_time REAL,
    PRIMARY KEY (batch, first)
) STRICT, WITHOUT ROWID;

CREATE INDEX chunk_open ON chunk (batch, first) WHERE finished IS NULL;
CREATE INDEX chunk_finished ON chunk (finished_time) WHERE finished IS NOT NULL;

CREATE TABLE payload (
    number  INTEGER PRIMARY KEY,
    crc     INTEGER NOT NULL,
    bytes   BLOB NOT NULL
) STRICT;

-- What tells a job from others by what it is given; only of batches whose client said it.
CREATE TABLE digest (
    batch   INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    digests BLOB NOT NULL,              -- 16 bytes for each job from `first` on
    PRIMARY KEY (batch, first)
) STRICT, WITHOUT ROWID;

-- Deleted batches whose chunks go a few at a time.
CREATE TABLE doomed (number INTEGER PRIMARY KEY) STRICT;

-- Deleted batches of which the sink is told until it has deleted them too.
CREATE TABLE forgotten (batch BLOB PRIMARY KEY) STRICT;
