-- Decides on every request for access, as admins do, and may nothing else that they may.
ALTER TABLE users ADD COLUMN approver BIGINT NOT NULL DEFAULT 0;
