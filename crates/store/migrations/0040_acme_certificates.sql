-- Certificates that a CA issues by ACME, one per host. `sealed` is the chain with its key, absent
-- until there is one; `next_ms` is when another is asked for. Who asks has claimed the row.
CREATE TABLE acme_certificates (
    name TEXT PRIMARY KEY,
    sealed TEXT,
    holder TEXT,
    held_until_ms BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    next_ms BIGINT NOT NULL,
    error TEXT
);
