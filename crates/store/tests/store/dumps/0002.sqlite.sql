PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO _sqlx_migrations VALUES(1,'tables','2026-11-24 02:01:22',1,X'71c30d034eb1f217a4fb6061357ee405ea4ae7bfaf99c8c0f9e32228a6d3508cfcfff8f8b813214b1d69565b6945e0bd',827749);
INSERT INTO _sqlx_migrations VALUES(2,'agents by token','2026-11-24 02:01:22',1,X'9a6089cd892541a5f69e27dc8c1fef750799fafffa663064e79cef52cd38e3d0812ae7c4f74dce1e03ca396c55c936b7',246010);
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters VALUES('policy',5);
INSERT INTO counters VALUES('abandoned',0);
CREATE TABLE sites (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
INSERT INTO sites VALUES('801fe7c1-5c5f-4c24-afd9-2e90f3bcf910','hq');
CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    admin BIGINT NOT NULL,
    enabled BIGINT NOT NULL
);
INSERT INTO users VALUES('9473e33e-c2a1-4603-903a-e287396fd2af','admin',1,1);
INSERT INTO users VALUES('fb9ee1ef-9369-4e19-aaea-9f02b5936c2d','alice',0,1);
INSERT INTO users VALUES('0a5dcbf8-3f2e-4308-b914-7920a1793833','bob',0,1);
CREATE TABLE ssh_keys (
    fingerprint TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    public_key TEXT NOT NULL,
    expires BIGINT
);
INSERT INTO ssh_keys VALUES('SHA256:zETYLgH1q16GYRvMcRDediKmP404o2tI561o3iL0BZo','fb9ee1ef-9369-4e19-aaea-9f02b5936c2d','ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBgVJpX1N4InONGWQXFFu0C7ttV29sjan5Ak8nXMWxO alice@laptop',NULL);
CREATE TABLE user_groups (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
INSERT INTO user_groups VALUES('291882a1-7379-4be7-be43-7963cb4a190e','dba');
CREATE TABLE members (
    group_id TEXT NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
INSERT INTO members VALUES('291882a1-7379-4be7-be43-7963cb4a190e','0a5dcbf8-3f2e-4308-b914-7920a1793833');
CREATE TABLE applications (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    site_id TEXT NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    label TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    address TEXT NOT NULL,
    account TEXT,
    host_key TEXT,
    allow_api BIGINT NOT NULL,
    tags TEXT NOT NULL,
    UNIQUE (site_id, name)
);
INSERT INTO applications VALUES('ed03e14d-2ac8-490c-85b5-ef996021b059','db1','801fe7c1-5c5f-4c24-afd9-2e90f3bcf910','db1-hq','ssh','10.0.0.7:22','root',NULL,1,'{"env":"prod"}');
INSERT INTO applications VALUES('d40b6a4b-13b3-4496-b07f-bb1206266421','web1','801fe7c1-5c5f-4c24-afd9-2e90f3bcf910','web1-hq','ssh','10.0.0.7:22',NULL,NULL,1,'{"env":"prod"}');
CREATE TABLE credentials (
    application_id TEXT NOT NULL PRIMARY KEY REFERENCES applications (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    sealed TEXT NOT NULL
);
INSERT INTO credentials VALUES('ed03e14d-2ac8-490c-85b5-ef996021b059','password','v1.c77996e7764068a3.4N1sBQmKJXJ2vA/EKqPJrsaz/bhhKNJ173j1rTaOpgBmVmsA40yS7TWdj6JDAPL3dkn7PcfCxgo=');
CREATE TABLE host_keys (
    application_id TEXT NOT NULL PRIMARY KEY REFERENCES applications (id) ON DELETE CASCADE,
    public_key TEXT NOT NULL
);
INSERT INTO host_keys VALUES('d40b6a4b-13b3-4496-b07f-bb1206266421','ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBgVJpX1N4InONGWQXFFu0C7ttV29sjan5Ak8nXMWxO');
CREATE TABLE grants (
    id TEXT NOT NULL PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    group_id TEXT REFERENCES user_groups (id) ON DELETE CASCADE,
    application_id TEXT REFERENCES applications (id) ON DELETE CASCADE,
    tag_key TEXT,
    tag_value TEXT,
    terms TEXT NOT NULL
);
INSERT INTO grants VALUES('51183055-a644-4041-8c7e-2b6c68d45d8d','fb9ee1ef-9369-4e19-aaea-9f02b5936c2d - d40b6a4b-13b3-4496-b07f-bb1206266421 - -','fb9ee1ef-9369-4e19-aaea-9f02b5936c2d',NULL,'d40b6a4b-13b3-4496-b07f-bb1206266421',NULL,NULL,'{"forwarding":false,"file_transfer":true}');
INSERT INTO grants VALUES('53d79af0-a5c9-499d-a0be-aad0764b7060','- 291882a1-7379-4be7-be43-7963cb4a190e - env prod',NULL,'291882a1-7379-4be7-be43-7963cb4a190e',NULL,'env','prod','{"forwarding":false,"file_transfer":true,"max_session":28800}');
CREATE TABLE tokens (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    digest TEXT NOT NULL,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    application_id TEXT REFERENCES applications (id) ON DELETE CASCADE,
    site_id TEXT REFERENCES sites (id) ON DELETE CASCADE,
    created BIGINT NOT NULL,
    expires BIGINT,
    uses_left BIGINT,
    used BIGINT,
    used_from TEXT,
    revoked BIGINT
);
INSERT INTO tokens VALUES('01IExPTpE9','api','c7768715e1385b3614b3c3814315f9a0f98d14d392e4e9f9f6a0cf5d9cd952a5','fb9ee1ef-9369-4e19-aaea-9f02b5936c2d','d40b6a4b-13b3-4496-b07f-bb1206266421',NULL,1800000000,NULL,NULL,NULL,NULL,NULL);
INSERT INTO tokens VALUES('02aTuoxeSI','join','93aeb81ea6ddced7f865c897a0c12f755f77812d530369960d70e472c3633666',NULL,NULL,'801fe7c1-5c5f-4c24-afd9-2e90f3bcf910',1800000000,NULL,1,NULL,NULL,NULL);
CREATE TABLE agents (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    device TEXT NOT NULL,
    spki TEXT NOT NULL UNIQUE,
    expires BIGINT NOT NULL,
    created BIGINT NOT NULL
, token_id TEXT REFERENCES tokens (id) ON DELETE CASCADE);
INSERT INTO agents VALUES('32cabd8c-2617-4a06-a9b0-6f98f2d5ebbb','fb9ee1ef-9369-4e19-aaea-9f02b5936c2d','laptop','0707070707070707070707070707070707070707070707070707070707070707',1800000060,1795485682,'01IExPTpE9');
CREATE TABLE connectors (
    id TEXT NOT NULL PRIMARY KEY,
    site_id TEXT NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    spki TEXT NOT NULL UNIQUE,
    created BIGINT NOT NULL
);
INSERT INTO connectors VALUES('21d483d8-2317-4bf0-9ff7-9f7676585f53','801fe7c1-5c5f-4c24-afd9-2e90f3bcf910','c1','0808080808080808080808080808080808080808080808080808080808080808',1795485682);
CREATE TABLE secrets (
    name TEXT NOT NULL PRIMARY KEY,
    sealed TEXT NOT NULL
);
INSERT INTO secrets VALUES('master key check','v1.c77996e7764068a3.mI3/h3K2L1vVKNmbzlc1vgj96oNtchtU6bqXYw==');
INSERT INTO secrets VALUES('ca key','v1.c77996e7764068a3.QmZOR3/pJistLRbNs7rTLbaFmlWXrEk1VDwuNzBcObL9PT8qD3MRGRE=');
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms BIGINT NOT NULL,
    action TEXT NOT NULL,
    session TEXT,
    user_name TEXT,
    event TEXT NOT NULL
);
INSERT INTO audit VALUES(1,1795485682697,'session.opened','6c4e9c76-addf-4289-8cdc-8bb0a6262e18','alice','{"action":"session.opened","session":"6c4e9c76-addf-4289-8cdc-8bb0a6262e18","user":"alice","application":"web1","site":"hq","kind":"ssh","door":"ssh","from":"127.0.0.1","credential":"token","login":"ubuntu","rule":"00000000-0000-0000-0000-000000000000"}');
INSERT INTO audit VALUES(2,1800000000000,'session.ended','6c4e9c76-addf-4289-8cdc-8bb0a6262e18','alice','{"action":"session.ended","session":"6c4e9c76-addf-4289-8cdc-8bb0a6262e18","user":"alice","application":"web1","site":"hq","door":"ssh","reason":"closed","side":"client","up":1,"down":2,"millis":3}');
INSERT INTO audit VALUES(3,1795485682709,'session.opened','f0245e13-8bb4-495c-bc3e-8b0a91ba9167','alice','{"action":"session.opened","session":"f0245e13-8bb4-495c-bc3e-8b0a91ba9167","user":"alice","application":"web1","site":"hq","kind":"ssh","door":"ssh","from":"127.0.0.1","credential":"token","login":"ubuntu","rule":"00000000-0000-0000-0000-000000000000"}');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('audit',3);
CREATE INDEX ssh_keys_user ON ssh_keys (user_id);
CREATE INDEX members_user ON members (user_id);
CREATE INDEX grants_user ON grants (user_id);
CREATE INDEX grants_group ON grants (group_id);
CREATE INDEX grants_application ON grants (application_id);
CREATE INDEX tokens_user ON tokens (user_id, application_id);
CREATE INDEX tokens_application ON tokens (application_id);
CREATE INDEX tokens_site ON tokens (site_id);
CREATE INDEX tokens_expires ON tokens (expires);
CREATE INDEX tokens_revoked ON tokens (revoked);
CREATE UNIQUE INDEX tokens_one_api ON tokens (user_id, application_id)
    WHERE kind = 'api' AND revoked IS NULL;
CREATE INDEX agents_user ON agents (user_id);
CREATE INDEX connectors_site ON connectors (site_id);
CREATE INDEX audit_session ON audit (session, seq) WHERE session IS NOT NULL;
CREATE UNIQUE INDEX audit_one_end ON audit (session) WHERE action = 'session.ended';
CREATE INDEX agents_token ON agents (token_id);
COMMIT;
