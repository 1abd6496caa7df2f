//! What was asked, and where in its answer the server is. Pure.
//!
//! One thing is asked at a time. Texts of prepared statements are resolved when they are executed,
//! and several statements in one message are told apart by their results.

pub use database::Event;
use database::{Charset, Done, Text};

use crate::charset;
use crate::lex::{self, Lexer, Seen};
use crate::proto::{self, Command, Reader, capability, status};
use crate::scan::{Fault, Message};
use crate::texts::Texts;
use crate::values::Parameters;

/// Follows one connection after its login. `M` is what its owner remembers of a statement.
#[derive(Debug)]
pub struct Tracker<M> {
    deprecate_eof: bool,
    /// Whether a message may have several statements.
    several: bool,
    /// What the server said last of its own.
    status: u16,
    /// Whether it has failed since: then it may be another one.
    has_failed: bool,
    stage: Stage,
    asked: Asked<M>,
    prepared: Texts,
    /// Whether values stand behind texts.
    values: bool,
    /// The client's, and the one it came with.
    charset: Charset,
    first_charset: Charset,
    /// Rows that came in the result that is under way.
    rows: u64,
}

/// Who is to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Client,
    Server,
    /// The client, with a file.
    File,
}

/// Where in an answer the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is none.
    Idle,
    /// Its first message is to come: OK, an error, or how many columns there are.
    First,
    Columns(u64),
    ColumnsEnd,
    Rows,
    /// What describes a prepared statement: so many messages, and an end where ends have messages.
    Described {
        parameters: u64,
        columns: u64,
        end: bool,
    },
    /// Columns without a number before them.
    Fields,
    /// A text.
    Word,
    File,
}

#[derive(Debug)]
enum Asked<M> {
    Nothing,
    /// Answered by OK, an end or an error; at OK something is so.
    Plain(Then),
    Statements(Statements<M>),
    Prepare {
        text: Text,
        mark: M,
    },
}

#[derive(Debug)]
enum Then {
    Nothing,
    Several(bool),
    Reset,
}

/// What one message has the server carry out.
#[derive(Debug)]
struct Statements<M> {
    text: Text,
    /// Where each begins, and what is remembered of it.
    parts: Vec<(usize, M)>,
    /// The one whose result comes.
    at: usize,
    rows: Option<u64>,
    loads_local: bool,
    /// Its rows are to be fetched, if the server says so.
    cursor: bool,
    opens: Option<String>,
    /// The charset of what the client says afterwards.
    charset: Option<Charset>,
}

impl<M: Clone> Tracker<M> {
    /// Of a connection with these capabilities at both ends.
    pub fn new(capabilities: u32) -> Self {
        Self {
            deprecate_eof: capabilities & capability::DEPRECATE_EOF != 0,
            several: capabilities & capability::MULTI_STATEMENTS != 0,
            status: status::AUTOCOMMIT,
            has_failed: false,
            stage: Stage::Idle,
            asked: Asked::Nothing,
            prepared: Texts::default(),
            values: false,
            charset: Charset::default(),
            first_charset: Charset::default(),
            rows: 0,
        }
    }

    /// Texts have the values that are bound to them behind them.
    #[must_use]
    pub fn with_values(self, values: bool) -> Self {
        Self { values, ..self }
    }

    /// Of a client that came with the charset of this collation.
    #[must_use]
    pub fn with_collation(self, number: u8) -> Self {
        let charset = charset::of_collation(number);
        Self { charset, first_charset: charset, ..self }
    }

    /// In which the client's texts are.
    pub fn charset(&self) -> Charset {
        self.charset
    }

    /// What the server said when it let its client in.
    #[must_use]
    pub fn agreed(self, body: &[u8]) -> Self {
        let status = proto::done(body).map_or(self.status, |done| done.status);
        Self { status, ..self }
    }

    /// Reads what is asked next.
    pub fn lexer(&self) -> Lexer {
        Lexer::new(self.plain_backslash()).unsure(self.has_failed)
    }

    /// Whether a backslash in a text is a character like others.
    pub fn plain_backslash(&self) -> bool {
        self.status & status::NO_BACKSLASH_ESCAPES != 0
    }

    /// The status of what is answered now in the server's place.
    pub fn status(&self) -> u16 {
        self.status & !status::MORE_RESULTS
    }

    /// Whether nothing waits for an answer.
    pub fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    /// Takes out the statements that have begun and whose results have not all come. Nobody has told
    /// how they went; `why` stands for that.
    pub fn unanswered(&mut self, why: &str) -> Vec<Done<M>> {
        let asked = std::mem::replace(&mut self.asked, Asked::Nothing);
        self.over();
        let Asked::Statements(asked) = asked else { return Vec::new() };
        asked.left(why)
    }

    /// Forgets what belonged to the user before. The one there is now came with this collation, and was let
    /// in with this.
    pub fn changed(&mut self, collation: u8, agreed: &[u8]) {
        self.prepared = Texts::default();
        self.status = proto::done(agreed).map_or(status::AUTOCOMMIT, |done| done.status);
        self.has_failed = false;
        self.first_charset = charset::of_collation(collation);
        self.charset = self.first_charset;
    }

    /// Takes a message of the client's that goes on. What it has the server carry out is returned,
    /// with a mark for each statement.
    pub fn client(
        &mut self,
        message: Message<'_>,
        seen: &Seen,
        mut mark: impl FnMut() -> M,
    ) -> Result<Vec<(Text, M)>, Fault> {
        let (byte, body) = message.body.split_first().ok_or(Fault::Empty)?;
        let command = Command::of(*byte).ok_or(Fault::Command(*byte))?;
        let cut_short = || Fault::Body(*byte);
        if !self.is_idle() {
            return Err(Fault::Turn);
        }
        let (charset, length) = (self.charset, message.length - 1);
        let told = |text: String, stage, mark: M| (Statements::one(text.into(), mark), stage);
        let (statements, stage) = match command {
            Command::Quit | Command::CloseStatement | Command::LongData => {
                if command == Command::CloseStatement {
                    self.prepared.remove(Reader(body).u32().ok_or_else(cut_short)?);
                }
                if self.values && command == Command::LongData {
                    self.goes_ahead(body);
                }
                return Ok(Vec::new());
            }
            Command::Query => {
                let text = text_of(charset, body, length);
                (self.statements(text, body, seen, &mut mark), Stage::First)
            }
            Command::Execute => {
                let id = Reader(body).u32().ok_or_else(cut_short)?;
                let text = self.bound(id, body);
                let mut statements = Statements::one(text, mark());
                statements.cursor = body.get(4).is_some_and(|flags| *flags != 0);
                (statements, Stage::First)
            }
            Command::Prepare => {
                let text = text_of(charset, body, length);
                return self.plain(Asked::Prepare { text, mark: mark() }, Stage::First);
            }
            Command::InitDb => {
                let mut statements = Statements::one(named("use", charset, body).into(), mark());
                statements.opens = Some(text_of(charset, body, length).text.to_string());
                (statements, Stage::First)
            }
            Command::SetOption => {
                let option = Reader(body).u16().ok_or_else(cut_short)?;
                return self.plain(Asked::Plain(Then::Several(option == 0)), Stage::First);
            }
            Command::ResetConnection => {
                return self.plain(Asked::Plain(Then::Reset), Stage::First);
            }
            Command::Ping | Command::ResetStatement => {
                if let (Command::ResetStatement, Some(id)) = (command, Reader(body).u32())
                    && let Some(parameters) = self.prepared.parameters(id)
                {
                    parameters.reset();
                }
                return self.plain(Asked::Plain(Then::Nothing), Stage::First);
            }
            Command::Fetch => return self.plain(Asked::Plain(Then::Nothing), Stage::Rows),
            Command::FieldList => return self.plain(Asked::Plain(Then::Nothing), Stage::Fields),
            Command::Statistics => return self.plain(Asked::Plain(Then::Nothing), Stage::Word),
            Command::ProcessInfo => told("(list of processes)".into(), Stage::First, mark()),
            Command::ProcessKill => {
                let id = Reader(body).u32().ok_or_else(cut_short)?;
                told(format!("(kill {id})"), Stage::First, mark())
            }
            Command::CreateDb => {
                told(named("create database", charset, body), Stage::First, mark())
            }
            Command::DropDb => told(named("drop database", charset, body), Stage::First, mark()),
            Command::Refresh => told("(refresh)".into(), Stage::First, mark()),
            Command::Shutdown => told("(shutdown)".into(), Stage::First, mark()),
            Command::Debug => told("(debug)".into(), Stage::First, mark()),
            // The door's own to answer.
            Command::ChangeUser | Command::Replication => return Err(Fault::Command(*byte)),
        };
        let begun = statements.begun();
        self.asked = Asked::Statements(statements);
        (self.stage, self.rows) = (stage, 0);
        Ok(begun)
    }

    /// The text of a prepared statement, with the values that are bound to it now.
    fn bound(&mut self, id: u32, body: &[u8]) -> Text {
        let text = self.prepared.get(id);
        if !self.values {
            return text;
        }
        match self.prepared.parameters(id) {
            Some(parameters) => parameters.read(body, self.charset).behind(&text),
            None => text,
        }
    }

    fn goes_ahead(&mut self, body: &[u8]) {
        let mut reader = Reader(body);
        if let (Some(id), Some(parameter)) = (reader.u32(), reader.u16())
            && let Some(parameters) = self.prepared.parameters(id)
        {
            parameters.goes_ahead(parameter);
        }
    }

    fn plain(&mut self, asked: Asked<M>, stage: Stage) -> Result<Vec<(Text, M)>, Fault> {
        (self.asked, self.stage, self.rows) = (asked, stage, 0);
        Ok(Vec::new())
    }

    /// What the text of `body` has the server carry out.
    fn statements(
        &self,
        text: Text,
        body: &[u8],
        seen: &Seen,
        mark: &mut impl FnMut() -> M,
    ) -> Statements<M> {
        let mut places = self.charset.places(body);
        let mut place = |at: &usize| places(*at);
        let opens = seen.uses.last().map(&mut place).and_then(|at| lex::used(&text.text, at));
        let sets = seen.charset.as_ref().map(&mut place);
        let sets = sets.and_then(|at| lex::charset(&text.text, at)).map(charset::named);
        let mut statements = Statements::one(text, mark());
        (statements.opens, statements.charset) = (opens, sets);
        statements.loads_local = seen.loads_local;
        // What is cut does not say where statements begin; nor does a call say how many results it has.
        if self.several && statements.text.cut == 0 && !seen.calls {
            let text = statements.text.text.clone();
            let begins =
                |start: &usize| text.get(*start..).is_some_and(|rest| !rest.trim().is_empty());
            let more = seen.starts.iter().skip(1).map(&mut place).filter(begins);
            statements.parts.extend(more.map(|start| (start, mark())));
        }
        statements
    }

    /// Takes a message of the server's, and says who speaks next.
    pub fn server(
        &mut self,
        message: Message<'_>,
        mut event: impl FnMut(Event<M>),
    ) -> Result<Turn, Fault> {
        let first = *message.body.first().ok_or(Fault::Empty)?;
        if first == 0xff && !matches!(self.stage, Stage::Idle | Stage::Word | Stage::File) {
            self.failed(message.body, &mut event);
            return Ok(Turn::Client);
        }
        match self.stage {
            Stage::Idle | Stage::File => return Err(Fault::Turn),
            Stage::Word => self.over(),
            Stage::First => return self.answered(first, message, &mut event),
            Stage::Columns(left) => {
                self.stage = match left {
                    0 | 1 if self.deprecate_eof => Stage::Rows,
                    0 | 1 => Stage::ColumnsEnd,
                    left => Stage::Columns(left - 1),
                };
            }
            Stage::ColumnsEnd => {
                let status = proto::end(message.body).ok_or(Fault::Answer(first))?;
                self.stage = Stage::Rows;
                if self.is_cursor(status) {
                    self.result(status, None, &mut event);
                }
            }
            Stage::Rows if self.is_end(message) => {
                let status = self.ended(message).ok_or(Fault::Answer(first))?;
                let rows = (!self.is_cursor(status)).then_some(self.rows);
                self.result(status, rows, &mut event);
            }
            Stage::Rows => self.rows += 1,
            Stage::Fields if self.is_end(message) => self.over(),
            Stage::Fields => {}
            Stage::Described { parameters, columns, end } => {
                self.described(first, parameters, columns, end)?;
            }
        }
        Ok(if self.is_idle() { Turn::Client } else { Turn::Server })
    }

    /// The first message of an answer, or of one of several results.
    fn answered(
        &mut self,
        first: u8,
        message: Message<'_>,
        event: &mut impl FnMut(Event<M>),
    ) -> Result<Turn, Fault> {
        let wrong = Fault::Answer(first);
        if let (0x00, Asked::Prepare { .. }) = (first, &self.asked) {
            return self.prepared(message.body).ok_or(wrong);
        }
        match first {
            0x00 => {
                let done = proto::done(message.body).ok_or(wrong)?;
                self.result(done.status, Some(done.affected), event);
            }
            0xfe if self.is_end(message) => {
                let status = self.ended(message).ok_or(wrong)?;
                self.result(status, None, event);
            }
            0xfb => {
                let Asked::Statements(asked) = &self.asked else { return Err(wrong) };
                let file = self.charset.decode(&message.body[1..], false);
                let is_named = file.is_some_and(|file| names(&asked.text.text, &file));
                if !asked.loads_local || !is_named {
                    return Err(Fault::File);
                }
                self.stage = Stage::File;
                return Ok(Turn::File);
            }
            _ => {
                if !matches!(self.asked, Asked::Statements(_)) {
                    return Err(wrong);
                }
                let mut reader = Reader(message.body);
                let columns = reader.number().filter(|count| (1..=MOST_COLUMNS).contains(count));
                let columns = columns.filter(|_| reader.0.is_empty()).ok_or(wrong)?;
                (self.stage, self.rows) = (Stage::Columns(columns), 0);
            }
        }
        Ok(if self.is_idle() { Turn::Client } else { Turn::Server })
    }

    /// The client has sent its file.
    pub fn file_sent(&mut self) {
        if self.stage == Stage::File {
            self.stage = Stage::First;
        }
    }

    fn prepared(&mut self, body: &[u8]) -> Option<Turn> {
        let mut reader = Reader(body);
        reader.u8()?;
        let id = reader.u32()?;
        let (columns, parameters) = (reader.u16()?, reader.u16()?);
        if let Asked::Prepare { text, .. } = std::mem::replace(&mut self.asked, Asked::Nothing) {
            self.prepared.put(id, text, Parameters::new(parameters));
        }
        self.describe(parameters.into(), columns.into());
        Some(if self.is_idle() { Turn::Client } else { Turn::Server })
    }

    fn describe(&mut self, parameters: u64, columns: u64) {
        match (parameters, columns) {
            (0, 0) => self.over(),
            _ => self.stage = Stage::Described { parameters, columns, end: false },
        }
    }

    fn described(
        &mut self,
        first: u8,
        parameters: u64,
        columns: u64,
        end: bool,
    ) -> Result<(), Fault> {
        if end {
            if first != 0xfe {
                return Err(Fault::Answer(first));
            }
            self.describe(0, columns);
            return Ok(());
        }
        let left = if parameters > 0 { (parameters - 1, columns) } else { (0, columns - 1) };
        let ends = !self.deprecate_eof
            && (left.0 == 0 && parameters > 0 || left.1 == 0 && parameters == 0);
        if ends {
            self.stage = Stage::Described { parameters: 0, columns: left.1, end: true };
        } else {
            self.describe(left.0, left.1);
        }
        Ok(())
    }

    /// Whether a message is the end of rows, which no row is: one that begins so is longer.
    fn is_end(&self, message: Message<'_>) -> bool {
        let most = if self.deprecate_eof { 0xff_ffff } else { 9 };
        message.body.first() == Some(&0xfe) && message.length < most
    }

    /// Whether rows are to be fetched. Cursors of procedures show in the status of others' results.
    fn is_cursor(&self, status: u16) -> bool {
        let asked = matches!(&self.asked, Asked::Statements(asked) if asked.cursor);
        asked && status & status::CURSOR != 0
    }

    fn ended(&self, message: Message<'_>) -> Option<u16> {
        if self.deprecate_eof {
            return proto::done(message.body).map(|done| done.status);
        }
        proto::end(message.body)
    }

    /// A result has come to its end.
    fn result(&mut self, status: u16, rows: Option<u64>, event: &mut impl FnMut(Event<M>)) {
        (self.status, self.has_failed) = (status, false);
        let more = status & status::MORE_RESULTS != 0;
        let asked = std::mem::replace(&mut self.asked, Asked::Nothing);
        self.asked = match asked {
            Asked::Statements(mut asked) => {
                asked.result(rows, more, event);
                self.charset = asked.charset.filter(|_| !more).unwrap_or(self.charset);
                Asked::Statements(asked)
            }
            Asked::Plain(Then::Several(several)) => {
                self.several = several;
                Asked::Nothing
            }
            Asked::Plain(Then::Reset) => {
                (self.prepared, self.charset) = (Texts::default(), self.first_charset);
                Asked::Nothing
            }
            Asked::Plain(Then::Nothing) | Asked::Prepare { .. } | Asked::Nothing => Asked::Nothing,
        };
        if more {
            (self.stage, self.rows) = (Stage::First, 0);
        } else {
            self.over();
        }
    }

    fn failed(&mut self, body: &[u8], event: &mut impl FnMut(Event<M>)) {
        let number = proto::failure(body).map_or(UNKNOWN, |failure| failure.number);
        let error = number.to_string();
        match std::mem::replace(&mut self.asked, Asked::Nothing) {
            Asked::Statements(asked) => asked.failed(error, event),
            Asked::Prepare { text, mark } => {
                event(Event::Done(Done { mark, text, rows: None, error: Some(error) }));
            }
            Asked::Plain(_) | Asked::Nothing => {}
        }
        self.has_failed = true;
        self.over();
    }

    fn over(&mut self) {
        (self.stage, self.asked, self.rows) = (Stage::Idle, Asked::Nothing, 0);
    }
}

impl<M: Clone> Statements<M> {
    fn one(text: Text, mark: M) -> Self {
        Self {
            text,
            parts: vec![(0, mark)],
            at: 0,
            rows: None,
            loads_local: false,
            cursor: false,
            opens: None,
            charset: None,
        }
    }

    fn begun(&self) -> Vec<(Text, M)> {
        let texts = (0..self.parts.len()).map(|at| self.part(at, at + 1));
        texts.zip(&self.parts).map(|(text, (_, mark))| (text, mark.clone())).collect()
    }

    /// The text from one statement to before another, or to the end.
    fn part(&self, from: usize, to: usize) -> Text {
        if self.parts.len() == 1 {
            return self.text.clone();
        }
        let end = self.parts.get(to).map_or(self.text.text.len(), |(start, _)| *start);
        let start = self.parts.get(from).map_or(end, |(start, _)| *start);
        let text = self.text.text.get(start..end).unwrap_or_default().trim();
        let text = if to < self.parts.len() { text.trim_end_matches(';') } else { text };
        Text { text: text.into(), cut: 0 }
    }

    /// A result ends: that of the next statement, unless there are more results than statements.
    fn result(&mut self, rows: Option<u64>, more: bool, event: &mut impl FnMut(Event<M>)) {
        self.rows = match (self.rows, rows) {
            (Some(before), Some(rows)) => Some(before.saturating_add(rows)),
            (before, rows) => before.or(rows),
        };
        let last = self.at + 1 >= self.parts.len();
        if more && last {
            return;
        }
        let to = if more { self.at + 1 } else { self.parts.len() };
        self.tell(to, None, event);
        self.at += 1;
        if let Some(name) = self.opens.take_if(|_| !more) {
            event(Event::Opened(name));
        }
    }

    /// What follows the one that failed is not carried out, and told with it.
    fn failed(mut self, error: String, event: &mut impl FnMut(Event<M>)) {
        self.rows = None;
        self.tell(self.parts.len(), Some(error), event);
    }

    /// Each that has no result yet, for all of them may be carried out.
    fn left(self, why: &str) -> Vec<Done<M>> {
        let left = self.begun().into_iter().skip(self.at);
        let error = || Some(why.to_owned());
        left.map(|(text, mark)| Done { mark, text, rows: None, error: error() }).collect()
    }

    fn tell(&mut self, to: usize, error: Option<String>, event: &mut impl FnMut(Event<M>)) {
        let text = self.part(self.at, to);
        let rows = self.rows.take();
        if let Some((_, mark)) = self.parts.get(self.at) {
            event(Event::Done(Done { mark: mark.clone(), text, rows, error }));
        }
    }
}

/// What a message asks, for who is told that it does not go on.
pub(crate) fn asked(message: Message<'_>, charset: Charset) -> Text {
    let (byte, body) = message.body.split_first().unwrap_or((&0, b""));
    match Command::of(*byte) {
        Some(Command::Query | Command::Prepare) => {
            text_of(charset, body, message.length.saturating_sub(1))
        }
        Some(Command::InitDb) => named("use", charset, body).into(),
        Some(Command::ProcessKill) => {
            format!("(kill {})", Reader(body).u32().unwrap_or_default()).into()
        }
        Some(Command::Replication) => "(binlog dump)".to_owned().into(),
        _ => format!("(command {byte})").into(),
    }
}

/// A text of which `there` is the beginning, of this length.
fn text_of(charset: Charset, there: &[u8], length: usize) -> Text {
    charset.text(there, length, LONGEST_TEXT)
}

fn named(what: &str, charset: Charset, name: &[u8]) -> String {
    let name = &name[..name.len().min(LONGEST_NAME)];
    format!("({what} {})", charset.text(name, name.len(), LONGEST_TEXT).text)
}

/// Whether a statement names this file, as it is or with backslashes before some characters.
fn names(statement: &str, file: &str) -> bool {
    let mut escaped = false;
    let plain = statement.chars().filter(|c| {
        escaped = *c == '\\' && !escaped;
        !escaped
    });
    !file.is_empty() && (statement.contains(file) || plain.collect::<String>().contains(file))
}

/// The longest text that is kept, in bytes.
pub const LONGEST_TEXT: usize = 64 * 1024;
const LONGEST_NAME: usize = 256;
/// `ER_UNKNOWN_ERROR`, of an error that says no number.
const UNKNOWN: u16 = 1105;
/// More than a table can have.
const MOST_COLUMNS: u64 = 0xffff;

#[cfg(test)]
#[path = "track_tests.rs"]
mod tests;
