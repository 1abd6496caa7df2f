-- What holds for the whole relay, by key: `tokens.ssh.hours`. One that is not here has its default.
CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
