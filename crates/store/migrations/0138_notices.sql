-- What some channel of the relay's file has still to be told of requests for access. `due_ms`: not
-- before. A row goes when it was taken, or when a day has not been enough.
CREATE TABLE notices (
    id TEXT NOT NULL PRIMARY KEY,
    channel TEXT NOT NULL,
    request_id TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    event TEXT NOT NULL,
    created BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    due_ms BIGINT NOT NULL
);
CREATE INDEX notices_by_channel ON notices (channel, due_ms);
