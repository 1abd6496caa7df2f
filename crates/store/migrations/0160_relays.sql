-- Relays that serve one database at a time. All of it is empty where one relay serves alone.

-- A relay that runs: its claim is the row. `beat` grows while it lives; whoever sees it stand still
-- for a lease takes the row away, and what the relay writes after that is refused.
CREATE TABLE relays (
    epoch BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- `host:port` for other relays; empty until its doors are open.
    quic TEXT NOT NULL,
    https TEXT NOT NULL,
    -- The key by which other relays know it.
    spki TEXT NOT NULL,
    version TEXT NOT NULL,
    since BIGINT NOT NULL,
    beat BIGINT NOT NULL
);

-- Sessions that are open, and at which relay: written in the transaction that records their opening
-- or end. `words`: somebody ends it, and says this.
CREATE TABLE live_sessions (
    session TEXT NOT NULL PRIMARY KEY,
    relay BIGINT NOT NULL,
    words TEXT
);
CREATE INDEX live_sessions_relay ON live_sessions (relay);

-- Which connector is connected to which relay.
CREATE TABLE relay_connectors (
    relay BIGINT NOT NULL,
    connector TEXT NOT NULL,
    site TEXT NOT NULL,
    shown TEXT NOT NULL,
    PRIMARY KEY (relay, connector)
);

-- Which versions of the configuration a relay has put in force, and how many sessions they ended.
CREATE TABLE relay_policies (
    relay BIGINT NOT NULL,
    first_version BIGINT NOT NULL,
    last_version BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    PRIMARY KEY (relay, last_version)
);
