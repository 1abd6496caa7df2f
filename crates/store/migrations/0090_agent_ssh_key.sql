-- The SSH key of an agent that the relay signs certificates for: `SHA256:…`.
ALTER TABLE agents ADD COLUMN ssh_key TEXT;
