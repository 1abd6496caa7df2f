use access::{Application, Kind, Login, RdpOptions, Site};
use secrecy::ExposeSecret;
use session::{Certificates, HostKeyVerdict, HostKeys, Secrets, TargetCredential};
use store::{Store, StoreError};

use crate::support::{Home, KEY, PASSWORD, apply, run, small};

#[tokio::test]
async fn a_secret_comes_back_as_it_was_put() {
    let home = Home::new();
    let store = home.open().await;
    assert_eq!(store.secret("ca").await.unwrap(), None);
    store.put_secret("ca", b"first").await.unwrap();
    store.put_secret("ca", b"second").await.unwrap();
    store.close().await;
    let store = home.open().await;
    assert_eq!(store.secret("ca").await.unwrap().unwrap().as_slice(), b"second");
}

#[tokio::test]
async fn a_secret_is_made_once_and_one_of_another_length_is_not_replaced() {
    let home = Home::new();
    let store = home.open().await;
    let asked = (0..8).map(|_| store.secret_or_make::<32>("key"));
    let made = futures_util::future::try_join_all(asked).await.unwrap();
    assert!(made.iter().all(|secret| *secret == made[0]) && *made[0] != [0; 32]);
    let other = store.secret_or_make::<16>("key").await;
    assert!(matches!(other, Err(StoreError::Corrupt { what: "key", .. })), "{other:?}");
    assert_eq!(store.secret_or_make("key").await.unwrap(), made[0]);
}

#[tokio::test]
async fn a_secret_that_was_moved_to_another_name_does_not_open() {
    let home = Home::new();
    let store = home.open().await;
    store.put_secret("ours", b"x").await.unwrap();
    run(&home.behind().await, "UPDATE secrets SET name = 'theirs' WHERE name = 'ours'").await;
    assert!(matches!(store.secret("theirs").await, Err(StoreError::Sealed { .. })));
}

#[tokio::test]
async fn a_managed_application_has_its_credential_until_it_is_transparent() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let id = store.application("db1").await.unwrap().unwrap().id;
    let held = store.credential(id).await.unwrap();
    let Some(TargetCredential::Password(password)) = held else { panic!("no password") };
    assert_eq!(password.expose_secret(), PASSWORD);
    // A document that was exported has no secrets, and loses none.
    let exported = store.export().await.unwrap().spec;
    apply(&store, &exported).await.unwrap();
    assert!(store.credential(id).await.unwrap().is_some());
    let mut transparent = exported;
    for app in &mut transparent.applications {
        app.account = None;
    }
    apply(&store, &transparent).await.unwrap();
    assert!(store.credential(id).await.unwrap().is_none());
}

#[tokio::test]
async fn an_application_with_certificates_has_no_credential_and_any_account() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let mut document = store.export().await.unwrap().spec;
    for app in &mut document.applications {
        app.certificate = true;
    }
    apply(&store, &document).await.unwrap();
    let again = store.export().await.unwrap().spec.applications;
    assert!(again.iter().all(|app| app.certificate), "{again:?}");
    let login = async |name: &str| store.application(name).await.unwrap().unwrap().login;
    assert_eq!(login("web1").await, Login::Certificate { account: None });
    assert_eq!(login("db1").await, Login::Certificate { account: Some("root".into()) });
    let id = store.application("db1").await.unwrap().unwrap().id;
    assert!(store.credential(id).await.unwrap().is_none(), "what is not used is not kept");
}

#[tokio::test]
async fn legacy_algorithms_are_kept_until_they_are_taken_back() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let mut document = store.export().await.unwrap().spec;
    for allowed in [true, false] {
        for app in document.applications.iter_mut().filter(|app| app.kind == access::Kind::Ssh) {
            app.legacy_algorithms = allowed;
        }
        apply(&store, &document).await.unwrap();
        let row = store.application("web1").await.unwrap().unwrap();
        assert_eq!(row.legacy_algorithms, allowed);
        let again = store.export().await.unwrap().spec.applications;
        let kept = again.iter().find(|app| app.name == row.name).unwrap();
        assert_eq!(kept.legacy_algorithms, allowed);
    }
}

#[tokio::test]
async fn a_host_key_is_learned_once_and_then_enforced() {
    let (_home, store, application) = home().await;
    let bare = KEY.rsplit_once(' ').unwrap().0;
    let check = async |key: &str| store.check(&application, key).await.unwrap();
    assert_eq!(check(bare).await, HostKeyVerdict::Learned);
    assert_eq!(check(KEY).await, HostKeyVerdict::Known);
    assert_eq!(check(OTHER).await, HostKeyVerdict::Changed { known: bare.to_owned() });
    assert_eq!(store.learned_host_key(application.id).await.unwrap().as_deref(), Some(bare));
    assert_eq!(store.forget_host_key(application.id).await.unwrap().as_deref(), Some(bare));
    assert_eq!(store.forget_host_key(application.id).await.unwrap(), None);
    assert_eq!(check(OTHER).await, HostKeyVerdict::Learned);
    assert!(store.check(&application, "nonsense").await.is_err());
}

#[tokio::test]
async fn a_certificate_is_learned_once_and_forgotten_where_the_application_is_another() {
    let (_home, store, application) = home().await;
    let check = async |sha256: &str| Certificates::learn(&store, application.id, sha256).await;
    assert_eq!(check("aa").await.unwrap(), HostKeyVerdict::Learned);
    assert_eq!(check("aa").await.unwrap(), HostKeyVerdict::Known);
    let known = "certificate sha256:aa".to_owned();
    assert_eq!(check("bb").await.unwrap(), HostKeyVerdict::Changed { known: known.clone() });
    assert_eq!(store.forget_host_key(application.id).await.unwrap(), Some(known));
    assert_eq!(check("bb").await.unwrap(), HostKeyVerdict::Learned);
    let mut desktop = small();
    desktop.applications[0].kind = Kind::Rdp;
    desktop.applications[0].rdp = Some(RdpOptions { verified: true, ..RdpOptions::default() });
    apply(&store, &desktop).await.unwrap();
    assert_eq!(store.learned_host_key(application.id).await.unwrap(), None);
    let exported = store.export().await.unwrap().spec.applications;
    assert!(exported.iter().any(|app| app.rdp == desktop.applications[0].rdp));
}

#[tokio::test]
async fn a_pinned_host_key_counts_whatever_was_learned() {
    let (_home, store, mut application) = home().await;
    store.check(&application, OTHER).await.unwrap();
    application.host_key = Some(KEY.to_owned());
    let verdict = store.check(&application, OTHER).await.unwrap();
    assert_eq!(verdict, HostKeyVerdict::Changed { known: KEY.to_owned() });
    assert_eq!(store.check(&application, KEY).await.unwrap(), HostKeyVerdict::Known);
}

#[tokio::test]
async fn another_address_has_a_host_key_of_its_own() {
    let (_home, store, application) = home().await;
    store.check(&application, OTHER).await.unwrap();
    let mut moved = small();
    moved.applications[0].address = "10.0.0.8:22".parse().unwrap();
    apply(&store, &moved).await.unwrap();
    assert_eq!(store.check(&application, KEY).await.unwrap(), HostKeyVerdict::Learned);
}

#[tokio::test]
async fn who_pins_a_key_and_takes_it_back_has_the_next_one_learned() {
    let (_home, store, application) = home().await;
    store.check(&application, OTHER).await.unwrap();
    let mut pinned = small();
    pinned.applications[0].host_key = Some(KEY.to_owned());
    apply(&store, &pinned).await.unwrap();
    apply(&store, &small()).await.unwrap();
    assert_eq!(store.check(&application, KEY).await.unwrap(), HostKeyVerdict::Learned);
}

#[tokio::test]
async fn a_ca_of_host_keys_is_kept_with_its_mark() {
    let (_home, store, _) = home().await;
    let mut trusting = small();
    for (given, kept) in [
        (format!(" @cert-authority  {KEY}"), Some(format!("@cert-authority {KEY}"))),
        ("@cert-authority nonsense".to_owned(), None),
        (format!("@revoked {KEY}"), None),
    ] {
        trusting.applications[0].host_key = Some(given.clone());
        assert_eq!(apply(&store, &trusting).await.is_ok(), kept.is_some(), "{given}");
        if kept.is_some() {
            let exported = store.export().await.unwrap().spec.applications;
            let name = &trusting.applications[0].name;
            let row = exported.iter().find(|app| app.name == *name).unwrap();
            assert_eq!(row.host_key, kept);
        }
    }
}

/// A store, and its application web1 as policy shows it.
async fn home() -> (Home, Store, Application) {
    let home = Home::new();
    let store = home.with(&small()).await;
    let row = store.application("web1").await.unwrap().unwrap();
    let application = Application {
        id: row.id,
        name: row.name,
        site: Site { id: row.site_id, name: row.site },
        kind: row.kind,
        address: row.address,
        login: Login::Transparent,
        host_key: None,
        legacy_algorithms: false,
        allow_api: false,
        require_active_session: false,
        tags: Default::default(),
        web: Default::default(),
        database: Default::default(),
        rdp: Default::default(),
    };
    (home, store, application)
}

const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ/D9RpXsRdzgZAnjYUjPLVzFnTZhmtD9CxfAuXhxqYc";
