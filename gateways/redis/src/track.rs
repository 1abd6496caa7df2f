//! Which replies belong to which commands, and what the door answers itself. Pure.
//!
//! A server answers in order, so what was asked waits in a queue for its answer. What the door
//! answers itself has its turn in that queue: in its place goes a command to the server that does
//! nothing but fail, and the failure is exchanged for the answer.

use std::collections::VecDeque;

use database::Text;

use crate::commands::{Does, Name, Refusal, Topic, does, roams, text};
use crate::proto::{Command, Fate, Fault, HELD, Part, Secret, Secrets, integer};
use crate::reply::Seen;

/// Follows one connection after its login. `M` is what its owner remembers of a command.
#[derive(Debug)]
pub struct Tracker<M> {
    waiting: VecDeque<Asked<M>>,
    /// A long command that has begun.
    long: Option<(Name, Does, M)>,
    /// Of the protocol that the server speaks.
    version: u8,
    /// Between MULTI and EXEC, as the client sees it.
    transaction: bool,
    /// Where EXEC will have led.
    chosen: Option<u32>,
    monitors: bool,
    /// Whether texts have values.
    values: bool,
    /// It has said QUIT.
    left: bool,
    /// Of the reply that is under way.
    hidden: bool,
    subscribed: Subscribed,
    database: u32,
    /// Which databases may be selected; `None`: any.
    allowed: Option<Vec<u32>>,
    /// Bytes of the texts that wait.
    bytes: usize,
    /// The login that is sent again behind a RESET.
    login: Secret,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<M> {
    pub mark: M,
    pub text: Text,
    pub elements: Option<u64>,
    /// The first word of why it failed.
    pub error: Option<String>,
    /// The database that was selected when it was carried out.
    pub database: u32,
}

/// What is told of a command when it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun<M> {
    /// It waits for its reply.
    Waits(Text, M),
    /// So many wait that nothing will be told of this one any more.
    Unfollowed(Text, M),
}

/// What the server's replies told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<M> {
    Done(Done<M>),
    /// The client calls itself so now.
    Named(String),
}

/// Who wants to be somebody else, or the same again, in a command's arguments.
#[derive(Debug)]
pub enum Ask {
    Auth(Secrets),
    Hello(Secrets),
}

/// What becomes of a reply's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    Pass,
    /// This goes to the client instead.
    Instead(Vec<u8>),
}

#[derive(Debug)]
enum Asked<M> {
    Command {
        text: Text,
        mark: M,
        then: Then,
    },
    /// Commands that nobody waits for the end of.
    Many(u64),
    /// The server fails at what stands for it, and the client is told this.
    Ours {
        answer: Vec<u8>,
        /// The command that is refused so, where one is.
        refused: Option<(Text, M)>,
    },
    /// A login of ours, of which the client is told nothing.
    Login,
}

/// What follows when a command is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Then {
    Nothing,
    Version(u8),
    Reset,
    Select(u32),
    Executed,
    Discarded,
    /// So many acknowledgements end it.
    Subscribes(Topic, u64),
    /// As many as there are subscriptions end it.
    UnsubscribesAll(Topic),
    Unsubscribes(Topic, u64),
    Monitors,
    Named(String),
}

/// How many subscriptions there are, by topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Subscribed {
    channels: u64,
    patterns: u64,
    shards: u64,
}

impl<M: Clone> Tracker<M> {
    /// `login` is what makes the server know us again; `allowed` the databases that may be selected.
    pub fn new(version: u8, login: Secret, allowed: Option<Vec<u32>>) -> Self {
        Self {
            waiting: VecDeque::new(),
            long: None,
            version,
            transaction: false,
            chosen: None,
            monitors: false,
            values: false,
            left: false,
            hidden: false,
            subscribed: Subscribed::default(),
            database: 0,
            allowed,
            bytes: 0,
            login,
        }
    }

    /// Texts have all that is said, but for what may be passwords.
    #[must_use]
    pub fn with_values(self, values: bool) -> Self {
        Self { values, ..self }
    }

    /// Whether so much waits for answers that no more should be asked.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= MOST
    }

    /// Whether nothing waits for an answer.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the client has taken leave: that the server then closes is the client's end.
    pub fn has_left(&self) -> bool {
        self.left
    }

    pub fn database(&self) -> u32 {
        self.database
    }

    /// Takes out the commands that have no reply yet, but for those of which nobody waits for the
    /// end. Nobody has told how they went but for what the door refused; `why` stands for that.
    pub fn unanswered(&mut self, why: &str) -> Vec<Done<M>> {
        let (mut left, database) = (Vec::new(), self.database);
        while let Some(asked) = self.pop() {
            let (text, mark, error) = match asked {
                Asked::Command { text, mark, .. } => (text, mark, why.to_owned()),
                Asked::Ours { answer, refused: Some((text, mark)) } => {
                    (text, mark, code_of(&answer))
                }
                Asked::Ours { refused: None, .. } | Asked::Many(_) | Asked::Login => continue,
            };
            left.push(Done { mark, text, elements: None, error: Some(error), database });
        }
        left
    }

    /// Takes a command of the client's. Says what becomes of it, and what is told of it.
    pub fn client(
        &mut self,
        command: &Command<'_>,
        mark: impl FnOnce() -> M,
        mut begun: impl FnMut(Begun<M>),
        refused: impl FnOnce(Refusal) -> Vec<u8>,
        ask: &mut Option<Ask>,
    ) -> Result<Fate, Fault> {
        if command.part == Part::Tail {
            if let Some((name, does, mark)) = self.long.take() {
                self.asks(&name, does, command, mark, &mut begun);
            }
            return Ok(Fate::Pass);
        }
        let name = Name::of(command.name());
        let does = does(&name, command);
        if let Some(why) = self.refusal(&name, does, command) {
            self.refuses(&name, command, mark(), refused(why), &mut begun);
            return Ok(Fate::Instead(FAILS.to_vec()));
        }
        if matches!(does, Does::Auth | Does::Hello) {
            // Whole or not, as the pieces came.
            if command.part == Part::Head || command.args().map(<[u8]>::len).sum::<usize>() > HELD {
                return Err(Fault::Long);
            }
            let args = Secrets::of(command);
            *ask = Some(if does == Does::Auth { Ask::Auth(args) } else { Ask::Hello(args) });
            return Ok(Fate::Stop(Vec::new()));
        }
        if command.part == Part::Head {
            self.long = Some((name, does, mark()));
            return Ok(Fate::Pass);
        }
        self.left |= name.as_str() == "QUIT";
        self.asks(&name, does, command, mark(), &mut begun);
        if does == Does::Reset {
            self.push(Asked::Login);
            let mut both = Vec::new();
            crate::proto::command(&mut both, &[b"RESET"]);
            both.extend_from_slice(self.login.bytes());
            return Ok(Fate::Instead(both));
        }
        Ok(Fate::Pass)
    }

    fn refusal(&self, name: &Name, does: Does, command: &Command<'_>) -> Option<Refusal> {
        let elsewhere = |allowed: &Vec<u32>| match does {
            Does::Select => !chosen(command).is_some_and(|number| allowed.contains(&number)),
            _ => roams(name, command),
        };
        if self.allowed.as_ref().is_some_and(elsewhere) {
            return Some(Refusal::Database);
        }
        match does {
            Does::Refused(why) => Some(why),
            Does::Auth
            | Does::Hello
            | Does::Subscribe(_)
            | Does::Unsubscribe(_)
            | Does::Monitor
                if self.transaction =>
            {
                Some(Refusal::InTransaction)
            }
            Does::Ask
            | Does::Auth
            | Does::Hello
            | Does::Reset
            | Does::Select
            | Does::Multi
            | Does::Exec
            | Does::Discard
            | Does::Subscribe(_)
            | Does::Unsubscribe(_)
            | Does::Monitor
            | Does::ClientName => None,
        }
    }

    /// A command does not go on.
    fn refuses(
        &mut self,
        name: &Name,
        command: &Command<'_>,
        mark: M,
        answer: Vec<u8>,
        begun: &mut impl FnMut(Begun<M>),
    ) {
        let text = self.text(name, command);
        let refused = if self.waiting.len() >= FOLLOWED {
            begun(Begun::Unfollowed(text, mark));
            None
        } else {
            begun(Begun::Waits(text.clone(), mark.clone()));
            Some((text, mark))
        };
        self.push(Asked::Ours { answer, refused });
    }

    /// As much of a command as there is room for.
    fn text(&self, name: &Name, command: &Command<'_>) -> Text {
        let most = if self.bytes < ROOM { LONGEST_TEXT } else { CROWDED };
        text(name, command, most, self.values)
    }

    /// A command goes on.
    fn asks(
        &mut self,
        name: &Name,
        does: Does,
        command: &Command<'_>,
        mark: M,
        begun: &mut impl FnMut(Begun<M>),
    ) {
        let text = self.text(name, command);
        let topics = (command.count - 1) as u64;
        let then = match does {
            Does::Reset => Then::Reset,
            Does::Select => chosen(command).map_or(Then::Nothing, Then::Select),
            Does::Exec => Then::Executed,
            Does::Discard => Then::Discarded,
            Does::Subscribe(topic) => Then::Subscribes(topic, topics),
            Does::Unsubscribe(topic) if topics == 0 => Then::UnsubscribesAll(topic),
            Does::Unsubscribe(topic) => Then::Unsubscribes(topic, topics),
            Does::Monitor => Then::Monitors,
            Does::ClientName => Then::Named(named(command)),
            Does::Multi | Does::Ask | Does::Auth | Does::Hello | Does::Refused(_) => Then::Nothing,
        };
        match does {
            Does::Multi => self.transaction = true,
            Does::Exec | Does::Discard | Does::Reset => self.transaction = false,
            Does::Ask
            | Does::Auth
            | Does::Hello
            | Does::Select
            | Does::Subscribe(_)
            | Does::Unsubscribe(_)
            | Does::Monitor
            | Does::ClientName
            | Does::Refused(_) => {}
        }
        if then == Then::Nothing && self.waiting.len() >= FOLLOWED {
            begun(Begun::Unfollowed(text, mark));
            match self.waiting.back_mut() {
                Some(Asked::Many(many)) => *many += 1,
                Some(_) | None => self.waiting.push_back(Asked::Many(1)),
            }
        } else {
            begun(Begun::Waits(text.clone(), mark.clone()));
            self.push(Asked::Command { text, mark, then });
        }
    }

    /// The door answers for the server. What goes to the server in its place.
    pub fn answer(&mut self, answer: Vec<u8>) -> &'static [u8] {
        self.push(Asked::Ours { answer, refused: None });
        FAILS
    }

    /// A HELLO goes to the server, for this version.
    pub fn hello(&mut self, version: u8, mark: M) {
        let then = if version == 0 { Then::Nothing } else { Then::Version(version) };
        let text = Text { text: "HELLO".into(), cut: 0 };
        self.push(Asked::Command { text, mark, then });
    }

    fn push(&mut self, asked: Asked<M>) {
        self.bytes += asked.size();
        self.waiting.push_back(asked);
    }

    /// A reply of this kind begins. Whether it is one that the client is not to see.
    pub fn begins(&mut self, kind: u8) -> bool {
        // Nothing else that a server says unasked begins like an answer to those.
        let answers = matches!(kind, b'-' | b'+');
        let monitored = self.monitors && kind == b'+';
        let ours = matches!(self.waiting.front(), Some(Asked::Ours { .. } | Asked::Login));
        self.hidden = ours && answers && !monitored;
        self.hidden
    }

    /// Takes a reply of the server's. Says what becomes of it.
    pub fn server(&mut self, seen: &Seen, event: impl FnMut(Event<M>)) -> Result<Turn, Fault> {
        if self.acknowledged(seen) {
            return Ok(self.settle(event));
        }
        if self.is_unasked(seen) {
            return Ok(Turn::Pass);
        }
        let hidden = std::mem::take(&mut self.hidden);
        match self.waiting.front_mut() {
            Some(Asked::Many(many)) => {
                *many -= 1;
                if *many == 0 {
                    self.pop();
                }
                Ok(Turn::Pass)
            }
            Some(Asked::Ours { .. }) if hidden => Ok(self.exchanged(event)),
            // A server that does not know us any more carries out nothing that follows.
            Some(Asked::Login) if hidden && !seen.is_error() => {
                self.pop();
                Ok(Turn::Instead(Vec::new()))
            }
            // Said before that was asked, as by a server that closes.
            Some(Asked::Ours { .. } | Asked::Login) if !hidden && seen.is_error() => Ok(Turn::Pass),
            Some(Asked::Ours { .. } | Asked::Login) => Err(Fault::Unasked),
            Some(Asked::Command { .. }) => {
                self.answered(seen, event);
                Ok(Turn::Pass)
            }
            // What a server says before it closes.
            None if seen.is_error() => Ok(Turn::Pass),
            None => Err(Fault::Unasked),
        }
    }

    /// The server has failed at what stood for a command, and the client is told what is ours.
    fn exchanged(&mut self, mut event: impl FnMut(Event<M>)) -> Turn {
        let Some(Asked::Ours { answer, refused }) = self.pop() else { return Turn::Pass };
        if let Some((text, mark)) = refused {
            let (database, error) = (self.database, Some(code_of(&answer)));
            event(Event::Done(Done { mark, text, elements: None, error, database }));
        }
        Turn::Instead(answer)
    }

    /// Whether it is a message, and no answer.
    fn is_unasked(&self, seen: &Seen) -> bool {
        let message = matches!(seen.text.as_slice(), b"message" | b"pmessage" | b"smessage");
        match seen.kind {
            b'>' => true,
            b'*' => self.version == 2 && self.subscribed.any() && message,
            b'+' => self.monitors && is_monitored(&seen.text),
            _ => false,
        }
    }

    /// Takes an acknowledgement of a subscription or its end.
    fn acknowledged(&mut self, seen: &Seen) -> bool {
        let shaped = seen.kind == b'>' || (seen.kind == b'*' && self.version == 2);
        let Some((topic, on)) = Topic::acknowledged(&seen.text).filter(|_| shaped) else {
            return false;
        };
        let unasked = seen.kind == b'>' || self.subscribed.any();
        let left = match self.waiting.front_mut() {
            Some(Asked::Command { then: Then::Subscribes(own, left), .. }) if on => {
                (*own == topic).then_some(left)
            }
            Some(Asked::Command { then: Then::Unsubscribes(own, left), .. }) if !on => {
                (*own == topic).then_some(left)
            }
            Some(Asked::Command { then, .. }) if !on => match then {
                Then::UnsubscribesAll(own) if *own == topic => {
                    *then = Then::Unsubscribes(topic, self.subscribed.of(topic).max(1));
                    match then {
                        Then::Unsubscribes(_, left) => Some(left),
                        _ => None,
                    }
                }
                _ => None,
            },
            Some(_) | None => None,
        };
        if left.is_none() && !unasked {
            return false;
        }
        if let Some(left) = left {
            *left = left.saturating_sub(1);
        }
        self.subscribed.acknowledged(topic, seen.number);
        true
    }

    /// Ends the command that waits for acknowledgements, if it has them all.
    fn settle(&mut self, mut event: impl FnMut(Event<M>)) -> Turn {
        if let Some(Asked::Command {
            then: Then::Subscribes(_, 0) | Then::Unsubscribes(_, 0), ..
        }) = self.waiting.front()
            && let Some(Asked::Command { text, mark, .. }) = self.pop()
        {
            let database = self.database;
            event(Event::Done(Done { mark, text, elements: None, error: None, database }));
        }
        Turn::Pass
    }

    /// The first that waits has its reply.
    fn answered(&mut self, seen: &Seen, mut event: impl FnMut(Event<M>)) {
        let Some(Asked::Command { text, mark, then }) = self.pop() else { return };
        let database = self.database;
        let failed = seen.is_error();
        let queued = seen.kind == b'+' && seen.text == b"QUEUED";
        let mut called = None;
        match then {
            Then::Select(number) if queued => self.chosen = Some(number),
            _ if failed || queued => {}
            Then::Version(version) => self.version = version,
            Then::Reset => {
                (self.version, self.monitors, self.database) = (2, false, 0);
                (self.subscribed, self.chosen) = (Subscribed::default(), None);
            }
            Then::Select(number) => self.database = number,
            Then::Executed => {
                let chosen = self.chosen.take().filter(|_| seen.elements.is_some());
                self.database = chosen.unwrap_or(self.database);
            }
            Then::Discarded => self.chosen = None,
            Then::Monitors => self.monitors = true,
            Then::Named(name) => called = Some(name),
            Then::Nothing
            | Then::Subscribes(..)
            | Then::UnsubscribesAll(_)
            | Then::Unsubscribes(..) => {}
        }
        let error = match (failed, &seen.inner) {
            (true, _) => Some(code(&seen.text)),
            (false, Some(inner)) => Some(code(inner)),
            (false, None) => None,
        };
        if let Some(name) = called {
            event(Event::Named(name));
        }
        let elements = seen.elements;
        event(Event::Done(Done { mark, text, elements, error, database }));
    }

    fn pop(&mut self) -> Option<Asked<M>> {
        let asked = self.waiting.pop_front()?;
        self.bytes -= asked.size();
        Some(asked)
    }
}

impl<M> Asked<M> {
    /// What it takes of the room for texts.
    fn size(&self) -> usize {
        match self {
            Self::Command { text, .. } => text.text.len(),
            Self::Ours { answer, refused } => {
                answer.len() + refused.as_ref().map_or(0, |(text, _)| text.text.len())
            }
            Self::Many(_) | Self::Login => 0,
        }
    }
}

impl Subscribed {
    fn any(self) -> bool {
        self.channels + self.patterns + self.shards > 0
    }

    fn of(self, topic: Topic) -> u64 {
        match topic {
            Topic::Channel => self.channels,
            Topic::Pattern => self.patterns,
            Topic::Shard => self.shards,
        }
    }

    /// The server says how many there are now: of channels and patterns together, or of shards.
    fn acknowledged(&mut self, topic: Topic, told: Option<i64>) {
        let now = told.and_then(|told| u64::try_from(told).ok()).unwrap_or(0);
        match topic {
            Topic::Channel => self.channels = now.saturating_sub(self.patterns),
            Topic::Pattern => self.patterns = now.saturating_sub(self.channels),
            Topic::Shard => self.shards = now,
        }
    }
}

fn chosen(command: &Command<'_>) -> Option<u32> {
    u32::try_from(integer(command.arg(1)?)?).ok()
}

fn named(command: &Command<'_>) -> String {
    let name = command.arg(2).unwrap_or_default();
    String::from_utf8_lossy(&name[..name.len().min(LONGEST_CLIENT)]).into_owned()
}

/// `1339518083.107412 [0 127.0.0.1:60866] "keys" "*"`
fn is_monitored(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit) && text.windows(2).any(|pair| pair == b" [")
}

/// The first word of an answer of ours that is an error.
fn code_of(answer: &[u8]) -> String {
    code(answer.strip_prefix(b"-").unwrap_or(answer))
}

/// The first word of an error.
fn code(text: &[u8]) -> String {
    let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let word: Vec<u8> = word.iter().copied().take_while(plain).take(LONGEST_CODE).collect();
    String::from_utf8(word).unwrap_or_default()
}

/// A command that has too few arguments: it fails at once, also within a transaction, which it makes
/// fail as a refused command should.
const FAILS: &[u8] = b"*1\r\n$3\r\nGET\r\n";
/// The longest text that is kept, in bytes.
pub const LONGEST_TEXT: usize = 64 * 1024;
/// So many are told of one by one; a client that asks more before it reads goes on all the same.
const FOLLOWED: usize = 16 * 1024;
/// Beyond this nothing more is asked until there are answers.
const MOST: usize = 64 * 1024;
/// Bytes of texts; beyond, each is cut at so many.
const ROOM: usize = 4 * 1024 * 1024;
const CROWDED: usize = 128;
const LONGEST_CLIENT: usize = 256;
/// The longest of the server's own has ten letters; scripts make others.
const LONGEST_CODE: usize = 32;

#[cfg(test)]
#[path = "track_tests.rs"]
mod tests;
