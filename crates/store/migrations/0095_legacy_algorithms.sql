-- Whether an application's SSH target may use algorithms that are too weak for others.
ALTER TABLE applications ADD COLUMN legacy_algorithms BIGINT NOT NULL DEFAULT 0;
