use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::Kind;
use async_trait::async_trait;
use record::RecordingsKey;
use session::{About, AuditError, AuditEvent, AuditLog, ClosingSlot, Entry, Recordings as _};
use tempfile::TempDir;
use tokio::time::advance;
use uuid::Uuid;

use super::*;

/// A picture of the fast path: `part` of one, 0 a whole one.
fn picture(part: u8, byte: u8, length: u16) -> Vec<u8> {
    let mut frame = vec![0, 0x80 | length.to_be_bytes()[0], length.to_be_bytes()[1], part << 4 | 4];
    frame.resize(length.into(), byte);
    frame
}

/// A target's Demand Active, of a share 7 and without capabilities.
fn demand() -> Vec<u8> {
    let data = [22, 0, 0x11, 0, 0xea, 3, 7, 0, 0, 0, 4, 0, 4, 0, b'R', b'D', b'P', 0, 0, 0, 0, 0];
    let mut frame = vec![3, 0, 0, 37, 2, 0xf0, 0x80, 0x68, 0, 1, 3, 0xeb, 0x70, 0x80, 22];
    frame.extend(data);
    frame
}

/// Settings and much at once, then a whole screen after ten seconds, and more after twenty and forty.
async fn recorded(dir: &TempDir) -> (Archive, SessionId) {
    let key = RecordingsKey::new(&[5; 32]);
    let archive = Archive::open(dir.path().to_owned(), key, Arc::new(Nobody)).await.unwrap();
    let session = SessionId(Uuid::now_v7());
    let name = |text: &str| text.parse().unwrap();
    let tape = archive.begin(About {
        session,
        user: name("alice"),
        application: name("desk"),
        site: name("hq"),
        kind: Kind::Rdp,
        login: None,
        opened: SystemTime::now(),
    });
    let tape = tape.await.unwrap();
    let show = async |bytes: Vec<u8>| tape.write(Entry::Screen { bytes: bytes.into() }).await;
    show([picture(0, 1, 500), demand()].concat()).await;
    for _ in 0..12 {
        show(picture(0, 2, 30_000)).await;
    }
    advance(Duration::from_secs(10)).await;
    tape.write(Entry::Repaint).await;
    show([picture(1, 3, 500), picture(0, 4, 500)].concat()).await;
    advance(Duration::from_secs(10)).await;
    show(picture(0, 5, 500)).await;
    advance(Duration::from_secs(20)).await;
    show(picture(0, 6, 500)).await;
    drop(tape);
    archive.finished().await;
    (archive, session)
}

async fn opened(dir: &TempDir) -> Reel {
    let (archive, session) = recorded(dir).await;
    let mut reel = Reel::open(archive, session).await.unwrap();
    loop {
        let more;
        (reel, more) = reel.look_ahead().await.unwrap();
        if !more {
            let (reel, first) = reel.first().await.unwrap();
            assert!(first.unwrap().starts_with(&demand()));
            return reel;
        }
    }
}

/// What a page is sent from here on, as the last bytes of its pieces.
async fn shown(mut reel: Reel) -> (Reel, Vec<u8>) {
    let mut last = Vec::new();
    loop {
        let event;
        (reel, event) = reel.next().await.unwrap();
        let Some(event) = event else { return (reel, last) };
        reel.passed(event.at_ms());
        if let Happened::Shown { bytes, .. } = event {
            last.push(bytes[bytes.len() - 1]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_of_a_recording_is_shown_from_its_settings_on() {
    let dir = tempfile::tempdir().unwrap();
    let reel = opened(&dir).await;
    assert!((40_000..50_000).contains(&reel.length_ms()), "{}", reel.length_ms());
    let (mut reel, event) = reel.next().await.unwrap();
    // The first lines are whose it is.
    let mut event = event.unwrap();
    while !matches!(event, Happened::Shown { .. }) {
        let next;
        (reel, next) = reel.next().await.unwrap();
        event = next.unwrap();
    }
    assert!(matches!(event, Happened::Shown { bytes, .. } if bytes == demand()));
    let (_, rest) = shown(reel).await;
    assert_eq!(rest, [&[2_u8; 12][..], &[4, 5, 6]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_later_moment_is_reached_by_the_last_place_where_the_screen_was_painted() {
    let dir = tempfile::tempdir().unwrap();
    let mut reel = opened(&dir).await;
    reel.seek(30_000);
    let (reel, sent) = shown(reel).await;
    // What pictures refer to comes first, then no rest of one whose beginning was left out.
    assert_eq!(sent, [&[0_u8][..], &[2; 9], &[4, 5, 6]].concat());
    drop(reel);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_moment_begins_with_the_page_forgetting_what_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    let (mut reel, _) = shown(opened(&dir).await).await;
    reel.seek(3000);
    let (mut reel, event) = reel.next().await.unwrap();
    let mut event = event.unwrap();
    while !matches!(event, Happened::Shown { .. }) {
        let next;
        (reel, next) = reel.next().await.unwrap();
        event = next.unwrap();
    }
    let Happened::Shown { bytes, .. } = event else { panic!() };
    let again = [forget(&demand()).unwrap().to_vec(), demand()].concat();
    assert_eq!(bytes, again);
    let (_, rest) = shown(reel).await;
    assert_eq!(rest, [&[2_u8; 12][..], &[4, 5, 6]].concat(), "all that follows");
}

struct Nobody;

#[async_trait]
impl AuditLog for Nobody {
    async fn reserve(&self) -> Result<ClosingSlot, AuditError> {
        Err(AuditError::Stopped)
    }

    async fn append(&self, _: AuditEvent) -> Result<(), AuditError> {
        Ok(())
    }

    fn note(&self, _: AuditEvent) {}
}
