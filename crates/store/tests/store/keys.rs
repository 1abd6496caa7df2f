//! SSH keys of users: each has an owner and an end.

use api::{DatedKey, Document, KeySpec, UserSpec};
use store::{KeyEnd, NewSshKey, Store, StoreError};

use crate::support::{FINGERPRINT, Home, KEY, after, apply, name, now, small, user};

#[tokio::test]
async fn a_key_ends_after_its_usual_life_and_applying_again_does_not_move_that() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let end = seconds(now()) + SSH_KEY_LIFE.as_secs();
    assert_eq!(ends(&store, "alice").await, [Some(end)]);
    let how = store::Apply::default();
    let again = store.apply(&small(), how, after(86_400)).await.unwrap();
    assert_eq!((again, ends(&store, "alice").await), (vec![], vec![Some(end)]));
    let exported = store.export().await.unwrap().spec;
    let dated = exported.users.iter().find(|user| user.name == name("alice")).unwrap();
    let spec = &dated.ssh_keys.as_ref().unwrap()[0];
    assert!(matches!(spec, KeySpec::Dated(dated) if dated.expires.ends_with('Z')), "{spec:?}");
    assert_eq!(store.apply(&exported, how, after(86_400)).await.unwrap(), []);
}

#[tokio::test]
async fn a_document_can_say_when_a_key_ends() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let dated =
        |expires: &str| KeySpec::Dated(DatedKey { key: KEY.into(), expires: expires.into() });
    let with = |machine: bool, key: KeySpec| Document {
        users: vec![UserSpec { machine, ssh_keys: Some(vec![key]), ..user("alice") }],
        ..Document::default()
    };
    let changes = apply(&store, &with(false, dated("2030-01-01T00:00:00Z"))).await.unwrap();
    assert!(changes[0].detail.contains("until 2030-01-01T00:00:00Z"), "{changes:?}");
    assert_eq!(ends(&store, "alice").await, [Some(1_893_456_000)]);
    for (key, code) in [
        (dated("never"), "user.ssh_key_expiry"),
        (dated("tomorrow"), "user.ssh_key_expiry"),
        ("ssh-dss AAAA".into(), "user.ssh_key"),
    ] {
        assert_eq!(refused(apply(&store, &with(false, key)).await), [code]);
    }
    apply(&store, &with(true, dated("never"))).await.unwrap();
    assert_eq!(ends(&store, "alice").await, [None]);
    assert_eq!(apply(&store, &with(true, KEY.into())).await.unwrap(), []);
    let exported = store.export().await.unwrap().spec;
    assert_eq!(apply(&store, &exported).await.unwrap(), []);
    // A person's key ends, also where the person was a machine before.
    apply(&store, &with(false, KEY.into())).await.unwrap();
    assert_eq!(ends(&store, "alice").await, [Some(seconds(now()) + SSH_KEY_LIFE.as_secs())]);
}

#[tokio::test]
async fn a_key_has_one_owner_and_its_owner_can_renew_it() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let key = |end: KeyEnd| NewSshKey {
        text: KEY.into(),
        name: Some("work\u{202e} \nlaptop".into()),
        end,
    };
    let taken = store.add_ssh_key(&name("bob"), &key(KeyEnd::Usual), now()).await;
    assert_eq!(refused(taken), ["user.ssh_key_taken"]);
    let never = store.add_ssh_key(&name("alice"), &key(KeyEnd::Never), now()).await;
    assert_eq!(refused(never), ["user.ssh_key_expiry"]);
    let renewed = store.add_ssh_key(&name("alice"), &key(KeyEnd::Usual), after(60)).await.unwrap();
    assert_eq!(renewed.expires, Some(seconds(after(60)) + SSH_KEY_LIFE.as_secs()));
    assert_eq!((renewed.comment(), renewed.algorithm()), ("work laptop", "ssh-ed25519"));
    assert_eq!(store.remove_ssh_key(FINGERPRINT, Some(&name("bob"))).await.unwrap(), None);
    let from = store.remove_ssh_key(FINGERPRINT, None).await.unwrap();
    assert_eq!(from, Some(name("alice")));
    store.add_ssh_key(&name("bob"), &key(KeyEnd::Usual), now()).await.unwrap();
}

#[tokio::test]
async fn a_user_has_a_bounded_number_of_keys() {
    let home = Home::new();
    let store = home.with(&small()).await;
    for n in 0..20u8 {
        let key = NewSshKey { text: made_up(n), name: None, end: KeyEnd::Usual };
        store.add_ssh_key(&name("bob"), &key, now()).await.unwrap();
    }
    let key = NewSshKey { text: made_up(20), name: None, end: KeyEnd::Usual };
    let full = store.add_ssh_key(&name("bob"), &key, now()).await;
    assert_eq!(refused(full), ["user.ssh_key_limit"]);
    let keys = (0..21).map(|n| made_up(n).into()).collect();
    let document = Document {
        users: vec![UserSpec { ssh_keys: Some(keys), ..user("bob") }],
        ..Document::default()
    };
    assert_eq!(refused(apply(&store, &document).await), ["user.ssh_key_limit"]);
}

#[tokio::test]
async fn that_a_key_expires_soon_is_said_once_and_again_only_of_a_new_end() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let soon = async |at: u64| {
        let keys = store.expiring_ssh_keys(after(at), after(at + 7 * 86_400)).await.unwrap();
        keys.into_iter().map(|(user, key)| (user, key.fingerprint)).collect::<Vec<_>>()
    };
    assert_eq!(soon(0).await, []);
    let near = SSH_KEY_LIFE.as_secs() - 86_400;
    assert_eq!(soon(near).await, [(name("alice"), FINGERPRINT.to_owned())]);
    // What changes besides the key does not make it new.
    store.set_enabled(&name("alice"), false).await.unwrap();
    assert_eq!(soon(near).await, []);
    let renewed = NewSshKey { text: KEY.into(), name: None, end: KeyEnd::Usual };
    store.add_ssh_key(&name("alice"), &renewed, after(near)).await.unwrap();
    assert_eq!(soon(near).await, []);
    assert_eq!(soon(near + SSH_KEY_LIFE.as_secs() - 60).await.len(), 1);
}

#[tokio::test]
async fn a_machine_does_not_count_as_the_admin_who_is_left() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let robot = UserSpec { admin: true, machine: true, ..user("robot") };
    apply(&store, &Document { users: vec![robot], ..Document::default() }).await.unwrap();
    assert!(store.user(&name("robot")).await.unwrap().unwrap().machine);
    let alone = store.set_enabled(&name("admin"), false).await;
    assert_eq!(refused(alone), ["user.last_admin"]);
}

/// The ends of a user's keys.
async fn ends(store: &Store, of: &str) -> Vec<Option<u64>> {
    let user = store.user(&name(of)).await.unwrap().unwrap();
    user.ssh_keys.iter().map(|key| key.expires).collect()
}

fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> Vec<&'static str> {
    let StoreError::Invalid(problems) = answer.unwrap_err() else { return Vec::new() };
    problems.iter().map(|problem| problem.code.0).collect()
}

/// An Ed25519 key that differs from others in its last byte.
fn made_up(n: u8) -> String {
    let head = [b"\0\0\0\x0bssh-ed25519".as_slice(), &[0, 0, 0, 32], &[7; 31], &[n]].concat();
    format!("ssh-ed25519 {}", data_encoding::BASE64.encode(&head))
}

/// What keys live where no setting says otherwise.
const SSH_KEY_LIFE: std::time::Duration = std::time::Duration::from_secs(99 * 86_400);

fn seconds(at: std::time::SystemTime) -> u64 {
    at.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs()
}
