-- Passkeys of people: the id that an authenticator knows its key by, in base64url without padding, and
-- the public half of the key (SubjectPublicKeyInfo, base64), with the number of its algorithm in COSE.
-- `counter`: what it has counted to; 0 of those that do not count.
CREATE TABLE passkeys (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    algorithm BIGINT NOT NULL,
    public_key TEXT NOT NULL,
    counter BIGINT NOT NULL,
    created BIGINT NOT NULL,
    used BIGINT
);
CREATE INDEX passkeys_by_user ON passkeys (user_id);
