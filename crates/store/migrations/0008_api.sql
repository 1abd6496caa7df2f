-- Auditors see what admins see and change nothing.
ALTER TABLE users ADD COLUMN auditor BIGINT NOT NULL DEFAULT 0;

-- What an admin token may be used for, in words with a blank between them; all its user may do
-- where there is none.
ALTER TABLE tokens ADD COLUMN scopes TEXT;
CREATE INDEX tokens_created ON tokens (created, id);

-- What was answered to whoever sent a key with their request, so that sending it again does
-- nothing twice. `id` is a hash of who and key, `request` one of what was sent. Without `status` it
-- was begun, and nobody knows more until it is answered.
CREATE TABLE replies (
    id TEXT NOT NULL PRIMARY KEY,
    request TEXT NOT NULL,
    begun BIGINT NOT NULL,
    status BIGINT,
    sealed TEXT
);
CREATE INDEX replies_begun ON replies (begun);
