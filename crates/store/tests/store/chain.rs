//! What the chain shows of tampering, and that writers keep it whole.

use std::time::SystemTime;

use ::chain::{Damage, Head, HeadKey, Kind, Record};
use session::{AuditLog, Stamped};
use sqlx::{AnyPool, AssertSqlSafe};
use store::{AuditCheck, AuditPart, Store};
use tokio::task::JoinSet;

use crate::audit::{did, ended, events, failed, opened};
use crate::support::{Home, now, run, session};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chain_is_whole_however_many_write_at_once() {
    let home = Home::new();
    let store = home.open().await;
    let mut writers = JoinSet::new();
    for _ in 0..200 {
        let store = store.clone();
        writers.spawn(async move {
            let (id, slot) = (session(), store.reserve().await.unwrap());
            store.append(opened(id)).await.unwrap();
            store.note(did(id, "ls"));
            slot.fill(Stamped { at: now(), event: ended(id) });
        });
    }
    writers.join_all().await;
    store.close().await;
    let store = home.open().await;
    let check = whole(&store).await;
    assert_eq!((check.damages.as_slice(), check.done), ([].as_slice(), true));
    assert_eq!((check.rows, check.first), (600, Some(1)));
    let seqs: Vec<_> = events(&store).await.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (1..=600).collect::<Vec<_>>());
}

#[tokio::test]
async fn two_stores_of_one_database_keep_one_chain() {
    let home = Home::new();
    let (one, other) = (home.open().await, home.open().await);
    for n in 0..20 {
        let store = if n % 3 == 0 { &one } else { &other };
        store.append(failed(&format!("eve-{n}"))).await.unwrap();
    }
    let check = whole(&one).await;
    assert_eq!((check.rows, check.damages), (20, vec![]));
}

#[tokio::test]
async fn second_and_abandoned_ends_leave_the_chain_whole() {
    let home = Home::new();
    let store = home.open().await;
    let (id, lost) = (session(), session());
    store.append(opened(lost)).await.unwrap();
    for _ in 0..2 {
        let slot = store.reserve().await.unwrap();
        slot.fill(Stamped { at: now(), event: ended(id) });
        store.append(opened(id)).await.unwrap();
    }
    store.close().await;
    let store = home.open().await;
    assert_eq!(store.close_abandoned(SystemTime::now()).await.unwrap(), 1);
    store.append(opened(session())).await.unwrap();
    let check = whole(&store).await;
    assert_eq!((check.rows, check.damages), (6, vec![]));
    let seqs: Vec<_> = events(&store).await.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_change_of_any_column_is_found() {
    let home = nine().await;
    let changes = [
        "at_ms = at_ms + 1",
        "action = 'session.action'",
        "session = '00000000-0000-0000-0000-000000000000'",
        "session = NULL",
        "user_name = 'mallory'",
        "user_name = NULL",
        "application = 'other'",
        "application = NULL",
        "site = NULL",
        "event = '{}'",
        "event = event || ' '",
        "hash = '0000000000000000000000000000000000000000000000000000000000000000'",
        "hash = 'x'",
    ];
    let (store, behind) = (home.open().await, home.behind().await);
    for change in changes {
        run_text(&behind, "CREATE TABLE kept AS SELECT * FROM audit WHERE seq = 4").await;
        run_text(&behind, &format!("UPDATE audit SET {change} WHERE seq = 4")).await;
        let told = whole(&store).await.damages;
        assert!(told.contains(&Damage::one(4, Kind::Changed)), "{change}: {told:?}");
        run(&behind, "DELETE FROM audit WHERE seq = 4").await;
        run_text(&behind, &format!("INSERT INTO audit ({ALL}) SELECT {ALL} FROM kept")).await;
        run(&behind, "DROP TABLE kept").await;
        assert_eq!(whole(&store).await.damages, [], "{change} was not undone");
    }
}

#[tokio::test]
async fn what_is_taken_away_or_moved_is_found() {
    let missing = |seq, last| Damage { seq, last, kind: Kind::Missing };
    let cut = |seq, last| Damage { seq, last, kind: Kind::CutOff };
    let cases: [(&[&'static str], &[Damage]); 8] = [
        (&["DELETE FROM audit WHERE seq = 5"], &[missing(5, 5)]),
        (&["DELETE FROM audit WHERE seq < 3"], &[missing(1, 2)]),
        (&["DELETE FROM audit WHERE seq > 8"], &[cut(9, 9)]),
        (&["DELETE FROM audit"], &[cut(1, 9)]),
        (
            &["UPDATE audit SET seq = 99 WHERE seq = 9"],
            &[Damage::one(10, Kind::Inserted).up_to(99), cut(9, 9)],
        ),
        (
            &[
                "UPDATE audit SET seq = 100 WHERE seq = 4",
                "UPDATE audit SET seq = 4 WHERE seq = 6",
                "UPDATE audit SET seq = 6 WHERE seq = 100",
            ],
            &[
                Damage::one(4, Kind::Changed),
                Damage::one(5, Kind::Changed),
                Damage::one(6, Kind::Changed),
                Damage::one(7, Kind::Changed),
            ],
        ),
        (
            &["UPDATE audit_head SET seq = 8"],
            &[
                Damage::one(8, Kind::Head),
                Damage::one(9, Kind::Inserted),
                Damage::one(8, Kind::Rewritten),
            ],
        ),
        (&["UPDATE audit_head SET mac = ''"], &[Damage::one(9, Kind::Head)]),
    ];
    for (statements, damages) in cases {
        let home = nine().await;
        let behind = home.behind().await;
        for statement in statements {
            run(&behind, statement).await;
        }
        assert_eq!(whole(&home.open().await).await.damages, damages, "{statements:?}");
    }
}

#[tokio::test]
async fn a_chain_written_anew_without_the_key_is_found_and_never_vouched_for_again() {
    let home = nine().await;
    let behind = home.behind().await;
    run(&behind, "UPDATE audit SET user_name = 'mallory' WHERE seq = 4").await;
    let end = write_anew(&home.open().await, &behind).await;
    let told = whole(&home.open().await).await.damages;
    assert_eq!(told, [Damage::one(9, Kind::Rewritten)]);
    // With the end moved too, its author can still not vouch for it.
    let head = format!("UPDATE audit_head SET hash = '{}'", end.hash);
    run_text(&behind, &head).await;
    let store = home.open().await;
    assert_eq!(whole(&store).await.damages, [Damage::one(9, Kind::Head)]);
    store.append(failed("eve")).await.unwrap();
    store.append(failed("eve")).await.unwrap();
    assert_eq!(whole(&store).await.damages, [Damage::one(11, Kind::Head)]);
}

#[tokio::test]
async fn a_record_noted_earlier_is_missed_when_who_has_the_key_cuts_the_log() {
    let home = nine().await;
    let noted = Some(head_at(&home.open().await, 8).await);
    let check = |store: Store| async move {
        store.verify_audit(AuditPart { noted, ..all(None) }).await.unwrap().damages
    };
    assert_eq!(check(home.open().await).await, []);
    let behind = home.behind().await;
    let (store, cut) = (home.open().await, head_at(&home.open().await, 6).await);
    run(&behind, "DELETE FROM audit WHERE seq > 6").await;
    let master = data_encoding::BASE64.decode(home.key.to_base64().as_bytes()).unwrap();
    let mac = HeadKey::derived(&master).sign(&cut);
    let end = format!("UPDATE audit_head SET seq = 6, hash = '{}', mac = '{mac}'", cut.hash);
    run_text(&behind, &end).await;
    assert_eq!(whole(&store).await.damages, [], "the key vouches for it");
    assert_eq!(check(store.clone()).await, [Damage::one(8, Kind::Noted)]);
    // Nor does it help to write on.
    let store = home.open().await;
    for _ in 0..4 {
        store.append(failed("eve")).await.unwrap();
    }
    assert_eq!(whole(&store).await.damages, []);
    assert_eq!(check(store).await, [Damage::one(8, Kind::Noted)]);
}

#[tokio::test]
async fn a_part_is_verified_like_the_whole() {
    let home = nine().await;
    let store = home.open().await;
    let first = store.verify_audit(AuditPart { most: 1, ..all(None) }).await.unwrap();
    assert!(first.done, "nine records are less than a page");
    let third = head_at(&store, 3).await;
    let rest = store.verify_audit(all(Some(third))).await.unwrap();
    assert_eq!((rest.rows, rest.first, rest.damages), (6, Some(4), vec![]));
    let end = store.verify_audit(all(first.at)).await.unwrap();
    assert_eq!((end.rows, end.done, end.damages), (0, true, vec![]));
    // Without its page boundary a long log is read piece by piece.
    for n in 0..2100 {
        store.note(failed(&format!("eve-{n}")));
    }
    store.append(failed("last")).await.unwrap();
    let (mut at, mut rows, mut parts) = (None, 0, 0);
    loop {
        let part = store.verify_audit(AuditPart { most: 1000, ..all(at) }).await.unwrap();
        assert_eq!(part.damages, []);
        (at, rows, parts) = (part.at, rows + part.rows, parts + 1);
        if part.done {
            break;
        }
    }
    assert_eq!((rows, parts), (2110, 3));
}

#[tokio::test]
async fn records_from_before_the_chain_are_chained_by_the_migration() {
    let home = nine().await;
    let before = events(&home.open().await).await;
    let behind = home.behind().await;
    // As the previous version left it: no chain, and events as the serialiser wrote them.
    run(&behind, "DELETE FROM audit WHERE seq = 5").await;
    let plain = "UPDATE audit SET event = '{\"user\": \"Zoë\", \"action\": \"authn.failed\"}'
        WHERE seq = 6";
    run(&behind, plain).await;
    for statement in [
        "DROP TABLE audit_head",
        "DROP TABLE deliveries",
        "DROP INDEX audit_user",
        "DROP INDEX audit_application",
        "DROP INDEX audit_action",
        "DROP INDEX audit_at",
        "DROP INDEX audit_recordings",
        "DROP INDEX audit_ended_user",
        "DROP INDEX audit_ended_application",
        "DROP INDEX audit_ended_site",
        "ALTER TABLE audit DROP COLUMN hash",
        "ALTER TABLE audit DROP COLUMN application",
        "ALTER TABLE audit DROP COLUMN site",
        "DELETE FROM _sqlx_migrations WHERE version IN (3, 7, 162)",
    ] {
        run(&behind, statement).await;
    }
    behind.close().await;
    let store = home.open().await;
    let check = whole(&store).await;
    assert_eq!((check.rows, check.damages), (8, vec![]));
    let after = events(&store).await;
    assert_eq!(after[..4], before[..4], "the same records have the same hashes");
    assert_eq!(after[4].event["user"], "Zoë");
    store.append(failed("eve")).await.unwrap();
    assert_eq!(whole(&store).await.damages, []);
}

/// A home whose audit log has nine records.
async fn nine() -> Home {
    let home = Home::new();
    let store = home.open().await;
    for _ in 0..3 {
        let id = session();
        store.append(opened(id)).await.unwrap();
        store.append(did(id, "ls \x1b[2J ü")).await.unwrap();
        let slot = store.reserve().await.unwrap();
        slot.fill(Stamped { at: now(), event: ended(id) });
        // The end must not come after what the next one does.
        while events(&store).await.len() % 3 != 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
    store.close().await;
    home
}

async fn whole(store: &Store) -> AuditCheck {
    store.verify_audit(all(None)).await.unwrap()
}

fn all(after: Option<Head>) -> AuditPart {
    AuditPart { after, noted: None, most: u64::MAX }
}

async fn head_at(store: &Store, seq: u64) -> Head {
    let row = events(store).await.into_iter().find(|row| row.seq == seq).unwrap();
    Head { seq, hash: row.hash.parse().unwrap() }
}

/// Computes each hash again, as somebody can who knows how but has not the key.
async fn write_anew(store: &Store, behind: &AnyPool) -> Head {
    let mut end = Head::START;
    for row in events(store).await {
        let event = ::chain::canonical(&row.event).unwrap();
        let session = row.session.map(|id| id.to_string());
        let (session, user) = (session.as_deref(), row.user.as_deref());
        let (seq, at_ms, action) = (row.seq, row.at_ms, row.action.as_str());
        let record = Record { seq, at_ms, action, session, user, event: &event };
        end = Head { seq, hash: end.hash.then(&record) };
        let update = format!("UPDATE audit SET hash = '{}' WHERE seq = {seq}", end.hash);
        run_text(behind, &update).await;
    }
    end
}

async fn run_text(pool: &AnyPool, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(pool).await.unwrap();
}

trait UpTo {
    fn up_to(self, last: u64) -> Self;
}

impl UpTo for Damage {
    fn up_to(self, last: u64) -> Self {
        Self { last, ..self }
    }
}

const ALL: &str = "seq, at_ms, action, session, user_name, application, site, event, hash";
