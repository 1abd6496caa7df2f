//! Which answers belong to which statements. Pure.
//!
//! A server answers in order, so what was asked waits in a queue for its answer. Texts are resolved
//! when they are executed; what a failed step skips is forgotten with it.

use std::collections::VecDeque;

pub use database::Event;
use database::{Charset, Done, Text};

use crate::charset;
use crate::proto::{field, setting, split_text};
use crate::scan::{Fault, Message};
use crate::sql::{self, Says};
use crate::texts::{CROWDED, ROOM, Texts};
use crate::values::{self, Types};

/// Follows one connection after its login. `M` is what its owner remembers of a statement.
#[derive(Debug)]
pub struct Tracker<M> {
    waiting: VecDeque<Asked<M>>,
    prepared: Texts,
    portals: Texts,
    /// Whether values stand behind texts.
    values: bool,
    /// The client's, as the server told it last.
    charset: Charset,
    /// An extended step failed: what is asked up to the next Sync is skipped.
    skipping: bool,
    copying: Copying,
    /// Rows that came since the last answer.
    rows: u64,
    /// Bytes of the texts that wait.
    bytes: usize,
    /// The client has said goodbye: what it asked before is still to be done.
    parted: bool,
}

#[derive(Debug)]
enum Asked<M> {
    Parse {
        name: Vec<u8>,
        text: Text,
        types: Types,
        mark: M,
    },
    Bind {
        portal: Vec<u8>,
        text: Text,
        /// Bytes of values in the text, the rest of which the prepared statement has.
        own: usize,
        mark: M,
    },
    Describe {
        /// The prepared statement whose types the answer tells, where they are wanted.
        statement: Option<Vec<u8>>,
    },
    Close {
        portal: bool,
        name: Vec<u8>,
    },
    Execute {
        text: Text,
        mark: M,
    },
    /// The client's end of data, which has no answer of its own.
    CopyEnd,
    Sync,
    /// Answered by any number of results, and then by ReadyForQuery.
    Whole {
        text: Text,
        mark: M,
        rows: Option<u64>,
        error: Option<String>,
        /// The results that came, and whether prepared statements came or went by one.
        results: usize,
        prepares: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copying {
    No,
    /// The server waits for data.
    In,
    /// The client has sent all of it.
    Sent,
}

impl<M> Default for Tracker<M> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            prepared: Texts::default(),
            portals: Texts::default(),
            values: false,
            charset: Charset::default(),
            skipping: false,
            copying: Copying::No,
            rows: 0,
            bytes: 0,
            parted: false,
        }
    }
}

impl<M: Clone> Tracker<M> {
    /// Texts have the values that are bound to them behind them.
    #[must_use]
    pub fn with_values(self, values: bool) -> Self {
        Self { values, ..self }
    }

    #[must_use]
    pub fn with_charset(self, charset: Charset) -> Self {
        Self { charset, ..self }
    }

    /// Whether so much waits for answers that no more should be asked.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING
    }

    /// Whether nothing waits for an answer.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the server is to answer: something waits for it, and it does not wait for data itself.
    pub fn is_awaited(&self) -> bool {
        !self.is_idle() && self.copying != Copying::In
    }

    /// Whether the client has said goodbye, so that the end is its own, whoever closes first.
    pub fn has_parted(&self) -> bool {
        self.parted
    }

    /// Whether something goes on for a client that did not say goodbye after asking for it.
    pub fn is_cut_short(&self) -> bool {
        !self.waiting.is_empty() && !self.parted
    }

    /// Takes out the statements that have begun and are not answered to their end. Nobody has told how
    /// they went but for those that have failed; `why` stands for that.
    pub fn unanswered(&mut self, why: &str) -> Vec<Done<M>> {
        let mut left = Vec::new();
        while let Some(asked) = self.pop() {
            let (mark, text, error) = match asked {
                Asked::Execute { text, mark } => (mark, text, None),
                Asked::Whole { text, mark, error, .. } => (mark, text, error),
                Asked::Parse { .. }
                | Asked::Bind { .. }
                | Asked::Describe { .. }
                | Asked::Close { .. }
                | Asked::CopyEnd
                | Asked::Sync => continue,
            };
            let error = Some(error.unwrap_or_else(|| why.to_owned()));
            left.push(Done { mark, text, rows: None, error });
        }
        left
    }

    /// Takes a message of the client's. `Some`: with it begins a statement.
    pub fn client(
        &mut self,
        message: Message<'_>,
        mark: impl FnOnce() -> M,
    ) -> Result<Option<(Text, M)>, Fault> {
        let Message { kind, body, .. } = message;
        if self.copying == Copying::In {
            return self.client_copies(kind).map(|()| None);
        }
        let asked = match kind {
            b'Q' => Asked::whole(self.kept(self.text_of(body, message.length)), mark()),
            b'F' => {
                let oid = body.first_chunk().ok_or(Fault::Body('F'))?;
                let text = format!("function call {}", u32::from_be_bytes(*oid));
                Asked::whole(Text::from(text), mark())
            }
            b'P' => {
                let (name, rest) = named(body, 'P')?;
                let behind = message.length - (body.len() - rest.len());
                let text = self.kept(self.text_of(rest, behind));
                let types = match split_text(rest) {
                    Some((_, types)) if self.values => values::types(types),
                    Some(_) | None => Types::default(),
                };
                Asked::Parse { name: name.to_vec(), text, types, mark: mark() }
            }
            b'B' => {
                let (portal, rest) = named(body, 'B')?;
                let (statement, rest) = named(rest, 'B')?;
                let (prepared, types) = self.statement(statement);
                let text = self.executed(&prepared, &types, rest);
                let own = text.text.len().saturating_sub(prepared.text.len());
                Asked::Bind { portal: portal.to_vec(), text, own, mark: mark() }
            }
            b'E' => {
                let (portal, _) = named(body, 'E')?;
                Asked::Execute { text: self.portal(portal), mark: mark() }
            }
            b'C' => {
                let (what, name) = body.split_first().ok_or(Fault::Body('C'))?;
                let (name, _) = named(name, 'C')?;
                Asked::Close { portal: *what == b'P', name: name.to_vec() }
            }
            b'D' => Asked::Describe { statement: self.described_by(body)? },
            b'S' => Asked::Sync,
            b'c' | b'f' => Asked::CopyEnd,
            b'X' => {
                self.parted = true;
                return Ok(None);
            }
            // Data out of place is skipped by the server, and the rest has no answer.
            _ => return Ok(None),
        };
        Ok(self.ask(asked))
    }

    /// While the server waits for data there is nothing else to say.
    fn client_copies(&mut self, kind: u8) -> Result<(), Fault> {
        match kind {
            b'c' | b'f' => self.copying = Copying::Sent,
            // A server skips Flush and Sync meanwhile.
            b'd' | b'H' | b'S' | b'X' => {}
            other => return Err(Fault::Copying(char::from(other))),
        }
        Ok(())
    }

    fn ask(&mut self, asked: Asked<M>) -> Option<(Text, M)> {
        let begun = match &asked {
            Asked::Execute { text, mark } | Asked::Whole { text, mark, .. } => {
                Some((text.clone(), mark.clone()))
            }
            Asked::Parse { .. }
            | Asked::Bind { .. }
            | Asked::Describe { .. }
            | Asked::Close { .. }
            | Asked::CopyEnd
            | Asked::Sync => None,
        };
        let skipped = self.skipping && !matches!(asked, Asked::Sync);
        self.skipping = skipped;
        // Out of place where nothing is copied, and then without an answer.
        let stray = matches!(asked, Asked::CopyEnd) && self.waiting.is_empty();
        if skipped || stray {
            return None;
        }
        self.bytes += asked.size();
        self.waiting.push_back(asked);
        begun
    }

    /// Takes a message of the server's.
    pub fn server(
        &mut self,
        message: Message<'_>,
        mut event: impl FnMut(Event<M>),
    ) -> Result<(), Fault> {
        let Message { kind, body, .. } = message;
        match kind {
            b'D' => self.rows += 1,
            b'1' => self.parsed(),
            b'2' => self.bound(),
            b'3' => self.closed(),
            b't' => self.told_types(body),
            b'T' | b'n' => self.described(),
            b'C' => self.complete(tag(body), tag_rows(body), &mut event),
            b'I' => self.complete(b"", None, &mut event),
            b's' => {
                let rows = Some(self.rows);
                self.complete(b"", rows, &mut event);
            }
            b'E' => self.failed(body, &mut event),
            // Where both copy (replication), the client's side is as where it alone does.
            b'G' | b'W' => self.copies()?,
            b'S' => self.told(body, &mut event),
            b'Z' => self.ready(body.first() == Some(&b'I'), &mut event),
            _ => {}
        }
        Ok(())
    }

    /// A setting is so now.
    fn told(&mut self, body: &[u8], event: &mut impl FnMut(Event<M>)) {
        match setting(body) {
            Some((b"application_name", name)) => {
                let name = &name[..name.len().min(LONGEST_CLIENT)];
                event(Event::Named(String::from_utf8_lossy(name).into_owned()));
            }
            Some((b"client_encoding", name)) => self.charset = charset::named(name),
            Some(_) | None => {}
        }
    }

    fn parsed(&mut self) {
        if let Some(Asked::Parse { name, text, types, .. }) =
            self.take(|asked| matches!(asked, Asked::Parse { .. }))
        {
            self.prepared.put(name, text, types);
        }
    }

    fn bound(&mut self) {
        if let Some(Asked::Bind { portal, text, .. }) =
            self.take(|asked| matches!(asked, Asked::Bind { .. }))
        {
            self.portals.put(portal, text, Types::default());
        }
    }

    fn closed(&mut self) {
        if let Some(Asked::Close { portal, name }) =
            self.take(|asked| matches!(asked, Asked::Close { .. }))
        {
            let texts = if portal { &mut self.portals } else { &mut self.prepared };
            texts.remove(&name);
        }
    }

    /// The first half of what describes a prepared statement.
    fn told_types(&mut self, body: &[u8]) {
        self.settle();
        if let Some(Asked::Describe { statement: Some(name) }) = self.waiting.front() {
            self.prepared.tell(name, values::types(body));
        }
    }

    fn described(&mut self) {
        drop(self.take(|asked| matches!(asked, Asked::Describe { .. })));
    }

    fn complete(&mut self, tag: &[u8], told: Option<u64>, event: &mut impl FnMut(Event<M>)) {
        self.copying = Copying::No;
        self.rows = 0;
        self.settle();
        if matches!(tag, b"DEALLOCATE ALL" | b"DISCARD ALL") {
            self.prepared.clear_named();
        }
        let of_prepared = matches!(tag, b"PREPARE" | b"DEALLOCATE");
        if let Some(Asked::Whole { rows, results, prepares, .. }) = self.waiting.front_mut() {
            *results += 1;
            *prepares |= of_prepared;
            *rows = match (*rows, told) {
                (Some(before), Some(told)) => Some(before.saturating_add(told)),
                (before, told) => before.or(told),
            };
        } else if let Some(Asked::Execute { text, mark }) =
            self.take(|asked| matches!(asked, Asked::Execute { .. }))
        {
            if of_prepared {
                self.says(&text);
            }
            event(Event::Done(Done { mark, text, rows: told, error: None }));
        }
    }

    /// A `PREPARE` or a `DEALLOCATE` has been carried out.
    fn says(&mut self, done: &Text) {
        match sql::says(&done.text) {
            Some(Says::Prepare { name, text }) => {
                let text = Text { text: text.into(), cut: done.cut };
                self.prepared.put(name.into(), text, Types::default());
            }
            Some(Says::Deallocate { name }) => self.prepared.remove(name.as_bytes()),
            None => {}
        }
    }

    fn failed(&mut self, body: &[u8], event: &mut impl FnMut(Event<M>)) {
        let code = field(body, b'C').unwrap_or_default();
        let told = String::from_utf8_lossy(&code[..code.len().min(SQLSTATE)]).into_owned();
        self.copying = Copying::No;
        self.rows = 0;
        self.settle();
        match self.waiting.front_mut() {
            Some(Asked::Whole { error, .. }) => {
                error.get_or_insert(told);
                return;
            }
            // Of no statement: the end of a transaction, or of the server.
            Some(Asked::Sync) | None => return,
            Some(_) => {}
        }
        if let Some(asked) = self.pop() {
            if let Asked::Parse { text, mark, .. }
            | Asked::Bind { text, mark, .. }
            | Asked::Execute { text, mark } = asked
            {
                event(Event::Done(Done { mark, text, rows: None, error: Some(told) }));
            }
            self.skip();
        }
    }

    /// Forgets what is skipped: all up to the next Sync.
    fn skip(&mut self) {
        self.skipping = true;
        while let Some(asked) = self.waiting.front() {
            match asked {
                Asked::Sync => {
                    self.skipping = false;
                    break;
                }
                Asked::Parse { .. }
                | Asked::Bind { .. }
                | Asked::Describe { .. }
                | Asked::Close { .. }
                | Asked::Execute { .. }
                | Asked::Whole { .. }
                | Asked::CopyEnd => drop(self.pop()),
            }
        }
    }

    /// The server waits for data. What the client had sent ahead of that is read as data.
    fn copies(&mut self) -> Result<(), Fault> {
        self.copying = Copying::In;
        while let Some(ahead) = self.waiting.get(1) {
            match ahead {
                Asked::Sync => drop(self.waiting.remove(1)),
                Asked::CopyEnd => {
                    drop(self.waiting.remove(1));
                    self.copying = Copying::Sent;
                    break;
                }
                Asked::Parse { .. } => return Err(Fault::Copying('P')),
                Asked::Bind { .. } => return Err(Fault::Copying('B')),
                Asked::Describe { .. } => return Err(Fault::Copying('D')),
                Asked::Close { .. } => return Err(Fault::Copying('C')),
                Asked::Execute { .. } => return Err(Fault::Copying('E')),
                Asked::Whole { .. } => return Err(Fault::Copying('Q')),
            }
        }
        Ok(())
    }

    fn ready(&mut self, idle: bool, event: &mut impl FnMut(Event<M>)) {
        (self.skipping, self.copying, self.rows) = (false, Copying::No, 0);
        while let Some(asked) = self.pop() {
            match asked {
                Asked::Sync => break,
                Asked::Whole { text, mark, rows, error, results, prepares } => {
                    // It takes the unnamed ones' place.
                    self.prepared.remove(b"");
                    self.portals.remove(b"");
                    match prepares {
                        true if results == 1 && error.is_none() => self.says(&text),
                        true => self.prepared.doubt(&text),
                        false => {}
                    }
                    event(Event::Done(Done { mark, text, rows, error }));
                    break;
                }
                Asked::Parse { .. }
                | Asked::Bind { .. }
                | Asked::Describe { .. }
                | Asked::Close { .. }
                | Asked::Execute { .. }
                | Asked::CopyEnd => {}
            }
        }
        if idle {
            self.portals.clear();
        }
    }

    /// The first that waits, if it is of this kind.
    fn take(&mut self, kind: impl Fn(&Asked<M>) -> bool) -> Option<Asked<M>> {
        self.settle();
        if self.waiting.front().is_some_and(kind) { self.pop() } else { None }
    }

    /// Forgets ends of data that nobody waited for.
    fn settle(&mut self) {
        while matches!(self.waiting.front(), Some(Asked::CopyEnd)) {
            drop(self.pop());
        }
    }

    fn pop(&mut self) -> Option<Asked<M>> {
        let asked = self.waiting.pop_front()?;
        self.bytes -= asked.size();
        Some(asked)
    }

    /// What a prepared statement is, as it will be when what is asked so far was done.
    fn statement(&self, wanted: &[u8]) -> (Text, Types) {
        let ahead = self.waiting.iter().rev().find_map(|asked| match asked {
            Asked::Parse { name, text, types, .. } if name == wanted => {
                Some((text.clone(), types.clone()))
            }
            _ => None,
        });
        ahead.unwrap_or_else(|| self.prepared.get(wanted, "prepared statement"))
    }

    /// The text of a prepared statement, with the values that are bound to it now.
    fn executed(&self, prepared: &Text, types: &Types, bound: &[u8]) -> Text {
        match self.values && self.bytes < ROOM {
            true => values::bound(bound, types, self.charset).behind(prepared),
            false => prepared.clone(),
        }
    }

    /// The prepared statement that a Describe names, where its types are wanted.
    fn described_by(&self, body: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match body.split_first() {
            Some((b'S', name)) if self.values => {
                named(name, 'D').map(|(name, _)| Some(name.to_vec()))
            }
            _ => Ok(None),
        }
    }

    fn portal(&self, wanted: &[u8]) -> Text {
        let ahead = self.waiting.iter().rev().find_map(|asked| match asked {
            Asked::Bind { portal, text, .. } if portal == wanted => Some(text.clone()),
            _ => None,
        });
        ahead.unwrap_or_else(|| self.portals.get(wanted, "portal").0)
    }

    /// A text of which `there` is the beginning, in a body of this length.
    fn text_of(&self, there: &[u8], length: usize) -> Text {
        let (shown, whole) = match split_text(there) {
            Some((text, _)) => (text, text.len()),
            None => (there, length.saturating_sub(1)),
        };
        self.charset.text(shown, whole, LONGEST_TEXT)
    }

    /// A text as long as there is room for it.
    fn kept(&self, text: Text) -> Text {
        if self.bytes < ROOM { text } else { text.cut_at(CROWDED) }
    }
}

impl<M> Asked<M> {
    fn whole(text: Text, mark: M) -> Self {
        Self::Whole { text, mark, rows: None, error: None, results: 0, prepares: false }
    }

    /// What it takes of the room for texts.
    fn size(&self) -> usize {
        match self {
            Self::Parse { name, text, .. } => name.len() + text.text.len(),
            Self::Whole { text, .. } => text.text.len(),
            Self::Bind { portal, own, .. } => portal.len() + own,
            Self::Close { name, .. } => name.len(),
            Self::Describe { statement } => statement.as_ref().map_or(0, Vec::len),
            // Shares the text of what it executes.
            Self::Execute { .. } | Self::CopyEnd | Self::Sync => 0,
        }
    }
}

fn named(body: &[u8], kind: char) -> Result<(&[u8], &[u8]), Fault> {
    let found = split_text(body).filter(|(name, _)| name.len() <= LONGEST_NAME);
    found.ok_or(Fault::Body(kind))
}

/// What a server calls a command that it has carried out.
fn tag(body: &[u8]) -> &[u8] {
    split_text(body).map_or(body, |(tag, _)| tag)
}

/// The rows of a command's tag: `SELECT 5`, `INSERT 0 5`.
fn tag_rows(body: &[u8]) -> Option<u64> {
    str::from_utf8(tag(body)).ok()?.rsplit_once(' ')?.1.parse().ok()
}

/// The longest text that is kept, in bytes.
pub const LONGEST_TEXT: usize = 64 * 1024;
/// A server cuts names at 63 bytes; pipelines may have some longer.
const LONGEST_NAME: usize = 1024;
const LONGEST_CLIENT: usize = 256;
const SQLSTATE: usize = 5;
/// A server sends what it has once that is some kilobytes, of 5 bytes at least each.
const WAITING: usize = 4096;

#[cfg(test)]
#[path = "track_tests.rs"]
mod tests;
