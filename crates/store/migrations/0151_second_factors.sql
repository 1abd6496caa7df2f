-- Authenticator apps of people, by their sealed key. `step`: the last time step whose code was taken;
-- no code of it or of one before is taken again.
CREATE TABLE totp (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed TEXT NOT NULL,
    created BIGINT NOT NULL,
    step BIGINT NOT NULL
);
-- What stands in for the app once each; known by the SHA-256 of 80 random bits.
CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    used BIGINT,
    PRIMARY KEY (user_id, digest)
);
