//! PostgreSQL's protocol, from both ends.

use gateway_postgres::proto::{First, StartupFault, first, first_length, take_application};
use gateway_postgres::scan::{Fault, HELD, Message, Scanner, Writer};
use gateway_postgres::track::{Event, LONGEST_TEXT, Tracker};

use crate::text;

/// A packet without a type: what is read of it was in it, and ours is taken out.
pub(crate) fn first_packet(bytes: &[u8]) {
    if let Some(length) = bytes.first_chunk::<4>() {
        match first_length(*length) {
            Ok(length) => assert!((4..10_000).contains(&length), "{length}"),
            Err(fault) => assert_eq!(fault, StartupFault::Length),
        }
    }
    if let Ok(First::Startup(startup)) = first(bytes) {
        let (role, application) = startup.who();
        assert!(startup.user.len() >= role.len() + application.map_or(0, str::len));
        assert!(!startup.user.is_empty() && !startup.user.contains('\0'));
        assert!(startup.settings.iter().all(|(name, _)| name != "user" && name != "database"));
    }
    if let Some(options) = text(bytes) {
        let (application, rest) = take_application(options);
        assert!(rest.len() <= options.len());
        if application.is_some() {
            assert_eq!(take_application(&rest).0, None, "{options:?}");
        }
    }
}

/// A conversation after the login: runs of bytes, each with a head of one byte for who writes it and
/// two for how much. Nothing goes on that is no message, pieces change nothing, and what is kept has
/// its bounds.
pub(crate) fn conversation(bytes: &[u8]) {
    let mut client = End::new(Writer::Client);
    let mut server = End::new(Writer::Server);
    let mut tracker = Tracker::default().with_values(bytes.len() % 2 == 1);
    let (mut mark, mut rest) = (0_u32, bytes);
    while let Some(([who, a, b], behind)) = rest.split_first_chunk::<3>() {
        let count = usize::from(u16::from_be_bytes([*a, *b])).min(behind.len());
        let (run, behind) = behind.split_at(count);
        rest = behind;
        let read = if who % 2 == 0 {
            client.read(run, |message| {
                mark += 1;
                tracker.client(message, || mark).map(drop)
            })
        } else {
            server.read(run, |message| tracker.server(message, |event| told(&event, mark)))
        };
        if read.is_err() {
            return;
        }
    }
}

fn told(event: &Event<u32>, marks: u32) {
    if let Event::Done(done) = event {
        assert!(done.mark <= marks);
        // With what is bound behind it.
        assert!(
            done.text.text.len() <= 3 * LONGEST_TEXT + 20_000,
            "{} bytes",
            done.text.text.len()
        );
        assert!(done.error.as_ref().is_none_or(|code| code.chars().count() <= 5));
    }
}

struct End {
    scanner: Scanner,
    held: Vec<u8>,
}

impl End {
    fn new(writer: Writer) -> Self {
        Self { scanner: Scanner::new(writer), held: Vec::new() }
    }

    fn read(
        &mut self,
        run: &[u8],
        each: impl FnMut(Message<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.held.extend_from_slice(run);
        let count = self.scanner.scan(&self.held, each)?;
        self.held.drain(..count);
        assert!(self.held.len() < HELD + 5, "{} bytes are held", self.held.len());
        Ok(())
    }
}
