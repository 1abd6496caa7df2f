//! Looks for a few words in SQL as it passes: where statements begin, and those that reach beyond
//! their own connection or machine. No parser: what a statement may do is the database's to hold.

/// Follows the text of one message.
#[derive(Debug)]
pub struct Lexer {
    /// Whether a backslash is a character like others.
    plain_backslash: bool,
    state: State,
    at: usize,
    /// Within a comment that is carried out.
    carried_out: bool,
    word: Word,
    /// The last character that was no part of a word, space or comment.
    before: u8,
    statement: Statement,
    seen: Seen,
}

/// What was found in a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Where each statement begins.
    pub starts: Vec<usize>,
    /// One of them gives a number of results that nobody can tell.
    pub calls: bool,
    /// Behind each `USE`.
    pub uses: Vec<usize>,
    /// Behind the last `SET NAMES` or `SET CHARACTER SET`.
    pub charset: Option<usize>,
    /// The first `KILL`.
    pub kill: Option<Kill>,
    /// `LOAD DATA LOCAL` or `LOAD XML LOCAL`.
    pub loads_local: bool,
}

/// Where a `KILL` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// A statement begins with it, and this is behind it.
    Plain(usize),
    /// Somewhere within one.
    Within,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
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
    Line,
    /// `*` in a comment that is carried out.
    Star,
    Quoted(u8),
    Escaped(u8),
    /// A quote that may be doubled, and then is none.
    Closing(u8),
}

#[derive(Clone, Copy, Debug, Default)]
struct Statement {
    words: usize,
    verb: Verb,
    /// Its inner statements have ends of their own: what follows is not told apart any more.
    whole: bool,
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
    SetCharacter,
}

/// A word's beginning, in capitals.
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    bytes: [u8; LONGEST_WORD],
    length: usize,
}

impl Lexer {
    /// `plain_backslash`: as the server's status says (`NO_BACKSLASH_ESCAPES`).
    pub fn new(plain_backslash: bool) -> Self {
        Self {
            plain_backslash,
            state: State::Space,
            at: 0,
            carried_out: false,
            word: Word::default(),
            before: 0,
            statement: Statement::default(),
            seen: Seen { starts: vec![0], ..Seen::default() },
        }
    }

    /// Reads on.
    pub fn feed(&mut self, text: &[u8]) {
        for byte in text {
            self.byte(*byte);
            self.at += 1;
        }
    }

    /// What was found so far.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// What was found in all of it.
    pub fn end(mut self) -> Seen {
        if self.state == State::Word {
            self.word_ends();
        }
        self.seen
    }

    fn byte(&mut self, byte: u8) {
        self.state = match self.state {
            State::Space => self.plain(byte),
            State::Word if is_word(byte) => {
                self.word.push(byte);
                State::Word
            }
            State::Word => {
                self.word_ends();
                self.plain(byte)
            }
            State::Dash if byte == b'-' => State::Dashes,
            State::Dashes if byte.is_ascii_whitespace() || byte.is_ascii_control() => State::Line,
            State::Slash if byte == b'*' => State::Opened,
            State::Star if byte == b'/' => {
                self.carried_out = false;
                State::Space
            }
            State::Dash | State::Dashes | State::Slash | State::Star => {
                self.before = b'-';
                self.plain(byte)
            }
            State::Opened if byte == b'M' => State::OpenedM,
            State::Opened | State::OpenedM if byte == b'!' => {
                self.carried_out = true;
                State::Version
            }
            State::Version if byte.is_ascii_digit() => State::Version,
            State::Version => self.plain(byte),
            State::Opened | State::Comment | State::CommentStar | State::OpenedM => {
                match (self.state, byte) {
                    (State::CommentStar, b'/') => State::Space,
                    (_, b'*') => State::CommentStar,
                    _ => State::Comment,
                }
            }
            State::Line if byte == b'\n' => State::Space,
            State::Line => State::Line,
            State::Quoted(quote) if byte == quote => State::Closing(quote),
            State::Quoted(quote) if byte == b'\\' && quote != b'`' && !self.plain_backslash => {
                State::Escaped(quote)
            }
            State::Quoted(quote) | State::Escaped(quote) => State::Quoted(quote),
            State::Closing(quote) if byte == quote => State::Quoted(quote),
            State::Closing(quote) => {
                self.before = quote;
                self.plain(byte)
            }
        };
    }

    /// A byte outside of all comments and quotes.
    fn plain(&mut self, byte: u8) -> State {
        match byte {
            b'\'' | b'"' | b'`' => {
                self.statement.words += 1;
                State::Quoted(byte)
            }
            b'#' => State::Line,
            b'-' => State::Dash,
            b'/' => State::Slash,
            b'*' if self.carried_out => State::Star,
            b';' => {
                self.ends();
                State::Space
            }
            byte if is_word(byte) => {
                self.word = Word::default();
                self.word.push(byte);
                State::Word
            }
            byte if byte.is_ascii_whitespace() => State::Space,
            byte => {
                self.before = byte;
                State::Space
            }
        }
    }

    fn ends(&mut self) {
        self.before = b';';
        if self.statement.whole || self.seen.starts.len() >= MOST_STATEMENTS {
            return;
        }
        // What is begun and has ended at once is a transaction.
        self.statement = Statement::default();
        self.seen.starts.push(self.at + 1);
    }

    fn word_ends(&mut self) {
        let word = self.word;
        let is_name = matches!(self.before, b'.' | b'@');
        self.before = 0;
        let first = self.statement.words == 0;
        self.statement.words += 1;
        if is_name {
            return;
        }
        if first {
            self.verb(word.as_bytes());
        }
        match (self.statement.verb, word.as_bytes()) {
            (_, b"KILL") => {
                let kill = if first { Kill::Plain(self.at) } else { Kill::Within };
                self.seen.kill.get_or_insert(kill);
            }
            (Verb::Load, b"LOCAL") => self.seen.loads_local = true,
            (Verb::Set, b"NAMES" | b"CHARSET") | (Verb::SetCharacter, b"SET") => {
                self.statement.verb = Verb::Other;
                self.seen.charset = Some(self.at);
            }
            (Verb::Set, b"CHARACTER") => self.statement.verb = Verb::SetCharacter,
            (Verb::Set, word) if word != b"SET" => self.statement.verb = Verb::Other,
            (Verb::Define, b"BEGIN") | (Verb::Begin, b"NOT") => self.statement.whole = true,
            _ => {}
        }
    }

    fn verb(&mut self, word: &[u8]) {
        self.statement.verb = match word {
            b"BEGIN" => Verb::Begin,
            b"CREATE" | b"ALTER" => Verb::Define,
            b"LOAD" => Verb::Load,
            b"SET" => Verb::Set,
            _ => Verb::Other,
        };
        match word {
            b"CALL" | b"EXECUTE" => self.seen.calls = true,
            b"USE" => self.seen.uses.push(self.at),
            b"IF" | b"LOOP" | b"WHILE" | b"REPEAT" | b"FOR" | b"CASE" | b"DECLARE" => {
                self.statement.whole = true;
            }
            _ => {}
        }
    }
}

impl Word {
    fn push(&mut self, byte: u8) {
        if let Some(free) = self.bytes.get_mut(self.length) {
            *free = byte.to_ascii_uppercase();
            self.length += 1;
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

/// The connection that a text of one statement ends or interrupts: where its number stands. `None`:
/// it is written in another way than `KILL [HARD | SOFT] [CONNECTION | QUERY] number`.
pub fn killed(text: &str, kill: Kill) -> Option<std::ops::Range<usize>> {
    let Kill::Plain(mut at) = kill else { return None };
    loop {
        let rest = text.get(at..)?;
        let space = rest.len() - rest.trim_start().len();
        let rest = rest.trim_start();
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let word = &rest[..length];
        at += space;
        if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
            let behind = text[at + length..].trim_matches(|c: char| c.is_whitespace() || c == ';');
            return behind.is_empty().then_some(at..at + length);
        }
        let known = ["HARD", "SOFT", "CONNECTION", "QUERY"];
        if !known.iter().any(|known| known.eq_ignore_ascii_case(word)) {
            return None;
        }
        at += length;
    }
}

/// The database that is opened behind a `USE`.
pub fn used(text: &str, behind_use: usize) -> Option<String> {
    let rest = text.get(behind_use..)?.trim_start();
    if let Some(quoted) = rest.strip_prefix('`') {
        let mut name = String::new();
        let mut chars = quoted.chars().peekable();
        while let Some(c) = chars.next() {
            if c == '`' && chars.next_if_eq(&'`').is_none() {
                return Some(name);
            }
            name.push(c);
        }
        return None;
    }
    let ends = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '_' | '$');
    let end = rest.find(ends).unwrap_or(rest.len());
    (end > 0).then(|| rest[..end].to_owned())
}

/// The name of the character set that stands behind a `SET NAMES`.
pub fn charset(text: &str, behind: usize) -> Option<&str> {
    let rest = text.get(behind..)?.trim_start().trim_start_matches(['\'', '"', '`']);
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

const LONGEST_WORD: usize = 10;
/// In one message; the last one has the rest.
const MOST_STATEMENTS: usize = 1000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(text: &str) -> Seen {
        let mut lexer = Lexer::new(false);
        lexer.feed(text.as_bytes());
        lexer.end()
    }

    #[test]
    fn statements_begin_behind_semicolons_that_are_no_text() {
        let table: [(&str, &[usize]); 10] = [
            ("select 1", &[0]),
            ("select 1; select 2", &[0, 9]),
            ("select ';', \";\", `;` /* ; */ -- ;\n # ;\n; x", &[0, 40]),
            ("select 'it''s; ', 'a\\';'; y", &[0, 25]),
            ("select 1--;2", &[0, 11]),
            ("/*!50000 select 1; */ select 2", &[0, 18]),
            ("create procedure p() begin select 1; select 2; end; select 3", &[0]),
            ("begin; select 1; commit", &[0, 6, 16]),
            ("begin not atomic select 1; select 2; end", &[0]),
            ("create table t (a int); select 1", &[0, 23]),
        ];
        for (text, starts) in table {
            assert_eq!(seen(text).starts, starts, "{text}");
        }
    }

    #[test]
    fn a_kill_is_seen_wherever_it_could_be_carried_out() {
        for text in [
            "kill 5",
            "KILL QUERY 5",
            "/* x */ kill 5",
            "/*!50000 kill 5 */",
            "/*M!100100 KILL 5*/",
            "/*!50000kill 5*/",
            "select 1; kill 5",
            "select '\\\\'; kill 5",
            "select 1 -- x\n; kill 5",
            "select 1--1; kill 5",
            "create procedure p() begin kill 5; end",
            "begin not atomic kill 5; end",
        ] {
            assert!(seen(text).kill.is_some(), "{text}");
        }
        for text in [
            "select 'kill 5'",
            "select `kill` from t",
            "select t.kill, @kill from t",
            "-- kill 5\nselect 1",
            "/* kill 5 */ select 1",
            "select skill, killed from t",
            "select 'it\\'s; kill 5'",
        ] {
            assert_eq!(seen(text).kill, None, "{text}");
        }
        let mut lexer = Lexer::new(true);
        lexer.feed(b"select 'a\\'; kill 5; -- '");
        assert!(lexer.end().kill.is_some());
    }

    #[test]
    fn whom_a_kill_means_is_read_where_it_is_plain() {
        let number =
            |text: &str| killed(text, seen(text).kill.unwrap()).map(|range| text[range].to_owned());
        for text in ["kill 5", "KILL QUERY 5;", "/* x */ kill  hard connection\n5 ; "] {
            assert_eq!(number(text).as_deref(), Some("5"), "{text}");
        }
        for text in [
            "kill user bob",
            "kill query id 7",
            "kill ?",
            "kill 5; select 1",
            "kill 5 + 1",
            "kill",
            "create procedure p() kill 5",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn files_and_databases_that_are_opened_are_seen() {
        assert!(seen("load data local infile 'a' into table t").loads_local);
        assert!(seen("/* x */ LOAD XML LOW_PRIORITY LOCAL INFILE 'a' into table t").loads_local);
        assert!(!seen("load data infile 'local' into table t").loads_local);
        assert!(!seen("select local from load_t").loads_local);
        let opened =
            |text: &str| seen(text).uses.iter().map(|at| used(text, *at)).collect::<Vec<_>>();
        assert_eq!(opened("use orders"), [Some("orders".to_owned())]);
        assert_eq!(opened("select 1; USE `a``b`;"), [Some("a`b".to_owned())]);
        assert_eq!(opened("use /* x */ y"), [None]);
        assert!(opened("select 1 from t use index (a)").is_empty());
    }

    #[test]
    fn the_charset_that_is_set_is_seen() {
        let set = |text: &str| {
            let at = seen(text).charset?;
            charset(text, at).map(str::to_owned)
        };
        for text in [
            "set names latin1",
            "SET /* x */ NAMES 'latin1' collate latin1_bin",
            "select 1; set character set latin1",
            "set names gbk; set charset \"latin1\"",
        ] {
            assert_eq!(set(text).as_deref(), Some("latin1"), "{text}");
        }
        for text in [
            "select set, names",
            "set @names = 1",
            "set x = 1, names = 2",
            "set 'names latin1'",
            "set names",
            "create table t (a text character set latin1)",
        ] {
            assert_eq!(set(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(text in "[a-z';`\"/*!# \\\\\n-]{0,80}", piece in 1usize..9) {
            let mut lexer = Lexer::new(false);
            text.as_bytes().chunks(piece).for_each(|piece| lexer.feed(piece));
            prop_assert_eq!(lexer.end(), seen(&text));
        }

        #[test]
        fn starts_are_in_the_text_and_in_order(text in ".{0,200}") {
            let starts = seen(&text).starts;
            prop_assert!(starts.is_sorted() && starts.iter().all(|start| *start <= text.len()));
        }
    }
}
