-- The sites that a user administers who is no admin: ids, as a list of JSON.
ALTER TABLE users ADD COLUMN admin_of TEXT NOT NULL DEFAULT '[]';
