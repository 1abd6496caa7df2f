-- Where connectors reach a relay, `https://host[:port]` and `host:port` for QUIC; empty where they are
-- not told of it.
ALTER TABLE relays ADD COLUMN outside_url TEXT NOT NULL DEFAULT '';
ALTER TABLE relays ADD COLUMN outside_quic TEXT NOT NULL DEFAULT '';
