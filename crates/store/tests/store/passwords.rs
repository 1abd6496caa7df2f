//! Passwords of people.

use access::SignInId;
use secrecy::{ExposeSecret, SecretString};
use store::{EndOthers, NewPassword, NewSignIn, Store};
use uuid::Uuid;

use crate::support::{Home, after, name, now, small};

#[tokio::test]
async fn a_password_takes_the_place_of_the_one_before_and_ends_all_sign_ins_but_one() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let user = store.user(&name("alice")).await.unwrap().unwrap().id;
    assert!(store.password(user).await.unwrap().is_none());
    let (here, there) = (signed_in(&store, 1).await, signed_in(&store, 2).await);
    let new = |hash: &str, must_change| NewPassword {
        user,
        hash: SecretString::from(hash.to_owned()),
        must_change,
        expires: must_change.then(|| after(60)),
    };
    let but = EndOthers { but: Some(here), why: "password" };
    let ended = store.put_password(new("first", true), but, after(1)).await.unwrap();
    assert_eq!(ended, [there]);
    let row = store.password(user).await.unwrap().unwrap();
    assert_eq!(row.hash.expose_secret(), "first");
    assert_eq!((row.must_change, row.expires.unwrap() - row.changed), (true, 59));
    let all = EndOthers { but: None, why: "password" };
    let ended = store.put_password(new("second", false), all, after(2)).await.unwrap();
    assert_eq!(ended, [here]);
    let row = store.password(user).await.unwrap().unwrap();
    assert_eq!((row.hash.expose_secret(), row.must_change), ("second", false));
    assert_eq!(row.expires, None);
    assert!(store.remove_password(user).await.unwrap());
    assert!(!store.remove_password(user).await.unwrap());
}

async fn signed_in(store: &Store, n: u8) -> SignInId {
    let id = SignInId(Uuid::new_v4());
    let new = NewSignIn {
        id,
        user: store.user(&name("alice")).await.unwrap().unwrap().id,
        digest: [n; 32],
        from: "192.0.2.7".parse().unwrap(),
        browser: "Lynx".to_owned(),
        provider: None,
        idle: std::time::Duration::from_secs(60),
        expires: after(3600),
    };
    store.sign_in(new, now()).await.unwrap();
    id
}
