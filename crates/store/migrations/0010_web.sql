-- How the origin of a web application is spoken to, as JSON.
ALTER TABLE applications ADD COLUMN web TEXT NOT NULL DEFAULT '{}';
