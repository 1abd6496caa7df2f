-- Ids are UUIDs in text, times Unix seconds unless the name says _ms, flags 0 or 1, hashes hex,
-- lists and terms JSON. Everything but `audit.seq` reads the same in PostgreSQL.

-- `policy`: grows with every change. `abandoned`: the last audit row already looked at by the
-- search for sessions that were never closed.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('policy', 0), ('abandoned', 0);

CREATE TABLE sites (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    admin BIGINT NOT NULL,
    enabled BIGINT NOT NULL
);

CREATE TABLE ssh_keys (
    fingerprint TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    public_key TEXT NOT NULL,
    expires BIGINT
);
CREATE INDEX ssh_keys_user ON ssh_keys (user_id);

CREATE TABLE user_groups (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE members (
    group_id TEXT NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX members_user ON members (user_id);

CREATE TABLE applications (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    site_id TEXT NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    label TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    address TEXT NOT NULL,
    account TEXT,
    host_key TEXT,
    allow_api BIGINT NOT NULL,
    tags TEXT NOT NULL,
    UNIQUE (site_id, name)
);

-- How the relay logs in to a managed application.
CREATE TABLE credentials (
    application_id TEXT NOT NULL PRIMARY KEY REFERENCES applications (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    sealed TEXT NOT NULL
);

-- SSH host keys that were learned at the first connection.
CREATE TABLE host_keys (
    application_id TEXT NOT NULL PRIMARY KEY REFERENCES applications (id) ON DELETE CASCADE,
    public_key TEXT NOT NULL
);

-- `identity` is subject and target in one text, so that one pair has one rule.
CREATE TABLE grants (
    id TEXT NOT NULL PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    group_id TEXT REFERENCES user_groups (id) ON DELETE CASCADE,
    application_id TEXT REFERENCES applications (id) ON DELETE CASCADE,
    tag_key TEXT,
    tag_value TEXT,
    terms TEXT NOT NULL
);
CREATE INDEX grants_user ON grants (user_id);
CREATE INDEX grants_group ON grants (group_id);
CREATE INDEX grants_application ON grants (application_id);

CREATE TABLE tokens (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    digest TEXT NOT NULL,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    application_id TEXT REFERENCES applications (id) ON DELETE CASCADE,
    site_id TEXT REFERENCES sites (id) ON DELETE CASCADE,
    created BIGINT NOT NULL,
    expires BIGINT,
    uses_left BIGINT,
    used BIGINT,
    used_from TEXT,
    revoked BIGINT
);
CREATE INDEX tokens_user ON tokens (user_id, application_id);
CREATE INDEX tokens_application ON tokens (application_id);
CREATE INDEX tokens_site ON tokens (site_id);
CREATE INDEX tokens_expires ON tokens (expires);
CREATE INDEX tokens_revoked ON tokens (revoked);
-- One live api token per user and application, whoever issues it when.
CREATE UNIQUE INDEX tokens_one_api ON tokens (user_id, application_id)
    WHERE kind = 'api' AND revoked IS NULL;

CREATE TABLE agents (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    device TEXT NOT NULL,
    spki TEXT NOT NULL UNIQUE,
    expires BIGINT NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX agents_user ON agents (user_id);

CREATE TABLE connectors (
    id TEXT NOT NULL PRIMARY KEY,
    site_id TEXT NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    spki TEXT NOT NULL UNIQUE,
    created BIGINT NOT NULL
);
CREATE INDEX connectors_site ON connectors (site_id);

-- The CA's key, the doors' host keys and the like.
CREATE TABLE secrets (
    name TEXT NOT NULL PRIMARY KEY,
    sealed TEXT NOT NULL
);

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms BIGINT NOT NULL,
    action TEXT NOT NULL,
    session TEXT,
    user_name TEXT,
    event TEXT NOT NULL
);
CREATE INDEX audit_session ON audit (session, seq) WHERE session IS NOT NULL;
-- Every session that opened has one end, however often its storing was tried.
CREATE UNIQUE INDEX audit_one_end ON audit (session) WHERE action = 'session.ended';
