//! Grants and their terms.

use super::*;

#[tokio::test]
async fn a_grant_names_one_subject_and_one_target() {
    let command = "grant add --group dba --tag env=prod --login reporting --login app --forwarding \
                   --source 10.0.0.0/8 --max-session 8h --idle 30m \
                   --valid-from 2026-01-01T00:00:00Z --valid-until 2027-01-01T00:00:00Z";
    let added = run(command, [applied()]).await;
    added.asked(&Method::POST, "/api/v1/grants");
    let wanted = json!({ "group": "dba", "tag": "env=prod", "logins": ["reporting", "app"],
        "forwarding": true, "sources": ["10.0.0.0/8"], "max_session": "8h", "idle": "30m",
        "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2027-01-01T00:00:00Z" });
    assert_eq!(added.body(), wanted);
    for wrong in ["--user a", "--application x", "--user a --group b --tag c=d"] {
        assert!(parse(&format!("grant add {wrong}")).is_err(), "{wrong}");
    }
    for wrong in ["--zone UTC", "--hours 08:00-18:00"] {
        let wrong = run(&format!("grant add --user a --application x {wrong}"), []).await;
        assert_eq!((wrong.exit, wrong.asked.len()), (Exit::Usage, 0));
    }
}

#[tokio::test]
async fn a_grant_can_hold_at_hours_and_without_files() {
    let command = "grant add --user alice --application web1 --file-transfer no \
                   --hours mon-fri·08:00-18:00 --hours sat·09:00-12:00 --zone Europe/Berlin";
    let added = run(command, [applied()]).await;
    let wanted = json!({ "user": "alice", "application": "web1", "forwarding": false,
        "file_transfer": false, "hours": ["mon-fri 08:00-18:00", "sat 09:00-12:00"],
        "zone": "Europe/Berlin" });
    assert_eq!(added.body(), wanted);
    let id = "2f1d9a64-7d5e-4a76-9d39-0b7c4c9c9a51";
    let listed = run("grant ls", [json!({ "items": [{ "id": id, "grant": wanted }] })]).await;
    let terms = "no file transfer, mon-fri 08:00-18:00 and sat 09:00-12:00 Europe/Berlin";
    assert!(listed.out.contains(terms), "{}", listed.out);
}

#[tokio::test]
async fn a_grant_can_say_what_may_be_done_on_an_ssh_connection() {
    let command = "grant add --user alice --application web1 --ssh-shell no --ssh-exec uptime \
                   --ssh-exec systemctl·restart·* --ssh-sftp read --ssh-local db:5432 \
                   --ssh-agent no --ssh-env none --ssh-x11 yes \
                   --ssh-authentication publickey,token --ssh-authentication certificate";
    let added = run(command, [applied()]).await;
    let wanted = json!({ "user": "alice", "application": "web1", "forwarding": false, "ssh": {
        "authentication": ["publickey,token", "certificate"],
        "shell": false, "exec": ["systemctl restart *", "uptime"], "sftp": "read",
        "local": ["db:5432"], "agent": false, "x11": true, "environment": "none" } });
    assert_eq!(added.body(), wanted);
    let id = "2f1d9a64-7d5e-4a76-9d39-0b7c4c9c9a51";
    let listed = run("grant ls", [json!({ "items": [{ "id": id, "grant": wanted }] })]).await;
    assert!(listed.out.contains("shell no, exec \"systemctl restart *\""), "{}", listed.out);
    let set = format!("grant set {id} --clear ssh --ssh-exec none");
    let set = run(&set, [wanted, applied()]).await;
    let wanted = json!({ "user": "alice", "application": "web1", "forwarding": false,
        "ssh": { "exec": "none" } });
    assert_eq!(set.body(), wanted);
    assert!(listed.out.contains("authentication publickey,token or certificate"), "{}", listed.out);
    for wrong in ["--ssh-sftp rw", "--ssh-shell maybe", "--ssh-x11", "--ssh-authentication x"] {
        assert!(parse(&format!("grant add --user a --application b {wrong}")).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_grant_can_limit_databases_what_a_desktop_shares_and_recording() {
    let command = "grant add --group dba --tag env=prod --level viewer --database orders \
                   --database Orders·2026 --clipboard from-target --printer no --audio no --recording required \
                   --require-active-session";
    let added = run(command, [applied()]).await;
    let wanted = json!({ "group": "dba", "tag": "env=prod", "forwarding": false,
        "level": "viewer", "databases": ["orders", "Orders 2026"], "clipboard": "from-target",
        "printer": false, "audio": false,
        "recording": "required", "require_active_session": true });
    assert_eq!(added.body(), wanted);
    let id = "2f1d9a64-7d5e-4a76-9d39-0b7c4c9c9a51";
    let listed = run("grant ls", [json!({ "items": [{ "id": id, "grant": wanted }] })]).await;
    let terms = "viewer, databases orders Orders 2026, clipboard from-target, no printer, no audio, recorded, while signed in";
    assert!(listed.out.contains(terms), "{}", listed.out);
    let set = format!(
        "grant set {id} --level editor --clear database --clipboard off --recording off --printer yes --audio yes \
         --require-active-session no"
    );
    let set = run(&set, [wanted, applied()]).await;
    let wanted = json!({ "group": "dba", "tag": "env=prod", "forwarding": false,
        "level": "editor", "clipboard": "off" });
    assert_eq!(set.body(), wanted);
    for wrong in [
        "--level admin",
        "--clipboard none",
        "--clipboard",
        "--printer",
        "--audio maybe",
        "--recording on",
    ] {
        assert!(parse(&format!("grant add --user a --application b {wrong}")).is_err(), "{wrong}");
    }
}
