-- What the client calls its request, beside what the relay calls it.
ALTER TABLE web_requests ADD COLUMN client_id TEXT;
