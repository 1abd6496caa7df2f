//! An example body for each operation that makes something.

use serde_json::{Value, json};

pub(super) fn of(id: &str) -> Option<Value> {
    let example = match id {
        "addProvisioner" => json!({ "name": "entra" }),
        "addSite" => json!({ "name": "hq" }),
        "addUser" => json!({ "name": "alice", "groups": ["dba"] }),
        "addGroup" => json!({ "name": "dba", "members": ["alice", "bob"] }),
        "addApplication" => json!({
            "name": "orders-db",
            "site": "hq",
            "kind": "postgres",
            "address": "db1.corp:5432",
            "allow_api": true,
            "tags": { "env": "prod" },
        }),
        "addGrant" => json!({
            "group": "dba",
            "tag": "env=prod",
            "logins": ["reporting"],
            "hours": ["mon-fri 08:00-18:00"],
            "zone": "Europe/Berlin",
            "max_session": "8h",
        }),
        "changeSettings" => json!({ "ssh_key_days": 30, "tokens": { "ssh": { "hours": 8 } } }),
        "apply" => json!({
            "document": { "site": [{ "name": "hq" }], "user": [{ "name": "alice" }] },
            "plan": true,
        }),
        "addSshKey" => json!({ "user": "alice", "key": KEY, "expires": "30d" }),
        "signMySshKey" => json!({ "key": KEY }),
        "addMySshKey" => json!({ "key": KEY, "name": "laptop" }),
        "changeMyPassword" => json!({ "current": "…", "new": "a long text of your own" }),
        "takeTotp" => json!({ "key": "…", "code": "123456" }),
        "addMyPasskey" => json!({
            "name": "laptop", "algorithm": -7, "public_key": "MFkw…", "client_data": "eyJ0…",
            "authenticator_data": "SZYN…",
        }),
        "removeMyTotp" | "renewMyRecoveryCodes" => json!({ "code": "123456" }),
        "issueToken" => json!({ "user": "alice", "application": "orders-db", "kind": "api" }),
        "issueMyToken" => json!({ "application": "web1", "expires": "4h", "uses": 1 }),
        "makeMyRdpLogin" => json!({ "application": "desk1" }),
        "makeMyRdpFile" => json!({ "application": "desk1", "login": "CORP\\alice" }),
        "openDesktop" => json!({ "application": "desk1" }),
        "issueJoinToken" => json!({ "expires": "2h" }),
        "askDeviceLogin" => json!({ "device": "laptop" }),
        "pollDeviceLogin" => json!({ "device_code": "…" }),
        "login" => json!({ "csr_pem": CSR, "device": "laptop" }),
        "join" => json!({ "token": "adit_join_…", "csr_pem": CSR, "name": "hq-1" }),
        _ => return None,
    };
    Some(example)
}

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ/D9RpXsRdzgZAnjYUjPLVzFnTZhmtD9CxfAuXhxqYc alice@laptop";
const CSR: &str = "-----BEGIN CERTIFICATE REQUEST-----\n…\n-----END CERTIFICATE REQUEST-----\n";
