-- By what an RDP application's target is known (JSON).
ALTER TABLE applications ADD COLUMN rdp_options TEXT NOT NULL DEFAULT '{}';
