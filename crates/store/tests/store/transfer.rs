//! Backups, restores, moving to a server, and another master key.

use access::{AgentId, Application, ConnectorId, Login, Site, TokenKind};
use serde_json::Value;
use session::{AuditLog, HostKeys, Stamped};
use sqlx::Connection as _;
use store::{
    AgentQuery, AuditQuery, Engine, MasterKey, NewToken, Restore, Rotation, Store, StoreError,
    TokenQuery, TransferError, backup, migrate_to, restore,
};
use uuid::Uuid;

use crate::audit::{ended, opened};
use crate::support::{Home, KEY, after, apply, name, now, run, session, small, token};

#[tokio::test]
async fn a_backup_made_while_the_relay_runs_comes_back_on_either_engine() {
    let home = Home::new();
    let store = home.open().await;
    populate(&store).await;
    store.close_abandoned(now()).await.unwrap();
    let file = home.folder.path().join("backup.db");
    let counts = backup(&home.at(), &file).await.unwrap();
    let before = everything(&store).await;
    // What comes after it is not in it.
    store.append(opened(session())).await.unwrap();
    assert!(counts.iter().any(|count| count.table == "audit" && count.rows >= 3), "{counts:?}");
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let other = Home { key: home.key.clone(), ..Home::of(engine) };
        restore(back(&file, &other, &other.at(), false), home.key.clone()).await.unwrap();
        let restored = other.open().await;
        assert_eq!(everything(&restored).await, before, "{engine:?}");
        let credential = restored.secret("ca key").await.unwrap().unwrap();
        assert_eq!(credential.as_slice(), b"a private key");
        // The log goes on where the backup ended.
        restored.append(opened(session())).await.unwrap();
        assert_eq!(restored.close_abandoned(now()).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn only_its_owner_can_read_a_backup_and_a_failed_one_leaves_the_last() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let store = home.open().await;
    let file = home.folder.path().join("backup.db");
    // As `mktemp` makes it.
    std::fs::write(&file, "").unwrap();
    backup(&home.at(), &file).await.unwrap();
    let last = std::fs::read(&file).unwrap();
    let gone = Home::new();
    backup(&gone.at(), &file).await.unwrap_err();
    assert_eq!(std::fs::read(&file).unwrap(), last);
    store.append(opened(session())).await.unwrap();
    backup(&home.at(), &file).await.unwrap();
    assert_ne!(std::fs::read(&file).unwrap(), last);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let partial = home.folder.path().join("backup.db.partial");
    assert!(!partial.exists());
    store.close().await;
}

#[tokio::test]
async fn a_backup_takes_the_place_of_an_earlier_one_and_of_nothing_else() {
    let home = Home::of(Engine::Sqlite);
    let store = home.with(&small()).await;
    let folder = home.folder.path();
    let own = home.at().file().unwrap().to_owned();
    let (key, foreign, earlier) =
        (folder.join("master.key"), folder.join("foreign.db"), folder.join("earlier.db"));
    std::fs::write(&key, "a key").unwrap();
    std::fs::write(&foreign, [b"SQLite format 3\0".as_slice(), &[7; 5000]].concat()).unwrap();
    std::os::unix::fs::symlink("earlier.db", folder.join("link.db")).unwrap();
    std::fs::create_dir(folder.join("folder")).unwrap();
    backup(&home.at(), &earlier).await.unwrap();
    let kept = |file: &std::path::Path| std::fs::read(file).unwrap();
    let before = [kept(&key), kept(&foreign)];
    let taken = [own.as_path(), &key, &foreign, &folder.join("link.db"), &folder.join("folder")];
    for file in taken.into_iter().chain([std::path::Path::new("/dev/full")]) {
        let refused = backup(&home.at(), file).await;
        assert!(
            matches!(refused, Err(TransferError::Occupied(_))),
            "{}: {refused:?}",
            file.display()
        );
        assert!(!folder.join(format!("{}.partial", file.file_name().unwrap().display())).exists());
    }
    assert_eq!([kept(&key), kept(&foreign)], before);
    // Another deployment that is served from.
    let other = Home::of(Engine::Sqlite);
    let served = other.with(&small()).await;
    let refused = backup(&home.at(), other.at().file().unwrap()).await;
    assert!(matches!(refused, Err(TransferError::Occupied(_))), "{refused:?}");
    backup(&home.at(), &earlier).await.unwrap();
    assert_eq!(store.users().await.unwrap().len(), served.users().await.unwrap().len());
}

#[tokio::test]
async fn what_is_no_backup_takes_the_place_of_nothing() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let before = everything(&store).await;
    store.close().await;
    let file = home.folder.path().join("backup.db");
    let others: [&[u8]; 2] = [b"", &[7; 9000]];
    for content in others {
        std::fs::write(&file, content).unwrap();
        refused_and_kept(&file, &home).await;
    }
    std::fs::remove_file(&file).unwrap();
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}?mode=rwc", file.display());
    let mut foreign = sqlx::AnyConnection::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE secrets (name TEXT)").execute(&mut foreign).await.unwrap();
    foreign.close().await.unwrap();
    refused_and_kept(&file, &home).await;
    let empty = Home { key: home.key.clone(), ..Home::new() };
    std::fs::write(&file, "").unwrap();
    let refused = restore(back(&file, &empty, &empty.at(), false), home.key.clone()).await;
    assert!(matches!(refused, Err(TransferError::NoBackup(_))), "{refused:?}");
    assert_eq!(everything(&home.open().await).await, before);
}

async fn refused_and_kept(file: &std::path::Path, home: &Home) {
    let held = std::fs::read(file).unwrap();
    let mut refused = restore(back(file, home, &home.at(), true), home.key.clone()).await;
    // A server lets go of the claim of one that has just ended in its own time.
    for _ in 0..100 {
        let Err(TransferError::Store(StoreError::InUse)) = refused else { break };
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        refused = restore(back(file, home, &home.at(), true), home.key.clone()).await;
    }
    assert!(matches!(refused, Err(TransferError::NoBackup(_))), "{refused:?}");
    assert_eq!(std::fs::read(file).unwrap(), held);
}

#[tokio::test]
async fn a_restore_takes_the_place_of_nothing_unless_told_to_and_not_while_a_relay_serves() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let file = home.folder.path().join("backup.db");
    backup(&home.at(), &file).await.unwrap();
    let before = everything(&store).await;
    let mut more = small();
    more.users.push(crate::support::user("carol"));
    apply(&store, &more).await.unwrap();
    let at = home.at();
    let again = |force| restore(back(&file, &home, &at, force), home.key.clone());

    store.close_abandoned(now()).await.unwrap();
    let refused = again(true).await;
    assert!(matches!(refused, Err(TransferError::Store(StoreError::InUse))), "{refused:?}");
    store.close().await;
    let refused = again(false).await;
    assert!(matches!(refused, Err(TransferError::NotEmpty(_))), "{refused:?}");
    assert_eq!(home.open().await.users().await.unwrap().len(), 4);

    again(true).await.unwrap();
    assert_eq!(everything(&home.open().await).await, before);
}

#[tokio::test]
async fn a_backup_of_another_key_or_a_damaged_one_changes_nothing() {
    let (home, other) = (Home::new(), Home::new());
    other.with(&small()).await.close().await;
    let file = home.folder.path().join("backup.db");
    backup(&other.at(), &file).await.unwrap();
    let store = home.open().await;
    let before = everything(&store).await;
    store.close().await;
    let at = home.at();
    let again = || restore(back(&file, &home, &at, true), home.key.clone());
    let refused = again().await;
    assert!(matches!(refused, Err(TransferError::Store(StoreError::WrongKey))), "{refused:?}");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let refused = again().await;
    assert!(matches!(refused, Err(TransferError::NoBackup(_))), "{refused:?}");
    assert_eq!(everything(&home.open().await).await, before);
}

#[tokio::test]
async fn a_deployment_in_a_file_moves_to_an_empty_server() {
    let (from, to) = (Home::of(Engine::Sqlite), Home::of(Engine::Postgres));
    let store = from.open().await;
    populate(&store).await;
    store.close_abandoned(now()).await.unwrap();
    let (source, target) = (from.at(), to.at());
    let move_it = || migrate_to(&source, &target, from.key.clone());
    let served = move_it().await;
    assert!(matches!(served, Err(TransferError::Store(StoreError::InUse))), "{served:?}");
    let before = everything(&store).await;
    store.close().await;

    let counts = move_it().await.unwrap();
    assert!(counts.iter().all(|count| count.table != "users" || count.rows == 3), "{counts:?}");
    let arrived = Store::open(to.at(), from.key.clone()).await.unwrap();
    assert_eq!(everything(&arrived).await, before);
    assert_eq!(apply(&arrived, &small()).await.unwrap(), []);
    arrived.append(opened(session())).await.unwrap();
    arrived.close().await;
    let full = move_it().await;
    assert!(matches!(full, Err(TransferError::NotEmpty(_))), "{full:?}");
}

#[tokio::test]
async fn after_a_change_of_the_master_key_nothing_is_sealed_with_the_old_one() {
    let home = Home::new();
    let store = home.open().await;
    populate(&store).await;
    let new = MasterKey::generate();
    store.close_abandoned(now()).await.unwrap();
    let served = Rotation::begin(&home.at()).await.map(drop);
    assert!(matches!(served, Err(TransferError::Store(StoreError::InUse))), "{served:?}");
    store.close().await;
    let behind = home.behind().await;
    let sealed = "SELECT sealed FROM secrets WHERE name = 'ca key'";
    let sealed: String = sqlx::query_scalar(sealed).fetch_one(&behind).await.unwrap();
    let old = sealed.split('.').nth(1).unwrap().to_owned();

    let rotation = Rotation::begin(&home.at()).await.unwrap();
    assert_eq!(rotation.reseal(&home.key, &new).await.unwrap(), 3);
    rotation.end().await;
    let shut = Store::open(home.at(), home.key.clone()).await.map(drop);
    assert!(matches!(shut, Err(StoreError::WrongKey)));
    let store = Store::open(home.at(), new).await.unwrap();
    assert_eq!(store.secret("ca key").await.unwrap().unwrap().as_slice(), b"a private key");
    let managed = store.application("db1").await.unwrap().unwrap().id;
    assert!(session::Secrets::credential(&store, managed).await.unwrap().is_some());
    store.append(opened(session())).await.unwrap();
    store.close().await;
    let file = home.folder.path().join("all.db");
    backup(&home.at(), &file).await.unwrap();
    let bytes = std::fs::read(file).unwrap();
    assert!(!bytes.windows(old.len()).any(|part| part == old.as_bytes()), "the old key's id");
}

#[tokio::test]
async fn a_key_that_is_not_the_old_one_changes_nothing() {
    let home = Home::new();
    let store = home.open().await;
    populate(&store).await;
    store.close().await;
    let (wrong, new) = (MasterKey::generate(), MasterKey::generate());
    let rotation = Rotation::begin(&home.at()).await.unwrap();
    let refused = rotation.reseal(&wrong, &new).await;
    assert!(matches!(refused, Err(TransferError::Store(StoreError::WrongKey))), "{refused:?}");
    home.open().await;
}

#[tokio::test]
async fn another_versions_database_is_not_backed_up_as_if_it_were_ours() {
    let home = Home::new();
    home.open().await.close().await;
    let file = home.folder.path().join("backup.db");
    let behind = home.behind().await;
    run(&behind, "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 2").await;
    let newer = backup(&home.at(), &file).await;
    assert!(matches!(newer, Err(TransferError::Store(StoreError::Newer(9999)))), "{newer:?}");
    run(&behind, "DELETE FROM _sqlx_migrations WHERE version = 9999").await;
    let older = backup(&home.at(), &file).await;
    assert!(matches!(older, Err(TransferError::Store(StoreError::Older(2)))), "{older:?}");
    assert!(!file.exists());
}

fn back<'a>(
    file: &'a std::path::Path,
    home: &'a Home,
    to: &'a store::Location,
    force: bool,
) -> Restore<'a> {
    Restore { backup: file, to, folder: home.folder.path(), force }
}

/// All that can be read back.
async fn everything(store: &Store) -> Value {
    let events = AuditQuery { limit: 1000, ..AuditQuery::default() };
    let events = store.audit_events(events).await.unwrap();
    let events: Vec<_> = events.iter().map(|row| format!("{row:?}")).collect();
    serde_json::json!({
        "document": store.export().await.unwrap().spec,
        "version": *store.changed().borrow(),
        "tokens": format!("{:?}", store.tokens(TokenQuery::default()).await.unwrap()),
        "agents": format!("{:?}", store.agents(AgentQuery::default()).await.unwrap()),
        "connectors": format!("{:?}", store.connectors().await.unwrap()),
        "events": events,
    })
}

/// Puts something into each table.
pub(crate) async fn populate(store: &Store) {
    apply(store, &small()).await.unwrap();
    let user = store.user(&name("alice")).await.unwrap().unwrap().id;
    let found = store.application("web1").await.unwrap().unwrap();
    let api = token(TokenKind::Api);
    let (of, application) = (Some(user), Some(found.id));
    let new = NewToken { user: of, application, ..NewToken::default() };
    store.issue_token(&api, new, now()).await.unwrap();
    let new = NewToken { site: Some(found.site_id), uses: Some(1), ..NewToken::default() };
    store.issue_token(&token(TokenKind::Join), new, now()).await.unwrap();
    let (agent, stands_on) = (AgentId(Uuid::new_v4()), Some(api.id()));
    store.enrol_agent(agent, user, "laptop", [7; 32], after(60), stands_on).await.unwrap();
    let connector = ConnectorId(Uuid::new_v4());
    store.enrol_connector(connector, found.site_id, "c1", [8; 32]).await.unwrap();
    store.put_secret("ca key", b"a private key").await.unwrap();
    let target = Application {
        id: found.id,
        name: found.name,
        site: Site { id: found.site_id, name: found.site },
        kind: found.kind,
        address: found.address,
        login: Login::Transparent,
        host_key: None,
        legacy_algorithms: false,
        allow_api: true,
        require_active_session: false,
        tags: Default::default(),
        web: Default::default(),
        database: Default::default(),
        rdp: Default::default(),
    };
    store.check(&target, KEY).await.unwrap();
    let id = session();
    let slot = store.reserve().await.unwrap();
    store.append(opened(id)).await.unwrap();
    slot.fill(Stamped { at: now(), event: ended(id) });
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    let last = || store.audit_events(AuditQuery { limit: 9, ..AuditQuery::default() });
    while last().await.unwrap().len() < 2 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    store.append(opened(session())).await.unwrap();
}
