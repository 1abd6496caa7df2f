use store::{MasterKey, Store, StoreError};
use tokio::task::JoinSet;

use crate::support::{Home, apply, now, run, small};

#[tokio::test]
async fn what_was_stored_is_there_when_it_is_opened_again() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let before = store.load_policy().await.unwrap();
    store.close().await;
    let store = home.open().await;
    let after = store.load_policy().await.unwrap();
    assert_eq!(*store.changed().borrow(), before.version);
    assert_eq!((after.version, after.users), (before.version, before.users));
    assert_eq!((after.rules, after.applications), (before.rules, before.applications));
    assert_eq!(apply(&store, &small()).await.unwrap(), []);
}

#[tokio::test]
async fn another_master_key_is_refused_at_once() {
    let home = Home::new();
    home.open().await.close().await;
    let opened = Store::open(home.at(), MasterKey::generate()).await.map(drop);
    assert!(matches!(opened, Err(StoreError::WrongKey)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_database_can_be_opened_by_several_at_once() {
    let home = Home::new();
    let mut opening = JoinSet::new();
    for _ in 0..6 {
        let (path, key) = (home.at(), home.key.clone());
        opening.spawn(async move { Store::open(path, key).await.map(drop) });
    }
    for opened in opening.join_all().await {
        opened.unwrap();
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let home = Home::new();
    home.open().await.close().await;
    let behind = home.behind().await;
    run(
        &behind,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         SELECT 9999, 'of a later version', success, checksum, 0 FROM _sqlx_migrations
         WHERE version = 1",
    )
    .await;
    let opened = Store::open(home.at(), home.key.clone()).await.map(drop);
    assert!(matches!(opened, Err(StoreError::Newer(9999))));
}

#[tokio::test]
async fn a_second_relay_on_the_same_database_is_refused() {
    let home = Home::new();
    let (first, second) = (home.open().await, home.open().await);
    first.close_abandoned(now()).await.unwrap();
    first.close_abandoned(now()).await.unwrap();
    assert!(matches!(second.close_abandoned(now()).await, Err(StoreError::InUse)));
    first.close().await;
    second.close_abandoned(now()).await.unwrap();
}
