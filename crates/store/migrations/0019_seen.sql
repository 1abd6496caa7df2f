-- When somebody was last vouched for, to the minute; from where, and by which door. Of connectors:
-- when they were last connected, from where, and with which software.
ALTER TABLE users ADD COLUMN seen BIGINT;
ALTER TABLE users ADD COLUMN seen_from TEXT;
ALTER TABLE users ADD COLUMN seen_door TEXT;
ALTER TABLE agents ADD COLUMN seen BIGINT;
ALTER TABLE agents ADD COLUMN seen_from TEXT;
ALTER TABLE connectors ADD COLUMN seen BIGINT;
ALTER TABLE connectors ADD COLUMN seen_from TEXT;
ALTER TABLE connectors ADD COLUMN seen_version TEXT;
