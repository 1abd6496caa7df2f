-- How a database is spoken to (JSON), and the passwords of its levels' accounts. `id` is application
-- and level.
ALTER TABLE applications ADD COLUMN database_options TEXT NOT NULL DEFAULT '{}';
CREATE TABLE level_credentials (
    id TEXT NOT NULL PRIMARY KEY,
    application_id TEXT NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    level TEXT NOT NULL,
    sealed TEXT NOT NULL
);
