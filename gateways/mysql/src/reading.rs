//! One way to read a text of SQL.

/// Where a reading is, and what it remembers. Those that are equal go on alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    state: State,
    /// Within a comment that is carried out.
    carried_out: bool,
    word: Word,
    /// Whether the next word is a name: what was no part of a word, space or comment ended so.
    is_name: bool,
    statement: Statement,
}

/// What a byte brought to light.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Step {
    /// The word that ended before it.
    pub(crate) sight: Option<Sight>,
    /// A statement ends with it, and another may follow.
    pub(crate) ends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// `begins`: a statement begins with it. `counts`: it stands where one may begin.
    Kill {
        begins: bool,
        counts: bool,
    },
    Use,
    /// What gives a number of results that nobody can tell.
    Call,
    Local,
    /// What stands behind it is the client's character set.
    Charset,
}

/// Where a server could go on otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A backslash escapes nothing, or does: by `NO_BACKSLASH_ESCAPES`, and within double quotes by
    /// `ANSI_QUOTES`.
    Backslash,
    /// It is the second half of a character, as of gbk, big5 or sjis.
    Half,
    /// The server is too old for what this comment would have it carry out, or another one.
    Skip,
    Comment,
    /// With a comment within it, one that is carried out has ended too.
    Out,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Space,
    Word,
    /// One `-`, or two of them: a comment, if a space follows.
    Dash,
    Dashes,
    /// `/`, `/*` and `/*M`.
    Slash,
    Opened,
    OpenedM,
    /// The version behind `/*!`.
    Version,
    /// A comment, and what could be its end.
    Comment,
    CommentStar,
    /// One that would be carried out elsewhere, which may have others within.
    Skip,
    SkipStar,
    SkipSlash,
    Inner,
    InnerStar,
    Line,
    /// `*` in a comment that is carried out.
    Star,
    Quoted(u8),
    Escaped(u8),
    /// A quote that may be doubled, and then is none.
    Closing(u8),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Statement {
    has_begun: bool,
    verb: Verb,
    /// Its inner statements have ends of their own: what follows is not told apart any more.
    whole: bool,
    /// Behind the `FOR` of a `SET STATEMENT`.
    is_for: bool,
    set: Set,
}

/// Where a `SET` may yet say a character set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Set {
    #[default]
    No,
    Begun,
    Character,
}

/// With what a statement begins, as far as it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Verb {
    #[default]
    Other,
    Begin,
    Define,
    Load,
    Set,
}

/// A word's beginning, in capitals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Word {
    bytes: [u8; LONGEST_WORD],
    length: u8,
}

impl Step {
    pub(crate) fn is_any(&self) -> bool {
        self.ends || self.sight.is_some()
    }
}

impl Turn {
    pub(crate) const ALL: [Self; 5] =
        [Self::Backslash, Self::Half, Self::Skip, Self::Comment, Self::Out];

    /// Whether there may be any at this byte.
    pub(crate) fn may_come_at(byte: u8) -> bool {
        matches!(byte, b'\\' | b'`' | b'!' | b'/')
    }
}

impl Reading {
    /// Reads on.
    #[inline]
    pub(crate) fn step(&mut self, byte: u8, plain_backslash: bool) -> Step {
        let mut step = Step::default();
        self.state = match self.state {
            State::Space => self.plain(byte, &mut step),
            State::Word if is_word(byte) => {
                self.word.push(byte);
                State::Word
            }
            State::Word => {
                step.sight = self.word_ends();
                self.plain(byte, &mut step)
            }
            // Of more of them the last two count.
            State::Dash | State::Dashes if byte == b'-' => State::Dashes,
            State::Dashes if byte.is_ascii_whitespace() || byte.is_ascii_control() => {
                if byte == b'\n' { State::Space } else { State::Line }
            }
            State::Slash if byte == b'*' => State::Opened,
            State::Star if byte == b'/' => {
                self.carried_out = false;
                State::Space
            }
            State::Dash | State::Dashes | State::Slash | State::Star => {
                self.is_name = false;
                self.plain(byte, &mut step)
            }
            State::Opened if byte == b'M' => State::OpenedM,
            State::Opened | State::OpenedM if byte == b'!' => {
                self.carried_out = true;
                State::Version
            }
            State::Version if byte.is_ascii_digit() => State::Version,
            State::Version => self.plain(byte, &mut step),
            State::Opened | State::Comment | State::CommentStar | State::OpenedM => {
                self.comment(byte)
            }
            State::Skip | State::SkipStar | State::SkipSlash | State::Inner | State::InnerStar => {
                self.skip(byte)
            }
            State::Line if byte == b'\n' => State::Space,
            State::Line => State::Line,
            State::Quoted(quote) if byte == quote => State::Closing(quote),
            State::Quoted(quote) if byte == b'\\' && quote != b'`' && !plain_backslash => {
                State::Escaped(quote)
            }
            State::Quoted(quote) | State::Escaped(quote) => State::Quoted(quote),
            State::Closing(quote) if byte == quote => State::Quoted(quote),
            State::Closing(_) => {
                self.is_name = false;
                self.plain(byte, &mut step)
            }
        };
        step
    }

    /// What the text's last word was.
    pub(crate) fn end(&mut self) -> Step {
        let sight = if self.state == State::Word { self.word_ends() } else { None };
        Step { sight, ends: false }
    }

    /// Goes on at this byte in another way than is usual; `None`: there is none. `is_half`: the byte
    /// before may be the first half of a character.
    pub(crate) fn turned(
        mut self,
        byte: u8,
        turn: Turn,
        (plain_backslash, is_unsure): (bool, bool),
        is_half: bool,
    ) -> Option<Self> {
        self.state = match (turn, byte, self.state) {
            (Turn::Backslash, b'\\', State::Quoted(quote @ (b'\'' | b'"'))) => {
                let is_open = is_unsure || quote == b'"' && !plain_backslash;
                let other =
                    if plain_backslash { State::Escaped(quote) } else { State::Quoted(quote) };
                is_open.then_some(other)?
            }
            (Turn::Half, b'\\' | b'`', State::Quoted(_)) if is_half => self.state,
            (Turn::Half, b'`', State::Word) if is_half => {
                self.word.push(byte);
                State::Word
            }
            (Turn::Skip, b'!', State::Opened | State::OpenedM) => State::Skip,
            (Turn::Comment, b'!', State::Opened | State::OpenedM) => State::Comment,
            (Turn::Out, b'/', State::CommentStar | State::SkipStar) if self.carried_out => {
                self.carried_out = false;
                State::Space
            }
            _ => return None,
        };
        Some(self)
    }

    fn comment(&self, byte: u8) -> State {
        match (self.state, byte) {
            (State::CommentStar, b'/') => State::Space,
            (_, b'*') => State::CommentStar,
            _ => State::Comment,
        }
    }

    fn skip(&self, byte: u8) -> State {
        match (self.state, byte) {
            (State::SkipStar, b'/') => State::Space,
            (State::SkipSlash, b'*') => State::Inner,
            (State::InnerStar, b'/') => State::Skip,
            (State::Inner | State::InnerStar, b'*') => State::InnerStar,
            (State::Inner | State::InnerStar, _) => State::Inner,
            (_, b'*') => State::SkipStar,
            (_, b'/') => State::SkipSlash,
            _ => State::Skip,
        }
    }

    /// A byte outside of all comments and quotes.
    #[inline]
    fn plain(&mut self, byte: u8, step: &mut Step) -> State {
        match byte {
            b'\'' | b'"' | b'`' => {
                self.statement.has_begun = true;
                State::Quoted(byte)
            }
            b'#' => State::Line,
            b'-' => State::Dash,
            b'/' => State::Slash,
            b'*' if self.carried_out => State::Star,
            b';' => {
                step.ends = self.ends();
                State::Space
            }
            byte if is_word(byte) => {
                self.word.push(byte);
                State::Word
            }
            byte if byte.is_ascii_whitespace() => State::Space,
            byte => {
                self.is_name = matches!(byte, b'.' | b'@');
                State::Space
            }
        }
    }

    fn ends(&mut self) -> bool {
        let whole = self.statement.whole;
        self.is_name = false;
        // What is begun and has ended at once is a transaction.
        self.statement = Statement { whole, ..Statement::default() };
        !whole
    }

    fn word_ends(&mut self) -> Option<Sight> {
        let word = std::mem::take(&mut self.word);
        let is_name = std::mem::take(&mut self.is_name);
        let Statement { has_begun, whole, is_for, .. } = self.statement;
        (self.statement.has_begun, self.statement.is_for) = (true, false);
        if is_name {
            return None;
        }
        let begins = !has_begun && !whole;
        if begins {
            self.verb(word.as_bytes());
        }
        let (verb, set) = (self.statement.verb, std::mem::take(&mut self.statement.set));
        match (set, word.as_bytes()) {
            (Set::Begun, b"NAMES" | b"CHARSET") | (Set::Character, b"SET") => {
                return Some(Sight::Charset);
            }
            (Set::Begun, b"CHARACTER") => self.statement.set = Set::Character,
            (_, b"SET") if begins => self.statement.set = Set::Begun,
            _ => {}
        }
        match (verb, word.as_bytes()) {
            (Verb::Load, b"LOCAL") => return Some(Sight::Local),
            (Verb::Define, b"BEGIN") | (Verb::Begin, b"NOT") => self.statement.whole = true,
            (Verb::Set, b"FOR") => self.statement.is_for = true,
            (_, b"USE") if !has_begun || is_for => return Some(Sight::Use),
            (_, b"CALL" | b"EXECUTE") if begins => return Some(Sight::Call),
            (_, b"KILL") => {
                let holds = matches!(verb, Verb::Begin | Verb::Define | Verb::Set);
                return Some(Sight::Kill { begins, counts: !has_begun || whole || holds });
            }
            _ => {}
        }
        None
    }

    fn verb(&mut self, word: &[u8]) {
        self.statement.verb = match word {
            b"BEGIN" => Verb::Begin,
            b"CREATE" | b"ALTER" => Verb::Define,
            b"LOAD" => Verb::Load,
            b"SET" => Verb::Set,
            _ => Verb::Other,
        };
        if let b"IF" | b"LOOP" | b"WHILE" | b"REPEAT" | b"FOR" | b"CASE" | b"DECLARE" = word {
            self.statement.whole = true;
        }
    }
}

impl Word {
    fn push(&mut self, byte: u8) {
        if let Some(free) = self.bytes.get_mut(usize::from(self.length)) {
            *free = byte.to_ascii_uppercase();
            self.length += 1;
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

const LONGEST_WORD: usize = 10;
