-- `replaced`: when another api token took this one's place; it is good until it `expires`.
-- `warned`: when it was recorded that it expires soon.
ALTER TABLE tokens ADD COLUMN replaced BIGINT;
ALTER TABLE tokens ADD COLUMN warned BIGINT;
DROP INDEX tokens_one_api;
-- One api token per user and application that nothing has replaced, whoever issues it when.
CREATE UNIQUE INDEX tokens_one_api ON tokens (user_id, application_id)
    WHERE kind = 'api' AND revoked IS NULL AND replaced IS NULL;

-- Whether users may ask for access, and who besides the admins decides.
ALTER TABLE applications ADD COLUMN requestable BIGINT NOT NULL DEFAULT 0;
CREATE TABLE approvers (
    application_id TEXT NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    group_id TEXT NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    PRIMARY KEY (application_id, group_id)
);
CREATE INDEX approvers_group ON approvers (group_id);

-- A user asks for an application. `seconds` is how long they ask for; `ends` when an approved one is
-- over. While its state is `approved` it is a rule of the policy, under its own id.
CREATE TABLE requests (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    application_id TEXT NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    reason TEXT NOT NULL,
    seconds BIGINT NOT NULL,
    created BIGINT NOT NULL,
    state TEXT NOT NULL,
    decided BIGINT,
    decided_by TEXT,
    comment TEXT,
    ends BIGINT
);
CREATE INDEX requests_user ON requests (user_id, created);
CREATE INDEX requests_application ON requests (application_id);
CREATE INDEX requests_state ON requests (state, ends);
CREATE UNIQUE INDEX requests_one_pending ON requests (user_id, application_id)
    WHERE state = 'pending';
