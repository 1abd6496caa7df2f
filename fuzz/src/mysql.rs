//! MySQL's protocol, from both ends.

use gateway_mysql::lex::{Lexer, killed, used};
use gateway_mysql::proto::{First, change, done, end, failure, first, greeting, who};
use gateway_mysql::scan::{Fault, HEAD, HELD, Scanner, Writer};
use gateway_mysql::track::{Event, LONGEST_TEXT, Tracker, Turn};

/// A packet of a login, from either end: what is read of it was in it.
pub(crate) fn login(bytes: &[u8]) {
    if let Ok(First::Hello(hello)) = first(bytes) {
        let (role, application) = who(&hello.user);
        assert!(hello.user.len() >= role.len() + application.map_or(0, str::len));
        assert!(!hello.user.contains('\0') && hello.answer.0.len() <= bytes.len());
        let kept: usize = hello.attributes.iter().map(|(a, b)| a.len() + b.len()).sum();
        assert!(kept <= bytes.len());
    }
    if let Ok(change) = change(bytes, u32::MAX) {
        assert!(!change.user.contains('\0') && change.answer.0.len() <= 255);
    }
    if let Some(greeting) = greeting(bytes) {
        assert!(greeting.scramble.len() < 8 + 256 && greeting.plugin.len() <= 3 * bytes.len());
    }
    let _ = (done(bytes), end(bytes));
    assert!(failure(bytes).is_none_or(|failure| failure.message.len() < bytes.len()));
}

/// A conversation after the login: runs of bytes, each with a head of one byte for who writes it and
/// two for how much. Nothing goes on that is no message or out of turn, and what is kept has its
/// bounds. The first byte says whether ends have packets of their own.
pub(crate) fn conversation(bytes: &[u8]) {
    let Some((capabilities, mut rest)) = bytes.split_first() else { return };
    let capabilities = 1 << 16 | u32::from(capabilities & 1) << 24;
    let mut talk = Talk {
        client: End::new(Writer::Client),
        server: End::new(Writer::Server),
        tracker: Tracker::new(capabilities),
        turn: Turn::Client,
        marks: 0,
    };
    while let Some(([who, a, b], behind)) = rest.split_first_chunk::<3>() {
        let count = usize::from(u16::from_be_bytes([*a, *b])).min(behind.len());
        let (run, behind) = behind.split_at(count);
        rest = behind;
        let heard = if who % 2 == 0 { talk.client(run) } else { talk.server(run) };
        if heard.is_err() {
            return;
        }
    }
}

/// Any text: what is seen in it is in it, and pieces change nothing.
pub(crate) fn text(bytes: &[u8]) {
    for plain_backslash in [false, true] {
        let mut lexer = Lexer::new(plain_backslash);
        lexer.feed(bytes);
        let seen = lexer.end();
        let mut pieces = Lexer::new(plain_backslash);
        bytes.chunks(3).for_each(|piece| pieces.feed(piece));
        assert_eq!(pieces.end(), seen);
        assert!(seen.starts.is_sorted() && seen.starts.iter().all(|at| *at <= bytes.len()));
        if let Some(text) = crate::text(bytes) {
            let number = seen.kill.and_then(|kill| killed(text, kill));
            assert!(number.is_none_or(|at| text[at].bytes().all(|b| b.is_ascii_digit())));
            for at in &seen.uses {
                assert!(used(text, *at).is_none_or(|name| name.len() <= text.len()));
            }
        }
    }
}

struct Talk {
    client: End,
    server: End,
    tracker: Tracker<u32>,
    turn: Turn,
    marks: u32,
}

struct End {
    scanner: Scanner,
    held: Vec<u8>,
}

impl End {
    fn new(writer: Writer) -> Self {
        Self { scanner: Scanner::new(writer), held: Vec::new() }
    }
}

impl Talk {
    /// Reads what a client says when it is its turn; what it says ahead waits.
    fn client(&mut self, run: &[u8]) -> Result<(), Fault> {
        self.client.held.extend_from_slice(run);
        while self.turn != Turn::Server {
            if self.turn == Turn::Client && self.client.scanner.is_between() {
                self.client.scanner.expect(0);
            }
            let End { scanner, held } = &mut self.client;
            let Some(step) = scanner.step(held)? else {
                assert!(held.len() < HELD + HEAD, "{} bytes are held", held.len());
                return Ok(());
            };
            if let Some(message) = step.message {
                if self.turn == Turn::File {
                    if message.length == 0 {
                        self.tracker.file_sent();
                        self.turn = Turn::Server;
                    }
                } else {
                    let mut lexer = Lexer::new(self.tracker.plain_backslash());
                    lexer.feed(message.body.get(1..).unwrap_or_default());
                    let marks = &mut self.marks;
                    self.tracker.client(message, &lexer.end(), || {
                        *marks += 1;
                        *marks
                    })?;
                    if !self.tracker.is_idle() {
                        self.turn = Turn::Server;
                    }
                }
            }
            let count = step.count;
            held.drain(..count);
            if self.turn == Turn::Server {
                self.server.scanner.expect(self.client.scanner.next_number());
            }
        }
        Ok(())
    }

    fn server(&mut self, run: &[u8]) -> Result<(), Fault> {
        if self.turn != Turn::Server {
            return Err(Fault::Turn);
        }
        self.server.held.extend_from_slice(run);
        while self.turn == Turn::Server {
            let End { scanner, held } = &mut self.server;
            let Some(step) = scanner.step(held)? else { return Ok(()) };
            if let Some(message) = step.message {
                let marks = self.marks;
                self.turn = self.tracker.server(message, |event| told(&event, marks))?;
            }
            let count = step.count;
            held.drain(..count);
        }
        if self.turn == Turn::File {
            self.client.scanner.expect(self.server.scanner.next_number());
        }
        if self.server.held.is_empty() { Ok(()) } else { Err(Fault::Turn) }
    }
}

fn told(event: &Event<u32>, marks: u32) {
    if let Event::Done(done) = event {
        assert!(done.mark <= marks);
        assert!(done.text.text.len() <= 3 * LONGEST_TEXT, "{} bytes", done.text.text.len());
        assert!(done.error.as_ref().is_none_or(|code| code.chars().count() <= 5));
    }
}
