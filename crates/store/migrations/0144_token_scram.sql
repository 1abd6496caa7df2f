-- By which a token is known without being shown (SCRAM-SHA-256), where it opens applications; tokens
-- from before have none.
ALTER TABLE tokens ADD COLUMN scram TEXT;
