-- Sessions that have ended are listed by their ids, which hold when they were opened: all, those of a
-- user, of an application or of a site; and the same of those of which a recording was made.
DROP INDEX audit_one_end;
-- Every session that opened has one end, however often its storing was tried. With its action first, so
-- that the order is the index's own to whoever asks for the last ends.
CREATE UNIQUE INDEX audit_one_end ON audit (action, session) WHERE action = 'session.ended';
CREATE INDEX audit_recordings ON audit (action, session)
    WHERE action IN ('session.recorded', 'recording.removed');
CREATE INDEX audit_ended_user ON audit (action, user_name, session)
    WHERE action IN ('session.ended', 'session.recorded');
CREATE INDEX audit_ended_application ON audit (action, application, session)
    WHERE action IN ('session.ended', 'session.recorded');
CREATE INDEX audit_ended_site ON audit (action, site, session)
    WHERE action IN ('session.ended', 'session.recorded');
