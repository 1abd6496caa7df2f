//! Recordings as they are kept: whole, cut by a crash, damaged, and on a disk that is full.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use access::{Kind, SessionId};
use api::RecordingEvent;
use async_trait::async_trait;
use bytes::Bytes;
use record::{Archive, Bounds, ReadError, RecordingsKey, SearchPlace, Since, Sought};
use session::{
    About, AuditError, AuditEvent, AuditLog, ClosingSlot, Entry, Key, Recordings, Screen, Tape,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

#[tokio::test]
async fn a_session_is_kept_from_its_first_line_to_its_end_and_its_hash_is_recorded() {
    let world = World::new().await;
    let session = SessionId(Uuid::now_v7());
    let tape = world.begin(session).await;
    program(&tape).await;
    drop(tape);
    world.archive.finished().await;
    let lines = world.lines(session, true);
    assert!(matches!(&lines[0], RecordingEvent::Session { session: of, .. } if *of == session));
    assert!(matches!(&lines[1], RecordingEvent::Began { program, .. } if program == "ssh.shell"));
    assert_eq!(output(&lines), "$ grüß\n");
    assert!(matches!(&lines[lines.len() - 1], RecordingEvent::Ended { outcome: Some(status), .. }
        if status == "0"));
    let file = world.file(session, "rec");
    let [(bytes, Some(ref hash), true)] = world.recorded()[..] else { panic!() };
    assert_eq!(bytes, fs::metadata(&file).unwrap().len());
    assert_eq!(*hash, sha256(&file));
    let sealed = fs::read(file).unwrap();
    for plain in ["alice", "ssh.shell", "gr"] {
        assert!(!sealed.windows(plain.len()).any(|at| at == plain.as_bytes()), "{plain}");
    }
}

#[tokio::test]
async fn what_was_shown_a_second_ago_can_be_read_while_the_session_goes_on() {
    let world = World::new().await;
    let session = SessionId(Uuid::now_v7());
    let tape = world.begin(session).await;
    program(&tape).await;
    let seen = async {
        while output(&world.lines(session, false)) != "$ grüß\n" {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), seen).await.expect("it is on the disk");
    drop(tape);
}

#[tokio::test]
async fn a_recording_that_a_crash_cut_is_closed_at_the_next_start_and_read_as_far_as_it_goes() {
    let world = World::new().await;
    let session = SessionId(Uuid::now_v7());
    let tape = world.begin(session).await;
    program(&tape).await;
    drop(tape);
    world.archive.finished().await;
    // As a crash leaves it: under its first name, and the last frame is not whole.
    let whole = fs::read(world.file(session, "rec")).unwrap();
    fs::remove_file(world.file(session, "rec")).unwrap();
    fs::write(world.file(session, "part"), &whole[..whole.len() - 3]).unwrap();
    let again = World::at(world.dir).await;
    let lines = again.lines(session, false);
    assert!(matches!(&lines[0], RecordingEvent::Session { .. }));
    assert!(!again.file(session, "part").exists());
    let [(_, Some(ref hash), false)] = again.recorded()[..] else { panic!() };
    assert_eq!(*hash, sha256(&again.file(session, "rec")));
    assert_eq!(again.users(), ["alice"]);
}

#[tokio::test]
async fn recordings_are_deleted_when_they_are_due_and_never_before_it_is_recorded() {
    let world = World::new().await;
    let now = SystemTime::now();
    let at = |days: u64| now + Duration::from_secs(days * 24 * 3600);
    let [old, new, going_on] = [(); 3].map(|()| SessionId(Uuid::now_v7()));
    for session in [old, new] {
        let tape = world.begin(session).await;
        program(&tape).await;
        drop(tape);
    }
    let tape = world.begin(going_on).await;
    program(&tape).await;
    while world.recorded().len() < 2 {
        sleep(Duration::from_millis(20)).await;
    }
    for (session, extension, ended) in [(old, "rec", 0), (new, "rec", 2), (going_on, "part", 0)] {
        let file = fs::File::options().write(true).open(world.file(session, extension)).unwrap();
        file.set_modified(at(ended)).unwrap();
    }
    // Kept for three days, looked at after two, four and six.
    let kept = |days: u64| {
        let before = Some(at(days) - Duration::from_secs(3 * 24 * 3600));
        Since { desktops: None, others: before }
    };
    assert_eq!(world.archive.remove_before(kept(2)).await.unwrap(), 0);
    world.audit.stop(true);
    assert!(world.archive.remove_before(kept(4)).await.is_err(), "no record, no deletion");
    assert!(world.file(old, "rec").exists());
    world.audit.stop(false);
    assert_eq!(world.archive.remove_before(kept(4)).await.unwrap(), 1);
    assert_eq!(world.removed(), [old]);
    assert!(!world.file(old, "rec").exists() && world.file(new, "rec").exists());
    assert!(world.archive.read(old).unwrap().is_none());
    assert_eq!(world.archive.remove_before(kept(6)).await.unwrap(), 1);
    assert_eq!(world.removed(), [old, new]);
    assert!(world.file(going_on, "part").exists(), "it is still being written");
    drop(tape);
}

/// Half a year for the others, and a month for desktops; by a clock of the test's.
#[tokio::test]
async fn recordings_of_desktops_are_kept_for_as_long_as_their_own_setting_says() {
    let world = World::new().await;
    let now = SystemTime::now();
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    let [desktop, shell, young] = [(); 3].map(|()| SessionId(Uuid::now_v7()));
    for (session, kind) in [(desktop, Kind::Rdp), (shell, Kind::Ssh), (young, Kind::Rdp)] {
        let about = About { kind, ..about(session) };
        drop(world.archive.begin(about).await.unwrap());
    }
    while world.recorded().len() < 3 {
        sleep(Duration::from_millis(20)).await;
    }
    let file = fs::File::options().write(true).open(world.file(young, "rec")).unwrap();
    file.set_modified(now + days(5)).unwrap();
    let look = async |at: SystemTime| {
        let since = Since { desktops: Some(at - days(30)), others: Some(at - days(180)) };
        world.archive.remove_before(since).await.unwrap()
    };
    assert_eq!(look(now + days(29)).await, 0);
    assert_eq!(look(now + days(31)).await, 1);
    assert_eq!(world.removed(), [desktop]);
    assert_eq!(look(now + days(36)).await, 1);
    assert_eq!(world.removed(), [desktop, young]);
    assert_eq!(look(now + days(179)).await, 0);
    assert_eq!(look(now + days(181)).await, 1);
    // And the other way round, for ever.
    let last = SessionId(Uuid::now_v7());
    drop(world.archive.begin(About { kind: Kind::Rdp, ..about(last) }).await.unwrap());
    while world.recorded().len() < 4 {
        sleep(Duration::from_millis(20)).await;
    }
    let since = Since { desktops: None, others: Some(now + days(9999)) };
    assert_eq!(world.archive.remove_before(since).await.unwrap(), 0);
}

#[tokio::test]
async fn a_recording_that_was_changed_is_told_from_one_that_was_not() {
    let world = World::new().await;
    let session = SessionId(Uuid::now_v7());
    let tape = world.begin(session).await;
    program(&tape).await;
    drop(tape);
    world.archive.finished().await;
    let file = world.file(session, "rec");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let mut reading = world.archive.read(session).unwrap().unwrap();
    let damage = loop {
        match reading.frame() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("nothing was wrong with it"),
            Err(error) => break error,
        }
    };
    assert!(matches!(damage, ReadError::Damaged { .. }));
    assert_ne!(world.recorded()[0].1, Some(sha256(&file)));
}

#[tokio::test]
async fn a_recording_that_can_not_go_on_says_so_to_its_session() {
    let world = World::new().await;
    let tape = world.begin(SessionId(Uuid::now_v7())).await;
    // The disk takes no byte more: no file of this process may grow.
    let limit = libc::rlimit { rlim_cur: 1, rlim_max: libc::RLIM_INFINITY };
    limit_files(limit);
    program(&tape).await;
    timeout(Duration::from_secs(10), tape.failure().cancelled_owned()).await.expect("it fails");
    // Whoever still writes does not wait.
    for _ in 0..100 {
        program(&tape).await;
    }
    drop(tape);
    world.archive.finished().await;
    let recorded = world.recorded();
    limit_files(libc::rlimit { rlim_cur: libc::RLIM_INFINITY, ..limit });
    let [(0, None, false)] = recorded[..] else { panic!("{recorded:?}") };
}

#[tokio::test]
async fn a_recording_that_grows_without_an_end_ends_its_session() {
    let world = World::new().await;
    let root = world.dir.path().join("small");
    let key = RecordingsKey::new(&[3; 32]);
    let small = Archive::holding(root.clone(), key, world.audit.clone(), 100_000).await.unwrap();
    let tape = small.begin(about(SessionId(Uuid::now_v7()))).await.unwrap();
    let failed = tape.failure();
    let mut noise = 1_u32;
    while !failed.is_cancelled() {
        let random = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_be_bytes()[0]
        };
        let bytes = Bytes::from_iter(std::iter::repeat_with(random).take(10_000));
        tape.write(Entry::Screen { bytes }).await;
    }
    drop(tape);
    small.finished().await;
    assert_eq!(world.recorded(), [(0, None, false)]);
    let day = fs::read_dir(root).unwrap().next().unwrap().unwrap().path();
    let file = fs::read_dir(day).unwrap().next().unwrap().unwrap();
    assert!(file.metadata().unwrap().len() <= 100_000);
}

#[tokio::test]
async fn what_a_screen_showed_is_kept_byte_by_byte() {
    let world = World::new().await;
    let session = SessionId(Uuid::now_v7());
    let tape = world.begin(session).await;
    tape.write(Entry::Screen { bytes: Bytes::from_static(&[0, 5, 0xff, 0xfe, 0]) }).await;
    tape.write(Entry::Repaint).await;
    tape.write(Entry::Key { key: Key::Code(0xe01c), pressed: true }).await;
    drop(tape);
    world.archive.finished().await;
    let lines = world.lines(session, true);
    assert!(matches!(&lines[1], RecordingEvent::Screen { bytes, .. } if bytes == "AAX//gA="));
    assert!(matches!(&lines[2], RecordingEvent::Repaint { .. }));
    assert!(matches!(
        &lines[3],
        RecordingEvent::Key { code: Some(0xe01c), unit: None, pressed: true, .. }
    ));
}

#[tokio::test]
async fn a_search_finds_each_line_once_in_the_order_of_sessions_whatever_its_parts() {
    let world = World::new().await;
    let sessions: Vec<_> = (0..3).map(|_| SessionId(Uuid::now_v7())).collect();
    for session in &sessions {
        let tape = world.begin(*session).await;
        for line in ["alpha\r\n", "a need", "le\r\n\u{1b}[1mA NEED", "LE\u{1b}[0m too\r\n"] {
            let bytes = Bytes::from_static(line.as_bytes());
            tape.write(Entry::Output { channel: 1, bytes }).await;
        }
        drop(tape);
    }
    world.archive.finished().await;
    // Damaged: it is named, and the others are searched.
    let bad = SessionId(Uuid::now_v7());
    fs::write(world.file(sessions[0], "rec").with_file_name(format!("{bad}.rec")), "x").unwrap();
    for limit in [1, 2, 100] {
        let (mut found, mut unread, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let (bounds, _waiting) = Bounds::of(Duration::from_secs(60));
            let page = world.archive.search(&sought("Needle", limit, after), &bounds).unwrap();
            assert!(page.found.len() <= limit);
            found.extend(page.found.into_iter().map(|it| (it.session, it.line)));
            unread.extend(page.unread);
            let Some(next) = page.next else { break };
            after = Some(next.parse().unwrap());
        }
        let lines = |session: &SessionId| {
            ["a needle", "A NEEDLE too"].map(|line| (*session, line.to_owned()))
        };
        assert_eq!(found, sessions.iter().flat_map(lines).collect::<Vec<_>>(), "{limit}");
        assert_eq!(unread, [bad]);
    }
}

#[tokio::test]
async fn a_search_that_nobody_waits_for_ends_and_one_without_time_goes_on_where_it_ended() {
    let world = World::new().await;
    let session = SessionId(Uuid::now_v7());
    let tape = world.begin(session).await;
    // More than one frame.
    for _ in 0..8 {
        let bytes = Bytes::from("needle\r\n".repeat(4096));
        tape.write(Entry::Output { channel: 1, bytes }).await;
    }
    drop(tape);
    world.archive.finished().await;
    let (bounds, waiting) = Bounds::of(Duration::from_secs(60));
    drop(waiting);
    let page = world.archive.search(&sought("needle", 100_000, None), &bounds).unwrap();
    assert!(page.found.is_empty() && page.next.is_some(), "it has not begun");
    let (mut found, mut parts, mut after) = (0, 0, None);
    loop {
        // It is over before it has begun, but for one frame.
        let (bounds, _waiting) = Bounds::of(Duration::from_millis(1));
        let page = world.archive.search(&sought("needle", 100_000, after), &bounds).unwrap();
        found += page.found.len();
        parts += 1;
        let Some(next) = page.next else { break };
        after = Some(next.parse().unwrap());
        assert!(parts < 10_000);
    }
    assert_eq!(found, 8 * 4096);
    assert!(parts > 1);
}

/// Told, not held to: a shell's output, searched to its end.
#[tokio::test]
async fn how_fast_a_search_is_can_be_seen() {
    let world = World::new().await;
    let tape = world.begin(SessionId(Uuid::now_v7())).await;
    program(&tape).await;
    let line =
        "\x1b[32mINFO\x1b[0m 2026-11-27T12:00:00Z request=42 path=/api/v1/things took=3ms\r\n";
    let bytes = Bytes::from(line.repeat(200));
    let shown = bytes.len() * 200;
    for _ in 0..200 {
        tape.write(Entry::Output { channel: 0, bytes: bytes.clone() }).await;
    }
    tape.write(Entry::Output { channel: 0, bytes: Bytes::from_static(b"the needle\r\n") }).await;
    drop(tape);
    world.archive.finished().await;
    let began = std::time::Instant::now();
    let mut after = None;
    let found = loop {
        let (bounds, _waiting) = Bounds::of(Duration::from_secs(60));
        let page = world.archive.search(&sought("needle", 10, after), &bounds).unwrap();
        match page.next {
            Some(next) if page.found.is_empty() => after = Some(next.parse().unwrap()),
            Some(_) | None => break page.found.len(),
        }
    };
    let took = began.elapsed().as_secs_f64();
    println!(
        "{:.1} MB of output searched at {:.1} MB/s",
        shown as f64 / 1e6,
        shown as f64 / 1e6 / took
    );
    assert_eq!(found, 1);
}

fn sought(text: &str, limit: usize, after: Option<SearchPlace>) -> Sought {
    let (text, user, application) = (text.to_owned(), None, None);
    Sought { text, user, application, since_ms: 0, until_ms: u64::MAX, limit, after }
}

#[expect(unsafe_code, reason = "the standard library has no call for resource limits")]
fn limit_files(limit: libc::rlimit) {
    // SAFETY: takes a valid pointer to a `rlimit` that outlives the call. The signal that would end
    // this process is ignored, so that the write fails instead.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
}

struct World {
    archive: Archive,
    audit: Arc<Noted>,
    dir: TempDir,
}

impl World {
    async fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap()).await
    }

    async fn at(dir: TempDir) -> Self {
        let audit = Arc::new(Noted::default());
        let root = dir.path().join("recordings");
        let archive = Archive::open(root, RecordingsKey::new(&[3; 32]), audit.clone()).await;
        Self { archive: archive.unwrap(), audit, dir }
    }

    async fn begin(&self, session: SessionId) -> Tape {
        self.archive.begin(about(session)).await.unwrap()
    }

    /// All there is of a recording.
    fn lines(&self, session: SessionId, whole: bool) -> Vec<RecordingEvent> {
        let mut reading = self.archive.read(session).unwrap().unwrap();
        let mut lines = Vec::new();
        while let Some(frame) = reading.frame().unwrap() {
            let of_frame = frame.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.extend(of_frame.map(|line| serde_json::from_slice(line).unwrap()));
        }
        assert!(!whole || reading.is_over());
        lines
    }

    fn file(&self, session: SessionId, extension: &str) -> PathBuf {
        let days = fs::read_dir(self.dir.path().join("recordings")).unwrap();
        let day = days.map(|day| day.unwrap().path()).next().unwrap();
        day.join(format!("{session}.{extension}"))
    }

    fn recorded(&self) -> Vec<(u64, Option<String>, bool)> {
        let of = |event: &AuditEvent| match event {
            AuditEvent::SessionRecorded { bytes, sha256, whole, .. } => {
                Some((*bytes, sha256.clone(), *whole))
            }
            _ => None,
        };
        self.audit.events.lock().unwrap().iter().filter_map(of).collect()
    }

    fn removed(&self) -> Vec<SessionId> {
        let of = |event: &AuditEvent| match event {
            AuditEvent::RecordingRemoved { session, .. } => Some(*session),
            _ => None,
        };
        self.audit.events.lock().unwrap().iter().filter_map(of).collect()
    }

    fn users(&self) -> Vec<String> {
        let of = |event: &AuditEvent| match event {
            AuditEvent::SessionRecorded { user, .. } => user.as_ref().map(ToString::to_string),
            _ => None,
        };
        self.audit.events.lock().unwrap().iter().filter_map(of).collect()
    }
}

fn about(session: SessionId) -> About {
    let name = |text: &str| text.parse().unwrap();
    About {
        session,
        user: name("alice"),
        application: name("web1"),
        site: name("hq"),
        kind: Kind::Ssh,
        login: Some("ubuntu".to_owned()),
        opened: SystemTime::now(),
    }
}

async fn program(tape: &Tape) {
    let screen = Screen { term: "xterm".to_owned(), columns: 80, rows: 24 };
    let (channel, output) = (0, |bytes: &'static [u8]| Bytes::from_static(bytes));
    let entries = [
        Entry::Began {
            channel,
            program: "ssh.shell",
            detail: String::new(),
            terminal: Some(screen),
        },
        Entry::Output { channel, bytes: output(b"$ gr\xc3") },
        Entry::Output { channel, bytes: output(b"\xbc\xc3\x9f\n") },
        Entry::Resized { channel, columns: 100, rows: 40 },
        Entry::Ended { channel, outcome: Some("0".to_owned()), up: 3, down: 9 },
    ];
    for entry in entries {
        tape.write(entry).await;
    }
}

fn output(lines: &[RecordingEvent]) -> String {
    let text = |line: &RecordingEvent| match line {
        RecordingEvent::Output { text, .. } => Some(text.clone()),
        _ => None,
    };
    lines.iter().filter_map(text).collect()
}

fn sha256(file: &Path) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &fs::read(file).unwrap());
    data_encoding::HEXLOWER.encode(hash.as_ref())
}

#[derive(Default)]
struct Noted {
    events: Mutex<Vec<AuditEvent>>,
    stopped: AtomicBool,
}

impl Noted {
    fn stop(&self, stopped: bool) {
        self.stopped.store(stopped, Relaxed);
    }
}

#[async_trait]
impl AuditLog for Noted {
    async fn reserve(&self) -> Result<ClosingSlot, AuditError> {
        Err(AuditError::Stopped)
    }

    async fn append(&self, event: AuditEvent) -> Result<(), AuditError> {
        if self.stopped.load(Relaxed) {
            return Err(AuditError::Stopped);
        }
        self.note(event);
        Ok(())
    }

    fn note(&self, event: AuditEvent) {
        self.events.lock().unwrap().push(event);
    }
}
