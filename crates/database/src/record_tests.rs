use access::SessionId;
use async_trait::async_trait;

use super::*;

/// What came, in as many parts as it came in.
#[derive(Default)]
struct Log(Mutex<Vec<Vec<Statement>>>);

#[async_trait]
impl StatementLog for Log {
    async fn note_all(&self, statements: Vec<Statement>) {
        self.0.lock().unwrap().push(statements);
    }

    fn note_now(&self, statements: Vec<Statement>) {
        self.0.lock().unwrap().push(statements);
    }

    async fn keep(&self, _: Vec<Statement>) -> Result<(), AuditError> {
        Ok(())
    }
}

fn recorder(log: Arc<Log>, tape: Option<Tape>, mask: Mask) -> Recorder {
    let scope = StatementScope {
        session: SessionId(Uuid::nil()),
        user: "alice".parse().unwrap(),
        application: "orders-db-hq".into(),
        database: "orders".into(),
        role: "orders_rw".into(),
    };
    let transcript = Transcript { program: "postgres", prompt: "=>", rows: "rows" };
    Recorder { tape, ..Recorder::new(log, scope, None, transcript, mask) }
}

fn done(text: &str, rows: Option<u64>, error: Option<&str>) -> Done<Mark> {
    let text = Text::from(text.to_owned());
    Done { mark: Mark::now(), text, rows, error: error.map(str::to_owned) }
}

#[tokio::test]
async fn what_a_session_leaves_is_in_the_log_and_in_the_transcript_with_why_it_ended() {
    let (log, (tape, mut end)) = (Arc::new(Log::default()), Tape::new());
    let mask = Mask::new(&["s3cret".to_owned()]).unwrap();
    let recorder = recorder(log.clone(), Some(tape), mask);
    let ended = [
        recorder.ended(done("select 1", Some(1), None)),
        recorder.ended(done("select pg_sleep(9), 's3cret'", None, Some("session.killed"))),
    ];
    recorder.last(ended.to_vec()).await;
    recorder.last(Vec::new()).await;
    let noted = log.0.lock().unwrap().clone();
    assert_eq!(noted.len(), 1, "each was waited for by itself");
    let killed = &noted[0][1];
    assert_eq!((noted[0].len(), &*killed.text), (2, "select pg_sleep(9), '***'"));
    let outcome = killed.outcome.as_ref().unwrap();
    assert_eq!((outcome.rows, outcome.error.as_deref()), (None, Some("session.killed")));
    drop(recorder);
    let mut shown = String::new();
    while let Some((_, Entry::Output { bytes, .. })) = end.next().await {
        shown += str::from_utf8(&bytes).unwrap();
    }
    assert!(shown.contains("orders=> select 1\r\n-- 1 rows, "), "{shown}");
    let killed = "orders=> select pg_sleep(9), '***'\r\n-- error session.killed, ";
    assert!(shown.contains(killed), "{shown}");
}

#[tokio::test]
async fn statements_that_ended_together_are_recorded_together_each_as_things_stood() {
    let ended = |n: usize| Event::Done(done(&format!("select {n}"), None, None));
    let happened = || -> Events {
        let named = [Event::Named("psql".to_owned()), ended(2), Event::Opened("stock".to_owned())];
        [ended(0), ended(1)].into_iter().chain(named).chain((3..103).map(ended)).collect()
    };
    let (log, (tape, _end)) = (Arc::new(Log::default()), Tape::new());
    let mut events = happened();
    recorder(log.clone(), None, Mask::default()).record(&mut events).await;
    assert!(events.is_empty());
    let noted = std::mem::take(&mut *log.0.lock().unwrap());
    assert_eq!(noted.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, TOGETHER, 100 - TOGETHER]);
    let all: Vec<_> = noted.into_iter().flatten().collect();
    for (n, one) in all.iter().enumerate() {
        let named = (n > 1).then_some("psql");
        let database = if n > 2 { "stock" } else { "orders" };
        assert_eq!(&*one.text, format!("select {n}"));
        assert_eq!((one.client.as_deref(), one.scope.database.as_str()), (named, database));
    }
    // Each has its place in a transcript.
    let mut events: Events = happened().into_iter().take(5).collect();
    recorder(log.clone(), Some(tape), Mask::default()).record(&mut events).await;
    let noted = log.0.lock().unwrap();
    assert_eq!(noted.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_transcript_that_nobody_keeps_does_not_hold_up_the_end() {
    let (log, (tape, _end)) = (Arc::new(Log::default()), Tape::new());
    let recorder = recorder(log.clone(), Some(tape), Mask::default());
    let ended: Vec<_> = (0..10_000).map(|_| recorder.ended(done("select 1", None, None))).collect();
    let began = tokio::time::Instant::now();
    recorder.last(ended).await;
    assert_eq!((log.0.lock().unwrap()[0].len(), began.elapsed()), (10_000, LAST));
}

#[test]
fn bytes_that_are_no_text_are_kept_as_what_they_are() {
    let of = |there: &[u8], whole, most| {
        let Text { text, cut } = Text::of(there, whole, most);
        (text.to_string(), cut)
    };
    let kept = |text: &str, cut| (text.to_owned(), cut);
    let latin = b"select 'caf\xe9', '\xfc' -- \xe9";
    assert_eq!(of(latin, latin.len(), 99), kept(r"select 'caf\xe9', '\xfc' -- \xe9", 0));
    assert_eq!(of("é".as_bytes(), 2, 99), kept("é", 0));
    // Of a character that is cut through nothing is left, and of what there is no room for.
    assert_eq!(of("aé".as_bytes().get(..2).unwrap(), 3, 99), kept("a", 2));
    assert_eq!(of("aéb".as_bytes(), 4, 2), kept("a", 3));
    assert_eq!(of(b"ab\xff\xff", 4, 7), kept(r"ab\xff", 1));
    assert!(Text::of(&[0xff; 100_000], 100_000, 1000).text.len() <= 1000);
}
