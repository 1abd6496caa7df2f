use access::{Mask, SessionId};
use async_trait::async_trait;
use session::{AuditError, Statement, StatementLog, StatementScope};

use super::*;
use crate::record::TRANSCRIPT;
use crate::scan::Message;

#[derive(Default)]
struct Log(Mutex<Vec<Statement>>);

#[async_trait]
impl StatementLog for Log {
    async fn note_all(&self, statements: Vec<Statement>) {
        self.note_now(statements);
    }

    fn note_now(&self, statements: Vec<Statement>) {
        self.0.lock().unwrap().extend(statements);
    }

    async fn keep(&self, _: Vec<Statement>) -> Result<(), AuditError> {
        Ok(())
    }
}

fn shared(log: &Arc<Log>) -> Shared {
    let scope = StatementScope {
        session: SessionId(uuid::Uuid::nil()),
        user: "alice".parse().unwrap(),
        application: "orders-db-hq".into(),
        database: "orders".into(),
        role: "orders_rw".into(),
    };
    Shared {
        tracker: Mutex::default(),
        recorder: Recorder::new(log.clone(), scope, None, TRANSCRIPT, Mask::default()),
        counters: Arc::default(),
        room: Notify::new(),
        client_between: AtomicBool::new(true),
        server_between: AtomicBool::new(true),
    }
}

fn asks(shared: &Shared, text: &str) {
    let body = format!("{text}\0");
    let message = Message { kind: b'Q', body: body.as_bytes(), length: body.len() };
    shared.tracker().client(message, Mark::now).unwrap();
}

fn noted(log: &Log) -> Vec<(String, Option<String>)> {
    let noted = log.0.lock().unwrap();
    let told = |one: &Statement| {
        (one.text.to_string(), one.outcome.as_ref().and_then(|outcome| outcome.error.clone()))
    };
    noted.iter().map(told).collect()
}

#[tokio::test]
async fn what_is_under_way_and_what_was_answered_last_are_recorded_at_the_end() {
    let log = Arc::<Log>::default();
    let (one, mut events) = (shared(&log), Events::new());
    asks(&one, "select 1");
    let answer = Message { kind: b'Z', body: b"I", length: 1 };
    // Nobody came to record it: its client did not read.
    one.tracker().server(answer, |event| events.push_back(event)).unwrap();
    asks(&one, "select pg_sleep(9)");
    one.record_last(events, EndReason::Killed).await;
    drop(one);
    let killed = Some("session.killed".to_owned());
    let wanted = [("select 1".to_owned(), None), ("select pg_sleep(9)".to_owned(), killed)];
    assert_eq!(noted(&log), wanted);
}

#[test]
fn what_is_under_way_is_recorded_where_nobody_comes_to_the_end() {
    let log = Arc::<Log>::default();
    let one = shared(&log);
    asks(&one, "select pg_sleep(9)");
    drop(one);
    let failed = Some("session.failed".to_owned());
    assert_eq!(noted(&log), [("select pg_sleep(9)".to_owned(), failed)]);
}
