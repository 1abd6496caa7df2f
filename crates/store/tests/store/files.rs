//! What only a database in a file promises.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use store::{MasterKey, NewRelay, Store, StoreError};

use crate::support::{Home, PASSWORD, name, now, small};

#[tokio::test]
async fn only_its_owner_can_read_the_files() {
    let home = Home::new();
    let store = home.with(&small()).await;
    store.close_abandoned(now()).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(home.folder.path()).unwrap().collect();
    assert!(files.len() >= 4, "database, log, index and lock");
    for file in files {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.path());
    }
}

#[tokio::test]
async fn a_file_that_can_not_be_made_is_named_as_the_cause() {
    let path = Path::new("/nonexistent/adit.db");
    let opened = Store::open(path, MasterKey::generate()).await.map(drop);
    assert!(matches!(opened, Err(StoreError::File { .. })));
}

#[tokio::test]
async fn nothing_sealed_stands_in_the_files_as_it_is() {
    let home = Home::new();
    let store = home.with(&small()).await;
    store.put_secret("ca key", b"-----BEGIN PRIVATE KEY-----").await.unwrap();
    let seen = |folder: &std::path::Path| {
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let bytes: Vec<u8> = files.flat_map(|file| std::fs::read(file).unwrap()).collect();
        let contains = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(contains("10.0.0.7:22"), "this does not look where the rows are");
        contains(PASSWORD) || contains("BEGIN PRIVATE KEY")
    };
    assert!(!seen(home.folder.path()), "in the write-ahead log");
    store.close().await;
    assert!(!seen(home.folder.path()), "in the database file");
}

#[tokio::test]
async fn a_file_serves_one_relay_and_says_so() {
    let home = Home::new();
    let (store, relay) = (home.open().await, name("relay-1"));
    let new = NewRelay { name: &relay, spki: [1; 32], version: "1" };
    let refused = store.join_relays(new, now()).await.unwrap_err();
    assert!(matches!(refused, StoreError::OneRelay), "{refused:?}");
    assert_eq!(refused.advice().unwrap().0.0, "store.one_relay");
}
