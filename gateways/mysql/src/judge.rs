//! Looks at what a client asks, and says what becomes of it.

use std::sync::Arc;

use database::{Charset, Mark, Text};

use crate::accounts::Own;
use crate::lex::{Lexer, Seen, killed, used};
use crate::proto::{self, Change, Command, QUERY, Reader, Told};
use crate::pump::Talk;
use crate::scan::{Fault, Message, Step};
use crate::threads::{Known, Thread};
use crate::track::{Tracker, asked};
use crate::words;

/// What becomes of some bytes of the client's.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// They go on; more is to come.
    On,
    /// They go on, and with them the server carries this out.
    Last(Vec<(Text, Mark)>),
    /// A message of ours goes on instead.
    Instead(Vec<(Text, Mark)>, Vec<u8>),
    /// A message of ours is carried out as this account, elsewhere.
    As(Vec<(Text, Mark)>, Vec<u8>, Arc<Own>),
    /// They do not go on; this is what was asked.
    Refuse(Text, Told),
    Change(Box<Change>),
    /// They go on, and it is over.
    Quit,
}

/// One question that is coming in.
pub(crate) struct Asking {
    command: Option<(u8, Command)>,
    lexer: Lexer,
    is_long: bool,
}

impl Asking {
    pub(crate) fn new(lexer: Lexer) -> Self {
        Self { command: None, lexer, is_long: false }
    }

    /// Looks at what has come; `None`: more is needed. So many bytes are judged.
    pub(crate) fn look(&mut self, talk: &mut Talk) -> Result<Option<(usize, Verdict)>, Fault> {
        let Talk { client, tracker, known, databases, files, .. } = talk;
        let Some(step) = client.step(0)? else { return Ok(None) };
        let Step { count, piece, message } = step;
        let command = self.read(piece, message.is_none())?;
        let Some(message) = message else { return Ok(Some((count, Verdict::On))) };
        let lexer = std::mem::replace(&mut self.lexer, Lexer::new(false));
        let seen = match command {
            Command::Query | Command::Prepare => lexer.end(),
            _ => Seen::default(),
        };
        let (databases, is_long) = (databases.as_deref(), self.is_long);
        let rules = Rules { known, databases, files: *files, is_long };
        let verdict = rules.judge(command, message, &seen, tracker)?;
        Ok(Some((count, verdict)))
    }

    /// Reads a piece of it. What may reach beyond is held back as long as it is not known whole.
    fn read(&mut self, piece: &[u8], more: bool) -> Result<Command, Fault> {
        let mut text = piece;
        let (byte, command) = match self.command {
            Some(known) => known,
            None => {
                let (byte, rest) = piece.split_first().ok_or(Fault::Empty)?;
                text = rest;
                let command = Command::of(*byte).ok_or(Fault::Command(*byte))?;
                *self.command.insert((*byte, command))
            }
        };
        self.is_long |= more;
        if self.is_long && !command.may_be_long() {
            return Err(Fault::Body(byte));
        }
        if matches!(command, Command::Query | Command::Prepare) {
            self.lexer.feed(text);
            let Seen { kill, hidden, .. } = self.lexer.seen();
            if self.is_long && (kill.is_some() || hidden.kill) {
                return Err(Fault::Reach);
            }
        }
        Ok(command)
    }
}

struct Rules<'a> {
    known: &'a Known,
    databases: Option<&'a [String]>,
    /// Whether files of the client's may be loaded.
    files: bool,
    is_long: bool,
}

impl Rules<'_> {
    fn judge(
        &self,
        command: Command,
        message: Message<'_>,
        seen: &Seen,
        tracker: &mut Tracker<Mark>,
    ) -> Result<Verdict, Fault> {
        let body = message.body.get(1..).unwrap_or_default();
        match command {
            Command::Quit => return Ok(Verdict::Quit),
            Command::Replication => {
                return Ok(refuse(message, tracker.charset(), words::no_replication()));
            }
            Command::ChangeUser => {
                let change = proto::change(body, u32::MAX).map_err(|_| Fault::Body(0x11))?;
                return Ok(Verdict::Change(Box::new(change)));
            }
            Command::InitDb if !self.may_open(tracker.charset().decode(body, false).as_deref()) => {
                return Ok(refuse(message, tracker.charset(), words::other_database()));
            }
            Command::ProcessKill => return self.kill(message, seen, tracker),
            Command::Query | Command::Prepare => {
                if seen.hidden.kill {
                    return Ok(refuse(message, tracker.charset(), words::foreign_kill()));
                }
                if seen.kill.is_some() {
                    return self.kill_by_text(message, seen, tracker);
                }
                if let Some(refused) = self.uses(message, seen, tracker.charset())? {
                    return Ok(refused);
                }
                // Of a long one the server has the beginning already, and refuses it.
                if seen.loads_local && !self.files && !self.is_long {
                    return Ok(refuse(message, tracker.charset(), words::no_files()));
                }
            }
            Command::InitDb
            | Command::FieldList
            | Command::CreateDb
            | Command::DropDb
            | Command::Refresh
            | Command::Shutdown
            | Command::Statistics
            | Command::ProcessInfo
            | Command::Debug
            | Command::Ping
            | Command::Execute
            | Command::LongData
            | Command::CloseStatement
            | Command::ResetStatement
            | Command::SetOption
            | Command::Fetch
            | Command::ResetConnection => {}
        }
        Ok(Verdict::Last(tracker.client(message, seen, Mark::now)?))
    }

    /// Whether databases are opened that the grant does not name, in any reading of the text. What is
    /// no name is none.
    fn uses(
        &self,
        message: Message<'_>,
        seen: &Seen,
        charset: Charset,
    ) -> Result<Option<Verdict>, Fault> {
        let uses = || seen.uses.iter().chain(&seen.hidden.uses);
        if self.databases.is_none() || uses().next().is_none() {
            return Ok(None);
        }
        if self.is_long {
            return Err(Fault::Reach);
        }
        let body = message.body.get(1..).unwrap_or_default();
        let text = charset.decode(body, false);
        let mut places = charset.places(body);
        let mut opened = uses().map(|at| used(text.as_deref()?, places(*at)));
        let all = opened.all(|name| name.is_some_and(|name| self.may_open(Some(&name))));
        Ok((!all).then(|| refuse(message, charset, words::other_database())))
    }

    fn may_open(&self, name: Option<&str>) -> bool {
        let Some(databases) = self.databases else { return true };
        name.is_some_and(|name| databases.iter().any(|known| known == name))
    }

    fn kill(
        &self,
        message: Message<'_>,
        seen: &Seen,
        tracker: &mut Tracker<Mark>,
    ) -> Result<Verdict, Fault> {
        let (byte, body) = message.body.split_first().ok_or(Fault::Empty)?;
        let number = Reader(body).u32().ok_or(Fault::Body(*byte))?;
        let Some(theirs) = self.known.sibling(number.into()) else {
            return Ok(refuse(message, tracker.charset(), words::foreign_kill()));
        };
        let instead = [&[*byte][..], &theirs.server.to_le_bytes()].concat();
        self.killing(theirs, instead, true, seen, tracker)
    }

    /// A `KILL` goes on with the server's number in it, where it is plain which one it means.
    fn kill_by_text(
        &self,
        message: Message<'_>,
        seen: &Seen,
        tracker: &mut Tracker<Mark>,
    ) -> Result<Verdict, Fault> {
        let refused = || Ok(refuse(message, tracker.charset(), words::foreign_kill()));
        let (byte, body) = message.body.split_first().ok_or(Fault::Empty)?;
        let (Ok(text), Some(kill)) = (str::from_utf8(body), seen.kill) else { return refused() };
        let Some(digits) = killed(text, kill) else { return refused() };
        let number = text[digits.clone()].parse().ok();
        let Some(theirs) = number.and_then(|number| self.known.sibling(number)) else {
            return refused();
        };
        let (before, behind) = (&text[..digits.start], &text[digits.end..]);
        let number = theirs.server;
        let instead = [&[*byte][..], format!("{before}{number}{behind}").as_bytes()].concat();
        let mut more = seen.starts.iter().skip(1);
        let alone = *byte == QUERY
            && more.all(|at| text.get(*at..).is_none_or(|rest| rest.trim().is_empty()));
        self.killing(theirs, instead, alone, seen, tracker)
    }

    /// A session's own account can be killed by nobody else's, so what only kills is done as that one.
    fn killing(
        &self,
        theirs: Thread,
        instead: Vec<u8>,
        alone: bool,
        seen: &Seen,
        tracker: &mut Tracker<Mark>,
    ) -> Result<Verdict, Fault> {
        let elsewhere = alone && !self.known.is(&theirs);
        let begun = tracker.client(of(&instead), seen, Mark::now)?;
        Ok(match theirs.own.filter(|_| elsewhere) {
            Some(own) => Verdict::As(begun, instead, own),
            None => Verdict::Instead(begun, instead),
        })
    }
}

fn refuse(message: Message<'_>, charset: Charset, told: Told) -> Verdict {
    Verdict::Refuse(asked(message, charset), told)
}

fn of(body: &[u8]) -> Message<'_> {
    Message { body, length: body.len() }
}

#[cfg(test)]
mod tests {
    use access::ApplicationId;
    use uuid::Uuid;

    use super::*;
    use crate::threads::Threads;

    #[test]
    fn what_does_not_go_on_is_told_by_what_was_asked() {
        let threads = Arc::<Threads>::default();
        let (user, application) = ("alice".parse().unwrap(), ApplicationId(Uuid::nil()));
        let known =
            threads.know(threads.give(), Thread { user, application, server: 7, own: None });
        let databases = ["orders".to_owned()];
        let rules =
            Rules { known: &known, databases: Some(&databases), files: false, is_long: false };
        let refused = |body: &[u8]| {
            let mut lexer = Lexer::new(false);
            lexer.feed(&body[1..]);
            let (command, mut tracker) = (Command::of(body[0]).unwrap(), Tracker::new(0));
            match rules.judge(command, of(body), &lexer.end(), &mut tracker) {
                Ok(Verdict::Refuse(text, told)) => Some((text.text.to_string(), told.number)),
                _ => None,
            }
        };
        let told = |text: &str, number| Some((text.to_owned(), number));
        assert_eq!(refused(b"\x03use other"), told("use other", 1044));
        assert_eq!(refused(b"\x02other"), told("(use other)", 1044));
        assert_eq!(refused(b"\x03kill 5"), told("kill 5", 1095));
        assert_eq!(refused(b"\x0c\x05\0\0\0"), told("(kill 5)", 1095));
        assert_eq!(refused(b"\x12\0"), told("(binlog dump)", 1235));
        let load = "load data local infile 'a' into table t";
        assert_eq!(refused(format!("\x03{load}").as_bytes()), told(load, 1148));
        assert_eq!(refused(b"\x03use orders"), None);
        // However a server reads it.
        let hidden = "select 1 /*M!999999 ' */; use other; -- '";
        assert_eq!(refused(format!("\x03{hidden}").as_bytes()), told(hidden, 1044));
        let hidden = "select 1 as \"a\\\"; kill 5; -- \"";
        assert_eq!(refused(format!("\x16{hidden}").as_bytes()), told(hidden, 1095));
        assert_eq!(
            refused(b"\x03select '\xbf\\'; use other; -- '"),
            told("select '\\xbf\\'; use other; -- '", 1044)
        );
        let both = "/*!50000 */ use orders; select \"a\\\" \\\"; use orders; -- \"";
        assert_eq!(refused(format!("\x03{both}").as_bytes()), None);
        // Other bytes in the client's charset are another name.
        let databases = ["é".to_owned()];
        let rules = Rules { databases: Some(&databases), ..rules };
        for (name, passes) in [(&b"\xe9"[..], true), ("é".as_bytes(), false)] {
            let mut tracker = Tracker::new(0).with_collation(8);
            let body = [b"\x02", name].concat();
            let judged =
                rules.judge(Command::InitDb, of(&body), &Seen::default(), &mut tracker).unwrap();
            assert_eq!(matches!(judged, Verdict::Last(_)), passes, "{name:?}");
        }
    }
}
