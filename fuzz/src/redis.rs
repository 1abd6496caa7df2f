//! Redis' protocol, from both ends.

use gateway_redis::proto::{Commands, Fate, Fault, HELD, Secret};
use gateway_redis::reply::{Replies, Told};
use gateway_redis::track::{Begun, Event, LONGEST_TEXT, Tracker, Turn};

/// A conversation after the login: runs of bytes, each with a head of one byte for who writes it and
/// two for how much. Nothing goes on that is no command, what is kept has its bounds, and whatever a
/// client writes, each end of the conversation knows the same of what is hidden.
pub(crate) fn conversation(bytes: &[u8]) {
    let (mut commands, mut replies) = (Commands::default(), Replies::default());
    let login = Secret::command(&[b"AUTH", b"account", b"password"]);
    let mut tracker = Tracker::new(2 + bytes.first().map_or(0, |byte| byte % 2), login, None);
    let (mut held, mut hidden, mut rest) = (Vec::new(), false, bytes);
    while let Some(([who, a, b], behind)) = rest.split_first_chunk::<3>() {
        let count = usize::from(u16::from_be_bytes([*a, *b])).min(behind.len());
        let (run, behind) = behind.split_at(count);
        rest = behind;
        let read = if who % 2 == 0 {
            held.extend_from_slice(run);
            client(&mut commands, &mut tracker, &mut held)
        } else {
            replies.scan(run, |told| server(&mut tracker, told, &mut hidden))
        };
        if read.is_err() {
            return;
        }
    }
}

fn client(
    commands: &mut Commands,
    tracker: &mut Tracker<()>,
    held: &mut Vec<u8>,
) -> Result<(), Fault> {
    loop {
        let mut ask = None;
        let scanned = commands.scan(held, |command| {
            assert!(command.args().count() <= command.count);
            let begun = |begun: Begun<()>| match begun {
                Begun::Waits(text, ()) | Begun::Unfollowed(text, ()) => {
                    assert!(text.text.len() <= LONGEST_TEXT, "{} bytes", text.text.len());
                }
            };
            let fate = tracker.client(&command, || (), begun, |_| b"-NO\r\n".to_vec(), &mut ask)?;
            if let Fate::Pass = fate {
                let name = command.name().to_ascii_uppercase();
                assert!(!matches!(name.as_slice(), b"AUTH" | b"HELLO" | b"PSYNC" | b"SYNC"));
            }
            Ok::<_, Fault>(fate)
        })?;
        let mut at = 0;
        for (range, _) in &scanned.cuts {
            assert!(at <= range.start && range.start <= range.end && range.end <= scanned.taken);
            at = range.end;
        }
        held.drain(..scanned.taken);
        if ask.is_some() {
            tracker.answer(b"+OK\r\n".to_vec());
        }
        if !scanned.stopped {
            assert!(held.len() <= HELD, "{} bytes are held", held.len());
            return Ok(());
        }
    }
}

fn server(tracker: &mut Tracker<()>, told: Told, hidden: &mut bool) -> Result<(), Fault> {
    match told {
        Told::Begins(_, kind) => *hidden = tracker.begins(kind),
        Told::Ends(_, seen) => {
            let event = |event: Event<()>| {
                if let Event::Done(done) = event {
                    assert!(done.error.is_none_or(|code| code.len() <= 32));
                }
            };
            let turn = tracker.server(&seen, event)?;
            assert_eq!(*hidden, matches!(turn, Turn::Instead(_)), "{seen:?}");
        }
    }
    Ok(())
}

/// Replies: pieces change nothing of where each ends and what is seen of it.
pub(crate) fn replies(bytes: &[u8]) {
    let whole = ends(bytes, bytes.len().max(1));
    let pieces = ends(bytes, 1 + bytes.len() % 7);
    assert_eq!(whole.is_err(), pieces.is_err());
    if whole.is_ok() {
        assert_eq!(whole, pieces);
    }
}

fn ends(bytes: &[u8], piece: usize) -> Result<Vec<(usize, String)>, Fault> {
    let (mut replies, mut all, mut from) = (Replies::default(), Vec::new(), 0);
    for piece in bytes.chunks(piece) {
        replies.scan(piece, |told| {
            if let Told::Ends(at, seen) = told {
                assert!(seen.text.len() <= 128);
                all.push((from + at, format!("{seen:?}")));
            }
            Ok::<_, Fault>(())
        })?;
        from += piece.len();
    }
    Ok(all)
}
