-- Who a user is at a provider: by its own id for them, never by a name, which may pass to others.
CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_user ON identities (user_id);
-- The provider that vouched for the user of a browser.
ALTER TABLE sign_ins ADD COLUMN provider TEXT;
