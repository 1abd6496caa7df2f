-- The token that an agent stands on, where that token opens an application: the agent may do no
-- more than it, and goes when it is forgotten.
ALTER TABLE agents ADD COLUMN token_id TEXT REFERENCES tokens (id) ON DELETE CASCADE;
CREATE INDEX agents_token ON agents (token_id);
