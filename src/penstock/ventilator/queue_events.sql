-- Version 3: the whole pipeline can be paused (that a batch is paused stands in its spec), and events are kept.

ALTER TABLE meta ADD COLUMN paused_time REAL;                       -- since then no job of any batch starts
ALTER TABLE meta ADD COLUMN paused_by TEXT NOT NULL DEFAULT '';     -- the name of the key that said so

-- What has happened, the newest of it.
CREATE TABLE event (
    number  INTEGER PRIMARY KEY,        -- without a gap
    time    REAL NOT NULL,
    event   TEXT NOT NULL,
    batch   BLOB NOT NULL,              -- empty: it is not of one
    fields  BLOB NOT NULL,              -- msgpack
    sum     INTEGER NOT NULL
) STRICT;
CREATE INDEX event_started ON event (batch) WHERE event = 'started';
