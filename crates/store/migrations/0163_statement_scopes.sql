-- What statements of a session have in common stands once, and their ids are numbers: the first and the
-- second half of each as they are ordered, with the highest bit turned over. Rows of before are carried
-- over by the program, as halves of a text are nothing that both engines can compute.
ALTER TABLE statements RENAME TO statements_before;
DROP INDEX statements_at;
DROP INDEX statements_session;
DROP INDEX statements_user;
DROP INDEX statements_application;

-- `first_high` and `last_high` are first halves of ids: no statement of the scope has a lower one than
-- the one, or one that is more than a quarter of a minute above the other.
CREATE TABLE statement_scopes (
    id BIGINT NOT NULL PRIMARY KEY,
    session TEXT NOT NULL,
    user_name TEXT NOT NULL,
    application TEXT NOT NULL,
    database_name TEXT NOT NULL,
    role_name TEXT NOT NULL,
    first_high BIGINT NOT NULL,
    last_high BIGINT NOT NULL
);
CREATE INDEX statement_scopes_last ON statement_scopes (last_high, id);
CREATE INDEX statement_scopes_session ON statement_scopes (session, last_high, id);
CREATE INDEX statement_scopes_user ON statement_scopes (user_name, last_high, id);
CREATE INDEX statement_scopes_application ON statement_scopes (application, last_high, id);

CREATE TABLE statements (
    id_high BIGINT NOT NULL,
    id_low BIGINT NOT NULL,
    scope BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    client TEXT,
    statement TEXT NOT NULL,
    cut BIGINT NOT NULL,
    micros BIGINT,
    row_count BIGINT,
    error TEXT,
    PRIMARY KEY (id_high, id_low)
) WITHOUT ROWID;
CREATE INDEX statements_scope ON statements (scope, id_high, id_low);
CREATE INDEX statements_failed ON statements (id_high, id_low) WHERE error IS NOT NULL;
