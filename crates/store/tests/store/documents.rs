//! What is wrong with a document is told, all of it at once.

use access::{Kind, PolicySnapshot, WebOptions};
use api::{ApplicationSpec, Document, GrantSpec, SettingsSpec, UserSpec};
use store::{Apply, Edit, Expected, StoreError};

use crate::support::{Home, KEY, application, apply, grant, group, name, now, site, small, user};

#[tokio::test]
async fn every_mistake_is_reported_and_nothing_is_stored() {
    let home = Home::new();
    let store = home.open().await;
    let document = Document {
        settings: Some(settings()),
        sites: vec![site("hq"), site("hq"), site("c"), site("b-c")],
        users: vec![
            UserSpec { ssh_keys: Some(vec![KEY.into()]), ..user("alice") },
            UserSpec { ssh_keys: Some(vec![KEY.into(), "ssh-dss AAAA".into()]), ..user("bob") },
            UserSpec { groups: Some(vec![name("ghosts")]), ..user("carol") },
        ],
        groups: vec![group("dba", &["nobody"])],
        applications: applications(),
        grants: grants(),
    };
    let error = apply(&store, &document).await.unwrap_err();
    let StoreError::Invalid(problems) = error else { panic!("{error}") };
    let told: Vec<_> =
        problems.iter().map(|problem| (problem.object.as_str(), problem.code.0)).collect();
    assert_eq!(told, EXPECTED);
    assert_eq!(store.sites().await.unwrap(), []);
    assert_eq!(*store.changed().borrow(), 0);
}

fn settings() -> SettingsSpec {
    let mut settings = SettingsSpec::default();
    for (key, value) in
        [("ssh_key_days", "0"), ("tokens.ssh.hours", "721"), ("tokens.web.hours", "720")]
    {
        settings.set(key, value).unwrap();
    }
    settings
}

fn applications() -> Vec<ApplicationSpec> {
    let managed =
        |text: &str| ApplicationSpec { account: Some("root".into()), ..application(text) };
    vec![
        application("a-b.c"),
        application("a.b-c"),
        application("lost.atlantis"),
        ApplicationSpec { password: Some("x".into()), ..application("p.hq") },
        managed("m.hq"),
        ApplicationSpec { password: Some("".into()), key: Some("k".into()), ..managed("two.hq") },
        ApplicationSpec {
            host_key: Some("AAAA".into()),
            tags: [("a b".into(), "c".into())].into(),
            ..application("h.hq")
        },
        ApplicationSpec { certificate: true, kind: Kind::Tcp, ..application("cert.hq") },
        ApplicationSpec { legacy_algorithms: true, kind: Kind::Tcp, ..application("old.hq") },
        application("twin.hq"),
        application("twin.c"),
    ]
}

fn grants() -> Vec<GrantSpec> {
    vec![
        GrantSpec { group: Some(name("dba")), ..grant("alice", "h") },
        GrantSpec { user: None, ..grant("alice", "h") },
        GrantSpec { tag: Some("env=prod".into()), ..grant("alice", "h") },
        GrantSpec { application: None, tag: Some("prod".into()), ..grant("alice", "h") },
        grant("mallory", "h"),
        grant("alice", "nothing"),
        grant("alice", "twin"),
        grant("alice", "h.hq"),
        GrantSpec { idle: Some("soon".into()), ..grant("alice", "h") },
    ]
}

const EXPECTED: [(&str, &str); 27] = [
    ("settings", "settings.value"),
    ("settings", "settings.value"),
    ("site hq", "document.twice"),
    ("user bob", "user.ssh_key"),
    ("group dba", "user.unknown"),
    ("user carol", "group.unknown"),
    ("application lost.atlantis", "site.unknown"),
    ("application p.hq", "application.no_account"),
    ("application m.hq", "application.no_secret"),
    ("application two.hq", "application.two_secrets"),
    ("application two.hq", "application.password"),
    ("application two.hq", "application.key"),
    ("application h.hq", "application.tag"),
    ("application h.hq", "application.host_key"),
    ("application cert.hq", "application.certificate"),
    ("application old.hq", "application.legacy_algorithms"),
    ("grant alice → h", "grant.subject"),
    ("grant nobody → h", "grant.subject"),
    ("grant alice → h", "grant.target"),
    ("grant alice → prod", "grant.tag"),
    ("grant mallory → h", "user.unknown"),
    ("grant alice → nothing", "application.unknown"),
    ("grant alice → twin", "application.ambiguous"),
    ("grant alice → h", "grant.term"),
    ("grant alice → h.hq", "document.twice"),
    ("application a-b.c", "application.label_taken"),
    ("user bob", "user.ssh_key_taken"),
];

#[tokio::test]
async fn a_site_is_not_called_as_ssh_clients_write_all_of_them() {
    let home = Home::new();
    let store = home.open().await;
    let document = Document { sites: vec![site("adit")], ..Document::default() };
    let error = apply(&store, &document).await.unwrap_err();
    let StoreError::Invalid(problems) = error else { panic!("{error}") };
    assert_eq!(problems[0].code.0, "site.reserved");
}

#[tokio::test]
async fn a_label_or_key_that_another_has_in_the_store_is_refused() {
    let home = Home::new();
    let mut first = small();
    first.sites = vec![site("hq"), site("c"), site("b-c")];
    first.applications.push(application("a-b.c"));
    let store = home.with(&first).await;
    let second = Document {
        users: vec![UserSpec { ssh_keys: Some(vec![KEY.into()]), ..user("eve") }],
        applications: vec![application("a.b-c")],
        ..Document::default()
    };
    let error = apply(&store, &second).await.unwrap_err();
    let StoreError::Invalid(problems) = error else { panic!("{error}") };
    let codes: Vec<_> = problems.iter().map(|problem| problem.code.0).collect();
    assert_eq!(codes, ["application.label_taken", "user.ssh_key_taken"]);
}

#[tokio::test]
async fn a_host_name_leads_to_one_application_and_the_relays_own_to_none() {
    let home = Home::new();
    let web = |name: &str, hosts: &[&str]| {
        let host_names = hosts.iter().map(|host| host.parse().unwrap()).collect();
        let web = Some(WebOptions { host_names, ..WebOptions::default() });
        ApplicationSpec { kind: Kind::Web, web, ..application(name) }
    };
    let document = |applications| Document { applications, ..Document::default() };
    let mut first = small();
    first.applications.push(web("wiki.hq", &["wiki.example.com", "w.example.com"]));
    let store = home.with(&first).await;
    store.call_relay("relay.example", &["adit.example.com".to_owned()]);
    let taken = |error: StoreError| match error {
        StoreError::Invalid(problems) => {
            assert!(problems.iter().all(|p| p.code.0 == "application.host_taken"), "{problems:?}");
            problems.len()
        }
        other => panic!("{other}"),
    };
    let hosts = ["w.example.com", "relay.example", "a.b.relay.example", "adit.example.com"];
    let second = web("other.hq", &hosts);
    assert_eq!(taken(apply(&store, &document(vec![second.clone()])).await.unwrap_err()), 4);
    apply(&store, &document(vec![web("other.hq", &["o.example.com"])])).await.unwrap();
    let edit = Edit::Application("other".to_owned(), Box::new(second));
    assert_eq!(taken(store.edit(&edit, &Expected::Anything, now()).await.unwrap_err()), 4);
    // A name moves from one to the other at once.
    let moved = [web("wiki.hq", &["wiki.example.com"]), web("other.hq", &["w.example.com"])];
    apply(&store, &document(moved.into())).await.unwrap();
    let policy = PolicySnapshot::new(store.load_policy().await.unwrap());
    let led = |host| policy.hosted(host).map(|app| app.label());
    assert_eq!(led("w.example.com").as_deref(), Some("other-hq"));
    assert_eq!(led("o.example.com"), None);
}

#[tokio::test]
async fn what_is_pruned_can_not_be_named() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let mut document = small();
    document.users.retain(|user| user.name != name("alice"));
    let prune = Apply { prune: true, ..Apply::default() };
    let error = store.apply(&document, prune, now()).await.unwrap_err();
    let StoreError::Invalid(problems) = error else { panic!("{error}") };
    assert_eq!(problems[0].code.0, "user.unknown");
}
