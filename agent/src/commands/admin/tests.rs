//! The commands against a relay that remembers what it was asked.

use std::fs;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use clap::Parser;
use hyper::Method;
use serde_json::{Value, json};

use crate::cli::{Cli, Command};
use crate::context::{Answer, Api, Call, Context};
use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use crate::testing::Paper;

mod applications;
mod audit;
mod grants;
mod operations;

#[tokio::test]
async fn a_token_stands_alone_on_stdout() {
    let issued = json!({ "id": "abc", "token": "adit_api_x", "kind": "api", "user": "alice",
        "application": "web1.hq", "expires": null, "uses": null,
        "command": "adit tunnel web1.hq", "warnings": ["no grant yet"] });
    let run = run(
        "token issue --user alice --application web1 --kind api --expires 12h --uses 3",
        [issued],
    )
    .await;
    run.asked(&Method::POST, "/api/v1/tokens");
    let wanted = json!({ "user": "alice", "application": "web1", "kind": "api", "expires": "12h",
        "uses": 3 });
    assert_eq!(run.body(), wanted);
    assert_eq!(run.out, "adit_api_x\n");
    assert!(run.err.contains("no grant yet") && run.err.contains("adit tunnel web1.hq"));
}

#[tokio::test]
async fn a_join_token_stands_alone_on_stdout() {
    let issued = json!({ "id": "abc", "token": "adit_join_x", "kind": "join", "uses": 1,
        "expires": 0 });
    let run = run("site join-token hq", [issued]).await;
    run.asked(&Method::POST, "/api/v1/sites/hq/join-tokens");
    assert_eq!(run.out, "adit_join_x\n");
}

#[tokio::test]
async fn tokens_are_revoked_by_id_or_by_whose_they_are() {
    let removed = || json!({ "count": 2, "ended": 3, "millis": 12 });
    let by_id = run("token revoke abc", [removed()]).await;
    by_id.asked(&Method::DELETE, "/api/v1/tokens/abc");
    assert_eq!(by_id.err, "Revoked token abc.\n3 sessions ended, within 12 ms.\n");
    let both = run("token revoke --user alice --application web1.hq", [removed()]).await;
    both.asked(&Method::DELETE, "/api/v1/tokens?user=alice&application=web1.hq");
    assert!(both.err.starts_with("Revoked 2 tokens."), "{}", both.err);
    for wrong in ["token revoke", "token revoke abc --user alice"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_connector_is_shown_with_what_it_reaches() {
    let id = "2f1d9a64-7d5e-4a76-9d39-0b7c4c9c9a51";
    let connector = || {
        json!({ "id": id, "name": "hq-1", "site": "hq",
            "key": "SHA256:abc", "online": false, "seen": 0, "version": "adit-connector 1",
            "applications": [{ "application": "web1.hq", "reachable": false, "micros": 800,
                "reached": 0, "failure": "dial.timeout", "failed": 60 }] })
    };
    let listed = json!({ "items": [connector()] });
    let by_name = run("connector show hq-1", [listed, connector()]).await;
    let by_id = run(&format!("connector show {id}"), [connector()]).await;
    for shown in [by_name, by_id] {
        for part in ["offline since 1970-01-01 00:00 UTC", "SHA256:abc", "0.8 ms", "dial.timeout"] {
            assert!(shown.out.contains(part), "{part}: {}", shown.out);
        }
    }
}

#[tokio::test]
async fn a_connector_that_is_not_there_is_told_with_the_code_of_that() {
    let run = run("connector show nope", [json!({ "items": [] })]).await;
    run.asked(&Method::GET, "/api/v1/connectors?limit=1000");
    assert_eq!((run.exit, run.code.as_deref()), (Exit::NotFound, Some("connector.not_found")));
}

#[tokio::test]
async fn an_admin_registers_a_key_and_adds_a_machine() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("robot.pub");
    fs::write(&file, "ssh-ed25519 AAAA robot\n").unwrap();
    let row = || {
        json!({ "user": "robot", "fingerprint": "SHA256:a/b", "algorithm": "ssh-ed25519",
            "name": "robot", "expired": false })
    };
    let command = format!("user key add robot {} --never", file.display());
    let added = run(&command, [row()]).await;
    added.asked(&Method::POST, "/api/v1/ssh-keys");
    let wanted = json!({ "user": "robot", "key": "ssh-ed25519 AAAA robot", "never": true });
    assert_eq!(added.body(), wanted);
    assert_eq!(added.err, "Registered SHA256:a/b for robot: it does not expire.\n");
    assert!(parse(&format!("{command} --expires 30d")).is_err());
    let listed = run("user key ls --user robot", [json!({ "items": [row()] })]).await;
    listed.asked(&Method::GET, "/api/v1/ssh-keys?user=robot&limit=1000");
    assert!(listed.out.contains("never"), "{}", listed.out);
    let removed = json!({ "count": 1, "ended": 1, "millis": 3 });
    let removed = run("user key rm SHA256:a/b", [removed]).await;
    removed.asked(&Method::DELETE, "/api/v1/ssh-keys/SHA256%3Aa%2Fb");
    assert!(removed.err.contains("1 session ended"), "{}", removed.err);
    let machine = run("user add robot --machine", [applied()]).await;
    let wanted = json!({ "name": "robot", "admin": false, "enabled": true, "machine": true });
    assert_eq!(machine.body(), wanted);
}

#[tokio::test]
async fn a_session_is_ended_with_a_message_to_its_user() {
    let id = "2f1d9a64-7d5e-4a76-9d39-0b7c4c9c9a51";
    let removed = json!({ "count": 1, "ended": 1, "millis": 3 });
    let killed = run(&format!("session kill {id} --message at·five"), [removed]).await;
    killed.asked(&Method::DELETE, &format!("/api/v1/sessions/{id}?message=at%20five"));
}

#[tokio::test]
async fn settings_are_shown_and_set_by_their_keys() {
    let settings =
        || json!({ "ssh_key_days": 99, "tokens": { "ssh": { "hours": 12, "reusable": false } } });
    for command in ["settings", "settings show"] {
        let shown = run(command, [settings()]).await;
        shown.asked(&Method::GET, "/api/v1/settings");
        let lines =
            "ssh_key_days         99\ntokens.ssh.hours     12\ntokens.ssh.reusable  false\n";
        assert_eq!(shown.out, lines);
    }
    let shown = run("settings --json", [settings()]).await;
    assert_eq!(serde_json::from_str::<Value>(&shown.out).unwrap(), settings());
    let command = "settings set ssh_key_days=30 tokens.ssh.hours=8 tokens.rdp.reusable=true";
    let set = run(command, [applied()]).await;
    set.asked(&Method::PATCH, "/api/v1/settings");
    let wanted = json!({ "ssh_key_days": 30,
        "tokens": { "ssh": { "hours": 8 }, "rdp": { "reusable": true } } });
    assert_eq!(set.body(), wanted);
    assert_eq!(set.err, "+ site hq\n~ user bob  admin: true\n");
    let wrong = run("settings set days tokens.ssh.hours=x tokens.ftp.hours=1", []).await;
    assert_eq!((wrong.exit, wrong.asked.len()), (Exit::Usage, 0));
    assert!(parse("settings set").is_err());
}

#[tokio::test]
async fn why_asks_what_was_asked_and_prints_the_answer() {
    let why = || {
        json!({ "user": "alice", "application": "web1.hq", "at": 1, "allowed": false,
        "answer": "alice may not reach web1.hq:\u{1b} no grant", "short_by": ["hours"] })
    };
    let plain = run("why alice web1", [why()]).await;
    plain.asked(&Method::GET, "/api/v1/why?user=alice&application=web1");
    assert_eq!(
        (plain.out.as_str(), plain.exit),
        ("alice may not reach web1.hq:\\u{1b} no grant\n", Exit::Ok)
    );
    let command = "why alice web1 --at 2026-12-01T08:00:00+01:00 --from ::1 --login root --json";
    let full = run(command, [why()]).await;
    full.asked(
        &Method::GET,
        "/api/v1/why?user=alice&application=web1&at=2026-12-01T08%3A00%3A00%2B01%3A00&from=%3A%3A1&login=root",
    );
    let json: Value = serde_json::from_str(&full.out).unwrap();
    assert_eq!((&json["allowed"], &json["short_by"]), (&json!(false), &json!(["hours"])));
    assert!(parse("why alice web1 --from home").is_err());
}

#[tokio::test]
async fn a_file_is_applied_and_its_changes_are_data() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("relay.toml");
    fs::write(&file, "[[site]]\nname = \"hq\"\n").unwrap();
    let command = format!("apply -f {} --plan --prune", file.display());
    let mut planned = applied();
    planned["applied"] = json!(false);
    let run = run(&command, [planned]).await;
    run.asked(&Method::POST, "/api/v1/apply");
    let wanted = json!({ "document": { "site": [{ "name": "hq" }] }, "plan": true, "prune": true });
    assert_eq!(run.body(), wanted);
    assert_eq!(run.out, "+ site hq\n~ user bob  admin: true\n");
    assert_eq!(run.err, "Would apply 2 changes; nothing was changed.\n");
}

#[tokio::test]
async fn listings_are_tables_for_people_and_json_for_programs() {
    let sites = || json!([{ "name": "hq", "connectors": 2, "online": 1, "applications": 4 }]);
    let page = || json!({ "items": sites() });
    let table = run("site ls", [page()]).await;
    assert_eq!(table.out, "NAME  CONNECTORS  ONLINE  APPLICATIONS\nhq    2           1       4\n");
    let json = run("site ls --json", [page()]).await;
    assert_eq!(serde_json::from_str::<Value>(&json.out).unwrap(), sites());
    let none = run("site ls", [json!({ "items": [] })]).await;
    assert_eq!((none.out.as_str(), none.err.as_str()), ("", "There are no sites.\n"));
}

#[tokio::test]
async fn a_list_is_followed_to_its_end_with_what_was_asked() {
    let row = |name: &str| json!({ "name": name, "members": [] });
    let pages =
        [json!({ "items": [row("a"), row("b")], "next": "b/+" }), json!({ "items": [row("c")] })];
    let groups = run("group ls", pages).await;
    let asked: Vec<_> = groups.asked.iter().map(|(_, path, _)| path.as_str()).collect();
    let first = "/api/v1/groups?limit=1000";
    assert_eq!(asked, [first, "/api/v1/groups?limit=1000&cursor=b%2F%2B"]);
    assert_eq!(groups.out.lines().count(), 4, "{}", groups.out);
    let none = || json!({ "items": [] });
    for (command, path) in [
        ("user ls --group dba --disabled --prefix a", "users?group=dba&enabled=false&prefix=a"),
        (
            "app ls --site hq --kind ssh --tag env=prod",
            "applications?site=hq&kind=ssh&tag=env%3Dprod",
        ),
        ("grant ls --user alice", "grants?user=alice"),
        ("connector ls --site hq", "connectors?site=hq"),
        (
            "session ls --user alice --application web1.hq",
            "sessions?user=alice&application=web1.hq",
        ),
        ("token ls --kind api --state used-up", "tokens?kind=api&state=used-up"),
        ("requests ls --pending", "requests?state=pending"),
        ("sign-in ls --user alice --all", "sign-ins?user=alice&all=true"),
    ] {
        let run = run(command, [none()]).await;
        run.asked(&Method::GET, &format!("/api/v1/{path}&limit=1000"));
    }
    assert!(parse("token ls --state lively").is_err());
}

#[tokio::test]
async fn a_link_that_signs_a_user_in_is_all_there_is_on_stdout() {
    let issued = json!({ "id": "abcdefghij", "token": "adit_sign-in_abc", "kind": "sign-in",
        "user": "alice", "uses": 1, "expires": 1_800_000_000,
        "command": "https://relay.test/sign-in#CODE" });
    let run = run("user sign-in-link alice", [issued]).await;
    assert_eq!(run.body(), json!({ "user": "alice", "kind": "sign-in" }));
    assert_eq!(run.out, "https://relay.test/sign-in#adit_sign-in_abc\n");
    assert!(parse("token issue --user alice --kind sign-in").is_err());
}

#[tokio::test]
async fn a_one_time_password_is_all_there_is_on_stdout() {
    let made = json!({ "user": "alice", "password": "aaaaa-bbbbb", "signed_out": 2,
        "url": "https://relay.test/sign-in", "expires": 1_800_000_000 });
    let run = run("user password alice", [made]).await;
    run.asked(&Method::POST, "/api/v1/users/alice/password");
    assert_eq!(run.out, "aaaaa-bbbbb\n");
    assert!(run.err.contains("https://relay.test/sign-in"), "{}", run.err);
}

#[tokio::test]
async fn a_change_is_made_to_what_was_just_read_and_keeps_the_rest() {
    let user = json!({ "name": "bob", "admin": false, "enabled": true, "groups": ["dba"],
        "ssh_keys": [] });
    let run_one = run("user set bob --admin yes", [user.clone(), applied()]).await;
    assert_eq!(run_one.asked[0].1, "/api/v1/users/bob");
    run_one.asked(&Method::PUT, "/api/v1/users/bob");
    let mut wanted = user;
    wanted["admin"] = json!(true);
    assert_eq!((run_one.body(), run_one.matched), (wanted, vec![TAG.to_owned()]));
    let group = json!({ "name": "dba", "members": ["alice", "bob"] });
    let joins = run("group set dba --add carol --remove bob", [group, applied()]).await;
    assert_eq!(joins.body()["members"], json!(["alice", "carol"]));
    let app = json!({ "name": "web1", "site": "hq", "kind": "ssh", "address": "a:22",
        "account": "ubuntu", "allow_api": true, "tags": { "env": "prod" } });
    let set = run("app set web1 --address b:22 --clear tags", [app, applied()]).await;
    set.asked(&Method::PUT, "/api/v1/applications/web1");
    let wanted = json!({ "name": "web1", "site": "hq", "kind": "ssh", "address": "b:22",
        "account": "ubuntu", "allow_api": true });
    assert_eq!(set.body(), wanted);
    let id = "2f1d9a64-7d5e-4a76-9d39-0b7c4c9c9a51";
    let grant = json!({ "user": "alice", "application": "web1.hq", "forwarding": true,
        "hours": ["mon 08:00-18:00"], "zone": "UTC", "idle": "5m" });
    let command = format!("grant set {id} --clear hours --max-session 8h --file-transfer no");
    let set = run(&command, [grant, applied()]).await;
    let wanted = json!({ "user": "alice", "application": "web1.hq", "forwarding": true,
        "file_transfer": false, "max_session": "8h", "idle": "5m" });
    assert_eq!(set.body(), wanted);
}

#[tokio::test]
async fn one_object_is_shown_as_apply_takes_it() {
    let user = json!({ "name": "bob", "admin": false, "enabled": true, "groups": ["dba"] });
    let shown = run("user show bob", [user]).await;
    let wanted = "[[user]]\nname = \"bob\"\nadmin = false\nenabled = true\ngroups = [\"dba\"]\n";
    assert_eq!(shown.out, wanted);
}

#[tokio::test]
async fn a_file_is_applied_to_what_it_was_exported_from() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("relay.toml");
    fs::write(&file, "[[site]]\nname = \"hq\"\n").unwrap();
    let exported = run("export", [json!({})]).await;
    assert!(exported.err.contains("apply --if-match 0123"), "{}", exported.err);
    let command = format!("apply -f {} --if-match 0123", file.display());
    assert_eq!(run(&command, [applied()]).await.matched, [TAG]);
}

#[tokio::test]
async fn an_export_can_be_applied_again() {
    let document = json!({
        "settings": { "ssh_key_days": 30, "tokens": { "ssh": { "hours": 8, "reusable": true } } },
        "site": [{ "name": "hq" }],
        "user": [
            { "name": "alice", "admin": false, "enabled": true, "ssh_keys": [
                { "key": "ssh-ed25519 AAAA", "expires": "2030-01-01T00:00:00Z" },
                { "key": "ssh-ed25519 BBBB", "expires": "never" }] },
            { "name": "robot", "admin": false, "enabled": true, "machine": true, "groups": [],
                "ssh_keys": ["ssh-ed25519 CCCC"] },
        ],
        "application": [{ "name": "web1", "site": "hq", "kind": "ssh", "address": "web1:22",
            "allow_api": true, "require_active_session": true, "tags": { "env": "prod" } }],
        "grant": [{ "user": "alice", "application": "web1.hq", "forwarding": false,
            "level": "editor", "databases": [], "clipboard": "off", "recording": "required",
            "require_active_session": true, "max_session": "8h" }],
    });
    let exported = run("export", [document.clone()]).await.out;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("relay.toml");
    fs::write(&file, exported).unwrap();
    let run = run(&format!("apply -f {}", file.display()), [applied()]).await;
    assert_eq!(run.body()["document"], document);
}

fn applied() -> Value {
    json!({ "changes": [
        { "action": "add", "object": "site hq", "detail": "" },
        { "action": "change", "object": "user bob", "detail": "admin: true" },
    ], "applied": true, "ended": 0, "millis": 0 })
}

/// How one command line went.
struct Run {
    asked: Vec<(Method, String, Option<Value>)>,
    matched: Vec<String>,
    out: String,
    err: String,
    exit: Exit,
    code: Option<String>,
}

impl Run {
    #[track_caller]
    fn asked(&self, method: &Method, path: &str) {
        let (asked, at, _) = self.asked.last().unwrap();
        assert_eq!((asked, at.as_str()), (method, path));
    }

    fn body(&self) -> Value {
        self.asked.last().unwrap().2.clone().unwrap()
    }
}

fn parse(command: &str) -> Result<Cli, clap::Error> {
    // A middle dot stands for a blank within a word.
    let words = command.split_whitespace().map(|word| word.replace('·', " "));
    Cli::try_parse_from(["adit", "admin"].map(str::to_owned).into_iter().chain(words))
}

async fn run<const N: usize>(command: &str, answers: [Value; N]) -> Run {
    let cli = parse(command).unwrap();
    let (paper, relay) = (Paper::default(), Arc::new(Relay::default()));
    relay.answers.lock().unwrap().extend(answers.into_iter().rev());
    let ui = paper.ui(cli.globals.json);
    let context = Context::with_api(ui, Settings::new(&cli.globals), relay.clone());
    let Command::Admin(args) = cli.command else { panic!("{command}") };
    let result = super::run(args, &context).await;
    let code = result.as_ref().err().and_then(|failure| failure.code().map(str::to_owned));
    let exit = result.map_or_else(|failure| failure.exit(), |()| Exit::Ok);
    let asked = relay.asked.lock().unwrap().clone();
    let matched = relay.matched.lock().unwrap().clone();
    Run { asked, matched, out: paper.out(), err: paper.err(), exit, code }
}

#[derive(Default)]
struct Relay {
    asked: Mutex<Vec<(Method, String, Option<Value>)>>,
    /// The next one last.
    answers: Mutex<Vec<Value>>,
    /// The tags that changes were made on.
    matched: Mutex<Vec<String>>,
}

const TAG: &str = "\"0123\"";

#[async_trait]
impl Api for Relay {
    async fn send(&self, call: Call<'_>) -> Result<Answer, Failure> {
        let Call { method, path, body, if_match, .. } = call;
        self.asked.lock().unwrap().push((method, path.to_owned(), body));
        self.matched.lock().unwrap().extend(if_match.map(str::to_owned));
        let body = self.answers.lock().unwrap().pop().unwrap();
        Ok(Answer { body, etag: Some(TAG.to_owned()) })
    }
}
