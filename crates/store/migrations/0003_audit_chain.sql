-- `hash` stands for the record and all before it; see docs/audit.md. Records from before are given
-- theirs in the same transaction. `application` and `site` are in `event` too: here they are for
-- the search.
ALTER TABLE audit ADD COLUMN hash TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN application TEXT;
ALTER TABLE audit ADD COLUMN site TEXT;
CREATE INDEX audit_user ON audit (user_name, seq) WHERE user_name IS NOT NULL;
CREATE INDEX audit_application ON audit (application, seq) WHERE application IS NOT NULL;
CREATE INDEX audit_action ON audit (action, seq);
CREATE INDEX audit_at ON audit (at_ms);

-- One row: the last record, vouched for with a key that follows from the master key.
CREATE TABLE audit_head (
    one BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    mac TEXT NOT NULL
);
INSERT INTO audit_head (one, seq, hash, mac) VALUES
    (1, 0, '0000000000000000000000000000000000000000000000000000000000000000', '');

-- How far each destination has acknowledged the audit log. `holder` is the relay that sends there
-- now, until `held_until_ms` unless it renews.
CREATE TABLE deliveries (
    name TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    seq BIGINT NOT NULL,
    holder TEXT,
    held_until_ms BIGINT NOT NULL,
    delivered_ms BIGINT,
    failed_ms BIGINT,
    failures BIGINT NOT NULL,
    error TEXT
);
