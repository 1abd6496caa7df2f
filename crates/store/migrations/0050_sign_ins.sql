-- Browsers that are signed in, known by the SHA-256 of the secret in their cookie. What has ended is
-- kept for a while, so that lists tell why. `idle` is in seconds, and `seen` at most a minute old.
CREATE TABLE sign_ins (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    digest TEXT NOT NULL UNIQUE,
    created BIGINT NOT NULL,
    from_address TEXT NOT NULL,
    browser TEXT NOT NULL,
    idle BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    seen_from TEXT NOT NULL,
    ended BIGINT,
    why TEXT
);
CREATE INDEX sign_ins_user ON sign_ins (user_id);
