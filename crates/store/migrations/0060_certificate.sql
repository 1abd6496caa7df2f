-- Whether the relay logs in to an application's target with a certificate that it signs itself.
ALTER TABLE applications ADD COLUMN certificate BIGINT NOT NULL DEFAULT 0;
