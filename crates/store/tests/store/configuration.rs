use access::{Clipboard, Level, PolicySnapshot, Recording, SshTerms, Subject, Target};
use api::{Document, GrantSpec, UserSpec};
use serde_json::json;
use sqlx::Row;
use store::{Apply, Expected, Object, StoreError, Within};

use crate::support::{
    FINGERPRINT, Home, KEY, allow, application, apply, grant, group, name, now, refuse, site,
    small, user,
};

#[tokio::test]
async fn applying_a_document_again_changes_nothing() {
    let home = Home::new();
    let store = home.open().await;
    let added = apply(&store, &small()).await.unwrap();
    assert_eq!(added.len(), 9);
    assert!(added.iter().all(|change| change.action == "add"));
    let version = *store.changed().borrow();
    assert_eq!(apply(&store, &small()).await.unwrap(), []);
    assert_eq!(*store.changed().borrow(), version);
}

#[tokio::test]
async fn what_the_relay_exports_changes_nothing_even_when_the_rest_is_pruned() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let document = store.export().await.unwrap().spec;
    assert!(!format!("{:?}", serde_json::to_string(&document).unwrap()).contains("correct horse"));
    let prune = Apply { prune: true, ..Apply::default() };
    assert_eq!(store.apply(&document, prune, now()).await.unwrap(), []);
}

#[tokio::test]
async fn every_term_and_option_comes_back_as_it_was_stored() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let mut document = small();
    document.applications[0].require_active_session = true;
    document.grants[1] = GrantSpec {
        logins: Some(vec![]),
        forwarding: true,
        file_transfer: false,
        ssh: SshTerms { shell: false, ..SshTerms::default() },
        level: Some(Level::Editor),
        databases: Some(vec!["orders".into(), "Orders 2026".into()]),
        clipboard: Clipboard::FromTarget,
        printer: false,
        audio: false,
        recording: Recording::Required,
        require_active_session: true,
        hours: Some(vec!["mon-fri 08:00-18:00".into()]),
        zone: Some("Europe/Berlin".into()),
        ..document.grants[1].clone()
    };
    let changes = apply(&store, &document).await.unwrap();
    let told: Vec<_> = changes.iter().map(|c| format!("{}: {}", c.object, c.detail)).collect();
    assert_eq!(
        told,
        [
            "application web1.hq: require_active_session yes",
            "grant group dba → env=prod: audio no; clipboard from-target; databases orders, Orders 2026; \
             file_transfer no; forwarding yes; hours mon-fri 08:00-18:00 Europe/Berlin; \
             level editor; logins none; printer no; recording required; require_active_session yes; \
             ssh shell no",
        ]
    );
    let policy = home.open().await.load_policy().await.unwrap();
    let terms = &policy.rules[1].terms;
    assert_eq!((terms.level, terms.clipboard), (Some(Level::Editor), Clipboard::FromTarget));
    assert_eq!(terms.recording, Recording::Required);
    assert!(!terms.printer && !terms.audio);
    assert!(terms.require_active_session);
    let asks = |app: &access::Application| app.require_active_session;
    assert_eq!(policy.applications.iter().filter(|app| asks(app)).count(), 1);

    let other = Home::new();
    let copy = other.open().await;
    let mut exported = store.export().await.unwrap().spec;
    exported.applications.retain(|app| app.account.is_none());
    apply(&copy, &exported).await.unwrap();
    let grants = |document: &Document| document.grants.clone();
    assert_eq!(grants(&copy.export().await.unwrap().spec), grants(&exported));
    assert!(copy.application("web1").await.unwrap().unwrap().require_active_session);
}

#[tokio::test]
async fn a_plan_says_what_applying_does_and_does_nothing() {
    let home = Home::new();
    let store = home.open().await;
    let plan = Apply { plan: true, ..Apply::default() };
    let planned = store.apply(&small(), plan, now()).await.unwrap();
    assert_eq!(store.users().await.unwrap(), []);
    assert_eq!(planned, apply(&store, &small()).await.unwrap());
}

#[tokio::test]
async fn changes_are_told_in_words_and_without_secrets() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let mut document = small();
    document.users[1].enabled = false;
    document.groups[0] = group("dba", &["alice", "bob"]);
    document.applications[0].address = "10.0.0.8:22".parse().unwrap();
    document.applications[1].password = Some("another one".into());
    document.grants[0].max_session = Some("90s".into());
    document.grants[1].valid_until = Some("2020-01-01T00:00:00Z".into());
    document.grants[1].max_session = None;
    let changes = apply(&store, &document).await.unwrap();
    let told: Vec<_> = changes
        .iter()
        .map(|change| format!("{} {}: {}", change.action, change.object, change.detail))
        .collect();
    assert_eq!(
        told,
        [
            "change user alice: disabled yes",
            "change group dba: members bob → alice, bob",
            "change application db1.hq: password replaced",
            "change application web1.hq: address 10.0.0.7:22 → 10.0.0.8:22",
            "change grant alice → web1.hq: max_session 90s",
            "change grant group dba → env=prod: no max_session; valid_until 2020-01-01T00:00:00Z \
             (which is over: it opens nothing)",
        ]
    );
}

#[tokio::test]
async fn a_change_of_a_ca_is_told_by_whose_it_is_and_not_with_all_of_it() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let ca = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let mut document = small();
    document.applications.truncate(1);
    document.grants.clear();
    for kind in ["rdp", "postgres", "web"] {
        let app = &mut document.applications[0];
        app.name = name(&format!("{kind}1"));
        app.kind = serde_json::from_value(json!(kind)).unwrap();
        let with = |ca: &str| json!({ "ca": ca, "sni": "target.example" });
        app.rdp = (kind == "rdp").then(|| serde_json::from_value(with(ca)).unwrap());
        app.database =
            (kind == "postgres").then(|| serde_json::from_value(json!({ "ca": ca })).unwrap());
        app.web = (kind == "web").then(|| serde_json::from_value(with(ca)).unwrap());
        let plan = Apply { plan: true, ..Apply::default() };
        let added = store.apply(&document, plan, now()).await.unwrap();
        let [added] = added.as_slice() else { panic!("{added:?}") };
        assert!(added.detail.contains("not readable (SHA256:"), "{kind}: {}", added.detail);
        assert!(!added.detail.contains("BEGIN CERTIFICATE"), "{kind}: {}", added.detail);
    }
}

#[tokio::test]
async fn a_change_that_fails_half_way_leaves_nothing() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let before = store.export().await.unwrap().spec;
    let version = *store.changed().borrow();
    let behind = home.behind().await;
    refuse(&behind, "grants").await;
    let mut document = small();
    document.sites.push(site("branch"));
    document.users.push(user("carol"));
    document.grants.push(grant("carol", "web1"));
    let error = apply(&store, &document).await.unwrap_err();
    assert!(matches!(error, StoreError::Database(_)), "{error}");
    let told = |document: &Document| serde_json::to_value(document).unwrap();
    assert_eq!(told(&store.export().await.unwrap().spec), told(&before));
    assert_eq!((*store.changed().borrow(), stored_version(&behind).await), (version, version));
    allow(&behind).await;
    assert_eq!(apply(&store, &document).await.unwrap().len(), 3);
}

#[tokio::test]
async fn each_change_is_the_next_version_and_told_once_it_is_stored() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let mut changed = store.changed();
    let before = *changed.borrow_and_update();
    store.set_enabled(&name("bob"), false).await.unwrap();
    assert!(changed.has_changed().unwrap());
    assert_eq!(*changed.borrow_and_update(), before + 1);
    assert_eq!(store.load_policy().await.unwrap().version, before + 1);
    store.set_enabled(&name("bob"), false).await.unwrap();
    assert!(!changed.has_changed().unwrap(), "he was disabled already");
}

#[tokio::test]
async fn the_policy_is_what_was_applied() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let data = store.load_policy().await.unwrap();
    let id = |who: &str| data.users.iter().find(|user| user.name == name(who)).unwrap().id;
    let group = store.groups().await.unwrap()[0].id;
    let bob = data.users.iter().find(|user| user.name == name("bob")).unwrap();
    assert_eq!(bob.groups, [group]);
    let subjects: Vec<_> = data.rules.iter().map(|rule| rule.subject).collect();
    assert_eq!(subjects, [Subject::User(id("alice")), Subject::Group(group)]);
    let tag = Target::Tag { key: "env".into(), value: "prod".into() };
    assert_eq!(data.rules[1].target, tag);
    assert_eq!(data.rules[1].terms.max_session, Some(8 * 60 * 60));
    let alice = id("alice");
    let snapshot = PolicySnapshot::new(data);
    assert_eq!(snapshot.key_owner(FINGERPRINT).unwrap().id, alice);
}

#[tokio::test]
async fn removing_an_object_removes_what_stands_on_it() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let gone = store.remove(Object::Site(name("hq"))).await.unwrap();
    let gone: Vec<_> = gone.iter().map(|change| change.object.as_str()).collect();
    assert_eq!(
        gone,
        ["site hq", "application db1.hq", "application web1.hq", "grant alice → web1.hq"]
    );
    store.remove(Object::Group(name("dba"))).await.unwrap();
    assert_eq!(store.grants().await.unwrap(), []);
    let again = store.remove(Object::Group(name("dba"))).await.unwrap_err();
    assert_eq!(again.to_string(), "there is no group dba");
}

#[tokio::test]
async fn one_grant_is_removed_by_its_id() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let id = store.grants().await.unwrap()[0].id;
    assert_eq!(store.remove(Object::Grant(id)).await.unwrap().len(), 1);
    assert!(matches!(store.remove(Object::Grant(id)).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.grants().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_last_admin_stays() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let mut demoted = small();
    demoted.users[0].admin = false;
    let admin = name("admin");
    let refused = [
        store.remove(Object::User(admin.clone())).await.map(drop).unwrap_err(),
        store.set_enabled(&admin, false).await.unwrap_err(),
        apply(&store, &demoted).await.map(drop).unwrap_err(),
    ];
    for error in refused {
        let StoreError::Invalid(problems) = error else { panic!("{error}") };
        assert_eq!(problems[0].code.0, "user.last_admin");
    }
    let second = UserSpec { admin: true, ..user("root") };
    apply(&store, &Document { users: vec![second], ..Document::default() }).await.unwrap();
    store.remove(Object::User(admin)).await.unwrap();
}

#[tokio::test]
async fn pruning_removes_what_is_not_named_and_nothing_else_does() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let mut document = small();
    document.users.pop();
    document.groups.clear();
    document.grants.pop();
    document.applications.pop();
    assert_eq!(apply(&store, &document).await.unwrap(), []);
    let prune = Apply { prune: true, ..Apply::default() };
    let gone = store.apply(&document, prune, now()).await.unwrap();
    let gone: Vec<_> = gone.iter().map(|c| format!("{} {}", c.action, c.object)).collect();
    assert_eq!(
        gone,
        [
            "remove user bob",
            "remove group dba",
            "remove application db1.hq",
            "remove grant group dba → env=prod"
        ]
    );
}

#[tokio::test]
async fn what_must_be_new_is_refused_where_it_exists() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let new = Apply { create_only: true, ..Apply::default() };
    let error = store.apply(&small(), new, now()).await.unwrap_err();
    let StoreError::Invalid(problems) = error else { panic!("{error}") };
    assert_eq!(problems.len(), 9, "{problems:?}");
    assert!(problems.iter().all(|problem| problem.code.0.ends_with(".exists")));
    let carol = UserSpec { groups: Some(vec![name("dba")]), ..user("carol") };
    let carol = Document { users: vec![carol], ..Document::default() };
    assert_eq!(store.apply(&carol, new, now()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn membership_is_said_for_users_for_groups_or_left_alone() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let members = async || store.groups().await.unwrap().remove(0).members;
    // Bob's line says nothing about groups, the group's says nothing about members.
    let mut silent = small();
    silent.groups[0].members = None;
    assert_eq!(apply(&store, &silent).await.unwrap(), []);
    // Alice says where she is; the group still says who is in it.
    let mut joined = small();
    joined.users[1].groups = Some(vec![name("dba")]);
    apply(&store, &joined).await.unwrap();
    assert_eq!(members().await, [name("alice"), name("bob")]);
    // She says she is nowhere, and the group says nothing: she is out, bob stays.
    silent.users[1].groups = Some(vec![]);
    apply(&store, &silent).await.unwrap();
    assert_eq!(members().await, [name("bob")]);
}

#[tokio::test]
async fn a_key_can_move_from_one_user_to_another() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let mut moved = small();
    moved.users[1].ssh_keys = Some(vec![]);
    moved.users[2].ssh_keys = Some(vec![KEY.into()]);
    assert_eq!(apply(&store, &moved).await.unwrap().len(), 2);
    let bob = store.user(&name("bob")).await.unwrap().unwrap();
    assert_eq!(bob.ssh_keys[0].fingerprint, FINGERPRINT);
}

#[tokio::test]
async fn an_application_is_found_by_its_name_or_its_name_and_site() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let found = store.application("web1.hq").await.unwrap().unwrap();
    assert_eq!(store.application("web1").await.unwrap(), Some(found));
    assert_eq!(store.application("web1.nowhere").await.unwrap(), None);
    let twin = Document {
        sites: vec![site("branch")],
        applications: vec![application("web1.branch")],
        ..Document::default()
    };
    apply(&store, &twin).await.unwrap();
    assert!(matches!(store.application("web1").await, Err(StoreError::Ambiguous(_))));
}

async fn stored_version(pool: &sqlx::AnyPool) -> u64 {
    let row = sqlx::query("SELECT value FROM counters WHERE name = 'policy'");
    row.fetch_one(pool).await.unwrap().get::<i64, _>(0).try_into().unwrap()
}

#[tokio::test]
async fn a_change_within_sites_touches_nothing_else_whatever_is_asked_for() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let document = |value| serde_json::from_value::<Document>(value).unwrap();
    let app = |name: &str, site: &str| json!({ "name": name, "site": site, "kind": "tcp", "address": "a.corp:1" });
    let branch = json!({ "site": [{ "name": "branch" }], "application": [app("till", "branch")] });
    apply(&store, &document(branch)).await.unwrap();
    let within = Within::Sites(vec![name("hq")]);
    let text = async || serde_json::to_string(&store.export().await.unwrap().spec).unwrap();
    let before = text().await;
    let ask = async |value, prune| {
        let how = (Apply { prune, ..Apply::default() }, now());
        store.apply_within(&within, &Expected::Anything, &document(value), how).await
    };
    let grant = |opens: &str, what: &str| json!({ "grant": [{ "user": "alice", opens: what }] });
    for outside in [
        json!({ "application": [app("till", "branch"), app("new", "branch")] }),
        json!({ "application": [{ "name": "till", "site": "branch", "kind": "tcp", "address": "b:1" }] }),
        json!({ "site": [{ "name": "third" }] }),
        json!({ "user": [{ "name": "alice", "admin": true }] }),
        json!({ "user": [{ "name": "mallory" }] }),
        json!({ "group": [{ "name": "dba", "members": ["alice"] }] }),
        json!({ "settings": { "ssh_key_days": 1 } }),
        grant("tag", "a=b"),
        grant("application", "till.branch"),
    ] {
        let answer = ask(outside.clone(), false).await;
        assert!(matches!(answer, Err(StoreError::Outside)), "{outside}: {answer:?}");
    }
    // Nor by what is not named, and so would go.
    let pruned = ask(json!({ "site": [{ "name": "hq" }] }), true).await;
    assert!(pruned.is_err(), "{pruned:?}");
    for what in [
        Object::Site(name("hq")),
        Object::User(name("alice")),
        Object::Application { name: name("till"), site: None },
    ] {
        let answer = store.remove_within(&within, what.clone()).await;
        assert!(matches!(answer, Err(StoreError::Outside)), "{what:?}: {answer:?}");
    }
    assert_eq!(text().await, before);
    ask(json!({ "application": [app("own", "hq")] }), false).await.unwrap();
    ask(grant("application", "own.hq"), false).await.unwrap();
    let own = Object::Application { name: name("own"), site: Some(name("hq")) };
    store.remove_within(&within, own).await.unwrap();
    assert_eq!(text().await, before);
}
