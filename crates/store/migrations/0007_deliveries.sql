-- The hash of the record at `seq`: a log that was written anew under a destination is told apart
-- from the one it has acknowledged.
ALTER TABLE deliveries ADD COLUMN hash TEXT NOT NULL DEFAULT '';
