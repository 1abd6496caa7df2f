//! Browsers that are signed in.

use access::{SignIn, SignInId};
use store::{NewSignIn, REMEMBERED, SignInQuery, Store, StoreError};
use uuid::Uuid;

use crate::support::{Home, after, name, now, small};

#[tokio::test]
async fn a_browser_is_signed_in_until_somebody_ends_that_and_once() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let first = new(&store, "alice", 1).await;
    store.sign_in(first.clone(), now()).await.unwrap();
    let live = SignIn { id: first.id, user: first.user, expires: first.expires };
    assert_eq!(store.load_policy().await.unwrap().sign_ins, [live]);
    let row = store.sign_ins(SignInQuery::default()).await.unwrap().remove(0);
    assert_eq!((row.id, row.digest, row.idle), (first.id, [1; 32], 60));
    assert_eq!((row.user_name.as_str(), row.browser.as_str()), ("alice", "Lynx"));
    assert_eq!((row.from, row.seen_from, row.ended), (first.from, first.from, None));

    let version = *store.changed().borrow();
    let elsewhere = "192.0.2.9".parse().unwrap();
    store.note_sign_ins(&[(first.id, after(30), elsewhere)]).await.unwrap();
    store.note_sign_ins(&[(first.id, after(20), first.from)]).await.unwrap();
    assert_eq!(*store.changed().borrow(), version, "being there changes no configuration");
    let row = store.sign_ins(SignInQuery::default()).await.unwrap().remove(0);
    assert_eq!((row.seen - row.created, row.seen_from), (30, elsewhere));

    let ids = [first.id, SignInId(Uuid::new_v4())];
    assert_eq!(store.end_sign_ins(&ids, "signed out", after(40)).await.unwrap(), [first.id]);
    assert_eq!(store.end_sign_ins(&ids, "idle", after(41)).await.unwrap(), []);
    assert_eq!(store.load_policy().await.unwrap().sign_ins, []);
    let row = store.sign_ins(SignInQuery::default()).await.unwrap().remove(0);
    assert_eq!(
        (row.ended.map(|at| at - row.created), row.why.as_deref()),
        (Some(40), Some("signed out"))
    );
}

#[tokio::test]
async fn lists_tell_the_live_ones_of_a_user_newest_first_in_parts() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let mut ids = Vec::new();
    for n in 1..=4 {
        let of = new(&store, if n == 4 { "bob" } else { "alice" }, n).await;
        ids.push(of.id);
        store.sign_in(of, after(u64::from(n))).await.unwrap();
    }
    store.end_sign_ins(&ids[1..2], "ended by admin", after(9)).await.unwrap();
    let query = |live_at| SignInQuery { user: Some(name("alice")), live_at, ..Default::default() };
    let listed = async |query| -> Vec<SignInId> {
        store.sign_ins(query).await.unwrap().iter().map(|row| row.id).collect()
    };
    assert_eq!(listed(query(None)).await, [ids[2], ids[1], ids[0]]);
    assert_eq!(listed(query(Some(after(10)))).await, [ids[2], ids[0]]);
    assert_eq!(listed(query(Some(after(3600)))).await, []);
    let part = SignInQuery { limit: Some(2), ..query(None) };
    assert_eq!(listed(part.clone()).await, [ids[2], ids[1]]);
    let created = clock(after(2));
    assert_eq!(listed(SignInQuery { after: Some((created, ids[1])), ..part }).await, [ids[0]]);
}

#[tokio::test]
async fn sign_ins_are_for_people_who_are_there_and_go_with_them() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let bob = new(&store, "bob", 1).await;
    store.sign_in(bob.clone(), now()).await.unwrap();
    store.set_enabled(&name("bob"), false).await.unwrap();
    let again = NewSignIn { id: SignInId(Uuid::new_v4()), digest: [2; 32], ..bob };
    let refused = store.sign_in(again, now()).await;
    assert!(matches!(refused, Err(StoreError::NotFound(_))), "{refused:?}");
    store.remove(store::Object::User(name("bob"))).await.unwrap();
    assert_eq!(store.sign_ins(SignInQuery::default()).await.unwrap(), []);

    let alice = new(&store, "alice", 3).await;
    store.sign_in(alice.clone(), now()).await.unwrap();
    assert_eq!(store.purge(after(3600), REMEMBERED).await.unwrap().sign_ins, 0);
    assert_eq!(store.purge(after(3600) + REMEMBERED * 2, REMEMBERED).await.unwrap().sign_ins, 1);
}

async fn new(store: &Store, user: &str, n: u8) -> NewSignIn {
    let user = store.user(&name(user)).await.unwrap().unwrap().id;
    NewSignIn {
        id: SignInId(Uuid::new_v4()),
        user,
        digest: [n; 32],
        from: "192.0.2.1".parse().unwrap(),
        browser: "Lynx".to_owned(),
        provider: None,
        idle: std::time::Duration::from_secs(60),
        expires: after(3600),
    }
}

fn clock(at: std::time::SystemTime) -> u64 {
    at.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs()
}
