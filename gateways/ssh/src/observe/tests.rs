use proptest::prelude::*;
use session::FileMode;

use super::*;
use crate::observe::table::MOST_PENDING;
use crate::sftp::{CLOSE, EXTENDED, FSETSTAT, INIT, OPEN, READ, REMOVE, RENAME, SETSTAT, WRITE};

#[test]
fn a_file_that_is_written_in_order_is_told_with_its_hash_however_it_is_cut() {
    let content: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    let mut talk = Talk::begun();
    talk.up(OPEN, 1, &[&text("/srv/a"), &26u32.to_be_bytes(), &[0; 4]]);
    talk.down(102, 1, &[&text("h")]);
    for (id, (at, piece)) in (2..).zip(content.chunks(32 << 10).enumerate()) {
        talk.write(id, "h", (at * (32 << 10)) as u64, piece);
    }
    (2..6).for_each(|id| talk.status(id, 0));
    talk.up(CLOSE, 6, &[&text("h")]);
    talk.status(6, 0);
    for piece in [1, 7, 4096, usize::MAX] {
        let [Seen::File(file)] = &talk.seen(true, piece)[..] else { panic!("in {piece}") };
        assert_eq!((file.mode, file.read, file.written), (FileMode::Write, 0, 100_000));
        assert_eq!((file.path.as_str(), file.result.as_str(), file.whole), ("/srv/a", "ok", true));
        assert_eq!(file.sha256.as_deref(), Some(sha256(&content).as_str()));
    }
    let [Seen::File(file)] = &talk.seen(false, 4096)[..] else { panic!() };
    assert_eq!((file.written, &file.sha256), (100_000, &None), "nobody asked for it");
}

#[test]
fn a_file_that_is_read_to_its_end_is_told_with_its_hash_and_one_that_is_not_without_whole() {
    for (ends, whole) in [(true, true), (false, false)] {
        let mut talk = Talk::opened(1);
        talk.read(2, 0, b"first ");
        talk.read(3, 6, b"last");
        if ends {
            talk.up(READ, 4, &[&text("h"), &10u64.to_be_bytes(), &[0, 0, 1, 0]]);
            talk.status(4, 1);
        }
        let file = talk.closed();
        assert_eq!((file.read, file.whole), (10, whole));
        assert_eq!(file.sha256, Some(sha256(b"first last")));
    }
}

#[test]
fn what_is_not_carried_in_order_has_no_hash_and_is_counted() {
    type Part = fn(&mut Talk);
    let parts: [(&str, Part); 6] = [
        ("a gap", |talk| talk.write(2, "h", 5, b"x")),
        ("twice", |talk| {
            talk.write(2, "h", 0, b"x");
            talk.write(3, "h", 0, b"x");
        }),
        ("one that failed", |talk| {
            talk.write(2, "h", 0, b"x");
            talk.status(2, 4);
        }),
        ("no answer", |talk| talk.write(2, "h", 0, b"x")),
        ("cut shorter", |talk| {
            talk.write(2, "h", 0, b"xy");
            talk.status(2, 0);
            talk.up(FSETSTAT, 9, &[&text("h"), &1u32.to_be_bytes(), &1u64.to_be_bytes()]);
            talk.status(9, 0);
        }),
        ("read too", |talk| {
            talk.read(2, 0, b"x");
            talk.write(3, "h", 1, b"x");
        }),
    ];
    for (what, part) in parts {
        let mut talk = Talk::opened(2 | 8 | 16);
        part(&mut talk);
        assert_eq!(talk.closed().sha256, None, "{what}");
    }
}

#[test]
fn an_empty_file_has_the_hash_of_nothing_and_one_that_was_only_opened_has_none() {
    let nothing = Some(sha256(b""));
    assert_eq!(Talk::opened(2 | 8 | 16).closed().sha256, nothing);
    assert_eq!(Talk::opened(2).closed().sha256, None);
    assert_eq!(Talk::opened(1).closed().sha256, None);
    assert_eq!(Talk::opened(2 | 4 | 16).closed().sha256, None, "it appends");
}

#[test]
fn changes_are_told_with_their_results() {
    let mut talk = Talk::begun();
    talk.up(REMOVE, 1, &[&text("/a")]);
    talk.up(RENAME, 2, &[&text("/a"), &text("/b")]);
    talk.up(EXTENDED, 3, &[&text("posix-rename@openssh.com"), &text("/c"), &text("/d")]);
    let attributes =
        [&7u32.to_be_bytes()[..], &5u64.to_be_bytes(), &[0; 8], &0o644u32.to_be_bytes()];
    talk.up(SETSTAT, 4, &[&text("/e"), &attributes.concat()]);
    talk.up(EXTENDED, 5, &[&text("statvfs@openssh.com"), &text("/")]);
    talk.up(OPEN, 6, &[&text("/f\n\x1b"), &1u32.to_be_bytes(), &[0; 4]]);
    for (id, code) in [(1, 2), (2, 3), (3, 0), (4, 0), (5, 0), (6, 2)] {
        talk.status(id, code);
    }
    let told: Vec<_> = talk.seen(true, 100).iter().map(shown).collect();
    assert_eq!(
        told,
        [
            "remove /a: no such file",
            "rename /a /b: permission denied",
            "rename /c /d",
            "setstat /e size 5, owner 0:0, mode 644",
            "read /f : no such file",
        ]
    );
}

#[test]
fn a_file_that_nobody_closed_is_told_at_the_end() {
    let mut talk = Talk::opened(1);
    talk.read(2, 0, b"half");
    let [Seen::File(file)] = &talk.seen(true, 10)[..] else { panic!() };
    assert_eq!((file.read, file.result.as_str()), (4, "left open"));
}

#[test]
fn what_is_not_understood_is_told_once_and_nothing_is_seen_after_it() {
    type Part = fn(&mut Talk);
    let parts: [(&str, Part); 12] = [
        ("bytes that are no sftp", |talk| talk.raw(true, &[0xff; 5])),
        ("bytes that are no sftp", |talk| talk.raw(false, &[0, 0, 0, 0, 3])),
        ("a beginning that is none", |talk| talk.up(INIT, 3, &[])),
        ("lengths that are not true", |talk| talk.up(REMOVE, 3, &[&[0, 0, 1, 0, b'x']])),
        ("lengths that are not true", |talk| {
            talk.up(WRITE, 3, &[&text("h"), &[0; 8], &9u32.to_be_bytes(), b"x"]);
        }),
        ("lengths that are not true", |talk| talk.up(CLOSE, 3, &[&text(&"h".repeat(257))])),
        ("lengths that are not true", |talk| {
            talk.up(READ, 3, &[&text("h"), &[0; 12]]);
            talk.down(103, 3, &[&[0, 0, 0, 9], b"x"]);
        }),
        ("an answer to nothing that was asked", |talk| talk.status(99, 0)),
        ("an answer to something else", |talk| {
            talk.up(REMOVE, 3, &[&text("/a")]);
            talk.down(103, 3, &[&text("x")]);
        }),
        ("a request with the number of one that waits", |talk| {
            talk.up(REMOVE, 3, &[&text("/a")]);
            talk.up(REMOVE, 3, &[&text("/a")]);
        }),
        ("a handle of a file that is open already", |talk| {
            talk.up(OPEN, 3, &[&text("/b"), &1u32.to_be_bytes(), &[0; 4]]);
            talk.down(102, 3, &[&text("h")]);
        }),
        ("more requests or open files than are followed", |talk| {
            let ids = 100..=100 + u32::try_from(MOST_PENDING).unwrap();
            ids.for_each(|id| talk.up(READ, id, &[&text("h"), &[0; 12]]));
        }),
    ];
    for (why, part) in parts {
        let mut talk = Talk::opened(1);
        part(&mut talk);
        talk.up(REMOVE, 7000, &[&text("/late")]);
        talk.status(7000, 0);
        let seen = talk.seen(true, 100);
        let lost = seen.iter().filter(|seen| matches!(seen, Seen::Lost(_))).count();
        assert_eq!((seen.last(), lost), (Some(&Seen::Lost(why)), 1));
        let open = seen.iter().filter(|seen| shown(seen).ends_with("unknown")).count();
        assert!(open >= 1, "{why}: {seen:?}");
    }
    let mut talk = Talk::default();
    talk.raw(true, &packet(INIT, 6, &[]));
    talk.raw(false, &packet(2, 6, &[]));
    assert_eq!(talk.seen(true, 9), [Seen::Lost("another version of sftp than 3")]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_keep_much(
        parts in proptest::collection::vec(
            (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..80)), 0..20,
        ),
    ) {
        let mut talk = Talk::opened(1);
        parts.iter().for_each(|(up, bytes)| talk.raw(*up, bytes));
        let whole = talk.seen(true, usize::MAX);
        prop_assert_eq!(&talk.seen(true, 1), &whole);
    }
}

/// What both sides say, in its order.
#[derive(Default)]
struct Talk(Vec<(bool, Vec<u8>)>);

impl Talk {
    fn begun() -> Self {
        let mut talk = Self::default();
        talk.raw(true, &packet(INIT, 3, &[]));
        talk.raw(false, &packet(2, 3, &[&text("limits@openssh.com"), &text("1")]));
        talk
    }

    /// A file is open under the handle `h`.
    fn opened(flags: u32) -> Self {
        let mut talk = Self::begun();
        talk.up(OPEN, 1, &[&text("/file"), &flags.to_be_bytes(), &[0; 4]]);
        talk.down(102, 1, &[&text("h")]);
        talk
    }

    /// Closes it: what is told then.
    fn closed(&mut self) -> FileUse {
        self.up(CLOSE, 8, &[&text("h")]);
        self.status(8, 0);
        let seen = self.seen(true, 50);
        let mut files = seen.into_iter().filter_map(|seen| match seen {
            Seen::File(file) => Some(file),
            Seen::Change(_) => None,
            Seen::Lost(why) => panic!("{why}"),
        });
        files.next_back().unwrap()
    }

    fn raw(&mut self, up: bool, bytes: &[u8]) {
        self.0.push((up, bytes.to_vec()));
    }

    fn up(&mut self, kind: u8, id: u32, body: &[&[u8]]) {
        self.raw(true, &packet(kind, id, body));
    }

    fn down(&mut self, kind: u8, id: u32, body: &[&[u8]]) {
        self.raw(false, &packet(kind, id, body));
    }

    fn status(&mut self, id: u32, code: u32) {
        self.down(101, id, &[&code.to_be_bytes(), &text("said"), &text("en")]);
    }

    fn write(&mut self, id: u32, handle: &str, offset: u64, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap();
        self.up(WRITE, id, &[&text(handle), &offset.to_be_bytes(), &length.to_be_bytes(), bytes]);
    }

    fn read(&mut self, id: u32, offset: u64, bytes: &[u8]) {
        self.up(READ, id, &[&text("h"), &offset.to_be_bytes(), &[0, 0, 1, 0]]);
        let length = u32::try_from(bytes.len()).unwrap();
        self.down(103, id, &[&length.to_be_bytes(), bytes]);
    }

    fn seen(&self, hash: bool, piece: usize) -> Vec<Seen> {
        let mut observer = Observer::new(hash);
        for (up, bytes) in &self.0 {
            for piece in bytes.chunks(piece.min(bytes.len()).max(1)) {
                match up {
                    true => observer.up(piece),
                    false => observer.down(piece),
                }
            }
        }
        observer.end();
        observer.take()
    }
}

fn shown(seen: &Seen) -> String {
    match seen {
        Seen::File(file) => file.to_string(),
        Seen::Change(change) => change.to_string(),
        Seen::Lost(why) => (*why).to_owned(),
    }
}

fn packet(kind: u8, id: u32, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let length = u32::try_from(body.len() + 5).unwrap();
    [&length.to_be_bytes()[..], &[kind], &id.to_be_bytes(), &body].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn sha256(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    data_encoding::HEXLOWER.encode(hash.as_ref())
}

/// Told, not held to: what following costs beside carrying and encrypting the same bytes twice.
#[test]
fn what_it_costs_to_follow_a_file_can_be_seen() {
    let mut observer = Observer::new(false);
    let content = vec![7; 32 << 10];
    let mut opening = Talk::opened(26);
    for (up, bytes) in opening.0.drain(..) {
        if up { observer.up(&bytes) } else { observer.down(&bytes) }
    }
    let request = packet(WRITE, 2, &[&text("h"), &[0; 8], &(32u32 << 10).to_be_bytes(), &content]);
    let answer = packet(101, 2, &[&[0; 4], &[0; 8]]);
    let (began, packets) = (std::time::Instant::now(), 20_000);
    for _ in 0..packets {
        observer.up(&request);
        observer.down(&answer);
    }
    let each = began.elapsed() / packets;
    println!("{each:?} for a packet of 32 KiB and its answer");
    assert!(observer.take().is_empty() && !observer.lost);
}
