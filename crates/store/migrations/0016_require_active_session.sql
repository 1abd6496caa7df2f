-- Whether api tokens of an application work only while their user is signed in.
ALTER TABLE applications ADD COLUMN require_active_session BIGINT NOT NULL DEFAULT 0;
