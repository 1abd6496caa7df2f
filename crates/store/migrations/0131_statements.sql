-- One row per statement at the doors of databases. `id` is ordered by time. Beside the audit log:
-- nothing points here, and what is old is removed.
CREATE TABLE statements (
    id TEXT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    session TEXT NOT NULL,
    user_name TEXT NOT NULL,
    application TEXT NOT NULL,
    database_name TEXT NOT NULL,
    role_name TEXT NOT NULL,
    client TEXT,
    statement TEXT NOT NULL,
    cut BIGINT NOT NULL,
    micros BIGINT,
    row_count BIGINT,
    error TEXT
);
CREATE INDEX statements_at ON statements (at_ms);
CREATE INDEX statements_session ON statements (session, id);
CREATE INDEX statements_user ON statements (user_name, id);
CREATE INDEX statements_application ON statements (application, id);
