-- A machine user is a program: it signs in by token or SSH key only.
ALTER TABLE users ADD COLUMN machine BIGINT NOT NULL DEFAULT 0;
-- `warned`: when it was recorded that the key expires soon.
ALTER TABLE ssh_keys ADD COLUMN warned BIGINT;
