-- Programs that keep users and groups as a directory has them (SCIM), known by the SHA-256 of their
-- secret; and which users and groups are theirs, by the names that they have there.
CREATE TABLE provisioners (
    name TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    created BIGINT NOT NULL
);
CREATE TABLE provisioned_users (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    provisioner TEXT NOT NULL REFERENCES provisioners (name) ON DELETE CASCADE,
    user_name TEXT NOT NULL,
    external_id TEXT,
    UNIQUE (provisioner, user_name)
);
CREATE TABLE provisioned_groups (
    group_id TEXT NOT NULL PRIMARY KEY REFERENCES user_groups (id) ON DELETE CASCADE,
    provisioner TEXT NOT NULL REFERENCES provisioners (name) ON DELETE CASCADE,
    display_name TEXT NOT NULL,
    external_id TEXT,
    UNIQUE (provisioner, display_name)
);
