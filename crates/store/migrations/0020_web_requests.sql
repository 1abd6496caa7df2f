-- One row per request at the web door. `id` is ordered by time. Beside the audit log: nothing points
-- here, and what is old is removed.
CREATE TABLE web_requests (
    id TEXT PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    from_address TEXT NOT NULL,
    method TEXT NOT NULL,
    host TEXT NOT NULL,
    path TEXT NOT NULL,
    session TEXT,
    user_name TEXT,
    application TEXT,
    status BIGINT,
    code TEXT,
    up BIGINT NOT NULL,
    down BIGINT NOT NULL,
    millis BIGINT NOT NULL
);
CREATE INDEX web_requests_at ON web_requests (at_ms);
CREATE INDEX web_requests_session ON web_requests (session, id);
CREATE INDEX web_requests_user ON web_requests (user_name, id);
