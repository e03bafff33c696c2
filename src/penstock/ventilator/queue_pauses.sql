-- Version 3: the whole pipeline can be paused. (That a batch is paused stands in its spec.)

ALTER TABLE meta ADD COLUMN paused_time REAL;                       -- since then no job of any batch starts
ALTER TABLE meta ADD COLUMN paused_by TEXT NOT NULL DEFAULT '';     -- the name of the key that said so
