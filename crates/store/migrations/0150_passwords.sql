-- Passwords of people. What is sealed is the argon2id text. `must_change`: whoever signs in with it
-- chooses another first. `expires`: from then on it signs nobody in.
CREATE TABLE passwords (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed TEXT NOT NULL,
    must_change BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    expires BIGINT
);
