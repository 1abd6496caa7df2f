-- Users whom the relay has disabled because a directory does not have them any more.
CREATE TABLE gone_users (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    issuer TEXT NOT NULL,
    PRIMARY KEY (user_id, issuer)
);
