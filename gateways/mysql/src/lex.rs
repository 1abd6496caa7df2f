//! Looks for a few words in SQL as it passes: where statements begin, and those that reach beyond
//! their own connection or machine. No parser: what a statement may do is the database's to hold.
//!
//! A text is read as the server most likely does. Where it could be read otherwise, by a mode, version
//! or charset that is not known here, those readings are followed beside, for what reaches beyond.

use crate::reading::{Reading, Sight, Step, Turn};

/// Follows the text of one message.
#[derive(Debug)]
pub struct Lexer {
    /// Whether a backslash is a character like others.
    plain_backslash: bool,
    /// Whether that may be otherwise by now.
    is_unsure: bool,
    /// The bytes before, in small letters.
    before: u64,
    at: usize,
    usual: Reading,
    others: Vec<Reading>,
    /// Room for the next ones.
    spare: Vec<Reading>,
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
    /// What only another reading than the usual one finds.
    pub hidden: Hidden,
}

/// What a server finds that reads a text otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    pub kill: bool,
    /// Behind each `USE`; beyond the text where there are too many of them, or too many readings.
    pub uses: Vec<usize>,
}

/// Where a `KILL` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// A statement begins with it, and this is behind it.
    Plain(usize),
    /// Somewhere within one.
    Within,
}

impl Lexer {
    /// `plain_backslash`: as the server's status says (`NO_BACKSLASH_ESCAPES`).
    pub fn new(plain_backslash: bool) -> Self {
        Self {
            plain_backslash,
            is_unsure: false,
            before: 0,
            at: 0,
            usual: Reading::default(),
            others: Vec::new(),
            spare: Vec::new(),
            seen: Seen { starts: vec![0], ..Seen::default() },
        }
    }

    /// Whether the server's status may be another one than it said last.
    #[must_use]
    pub fn unsure(self, is_unsure: bool) -> Self {
        Self { is_unsure, ..self }
    }

    /// Reads on.
    pub fn feed(&mut self, text: &[u8]) {
        for byte in text {
            if self.others.is_empty() && !Turn::may_come_at(*byte) {
                let step = self.usual.step(*byte, self.plain_backslash);
                if step.is_any() {
                    self.seen.note(self.at, &step);
                }
            } else {
                self.every_reading(*byte);
            }
            self.before = self.before << 8 | u64::from(byte.to_ascii_lowercase());
            // A statement that changes how the next one is read, or has a text do it.
            if byte.eq_ignore_ascii_case(&b'e') {
                let changes = self.before == SQL_MODE || self.before & (u64::MAX >> 8) == EXECUTE;
                self.is_unsure |= changes;
            }
            self.at += 1;
        }
    }

    /// What was found so far.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// What was found in all of it.
    pub fn end(mut self) -> Seen {
        self.seen.note(self.at, &self.usual.end());
        for mut other in self.others {
            self.seen.note_hidden(self.at, &other.end());
        }
        self.seen
    }

    fn every_reading(&mut self, byte: u8) {
        let before = self.usual;
        let step = self.usual.step(byte, self.plain_backslash);
        self.seen.note(self.at, &step);
        if !Turn::may_come_at(byte) {
            let Self { others, seen, usual, at, plain_backslash, .. } = self;
            others.retain_mut(|other| {
                let step = other.step(byte, *plain_backslash);
                if step.is_any() {
                    seen.note_hidden(*at, &step);
                }
                other != usual
            });
            return;
        }
        let others = std::mem::take(&mut self.others);
        self.others_of(before, byte);
        for other in &others {
            let mut on = *other;
            let step = on.step(byte, self.plain_backslash);
            self.follow(on, &step);
            self.others_of(*other, byte);
        }
        self.others = std::mem::replace(&mut self.spare, others);
        self.spare.clear();
    }

    /// How a reading could go on otherwise than is usual.
    fn others_of(&mut self, reading: Reading, byte: u8) {
        let (modes, is_half) = ((self.plain_backslash, self.is_unsure), self.before & 0xff > 0x80);
        for turn in Turn::ALL {
            if let Some(on) = reading.turned(byte, turn, modes, is_half) {
                self.follow(on, &Step::default());
            }
        }
    }

    fn follow(&mut self, on: Reading, step: &Step) {
        self.seen.note_hidden(self.at, step);
        if on == self.usual || self.spare.contains(&on) {
            return;
        }
        if self.spare.len() < MOST_READINGS {
            self.spare.push(on);
        } else {
            // A text that nobody writes: it holds whatever it could hold.
            self.seen.hidden.kill = true;
            self.seen.hidden.uses = vec![usize::MAX];
        }
    }
}

impl Seen {
    fn note(&mut self, at: usize, step: &Step) {
        match step.sight {
            Some(Sight::Kill { begins: true, .. }) => {
                self.kill.get_or_insert(Kill::Plain(at));
            }
            Some(Sight::Kill { .. }) => {
                self.kill.get_or_insert(Kill::Within);
            }
            Some(Sight::Use) => {
                if self.uses.len() >= MOST_STATEMENTS {
                    self.uses.pop();
                    self.hidden.uses = vec![usize::MAX];
                }
                self.uses.push(at);
            }
            Some(Sight::Call) => self.calls = true,
            Some(Sight::Local) => self.loads_local = true,
            Some(Sight::Charset) => self.charset = Some(at),
            None => {}
        }
        if step.ends && self.starts.len() < MOST_STATEMENTS {
            self.starts.push(at + 1);
        }
    }

    /// The usual reading has noted what it found here.
    fn note_hidden(&mut self, at: usize, step: &Step) {
        let uses = &mut self.hidden.uses;
        match step.sight {
            Some(Sight::Kill { counts: true, .. }) => {
                self.hidden.kill |= self.kill != Some(Kill::Plain(at));
            }
            Some(Sight::Use) if self.uses.last() != Some(&at) && !uses.contains(&at) => {
                if uses.len() < MOST_HIDDEN { uses.push(at) } else { *uses = vec![usize::MAX] }
            }
            Some(Sight::Kill { .. } | Sight::Use | Sight::Call | Sight::Local | Sight::Charset)
            | None => {}
        }
    }
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

/// In one message; the last one has the rest.
const MOST_STATEMENTS: usize = 1000;
/// That are followed beside the usual one: more than there are for any text that is meant.
const MOST_READINGS: usize = 32;
const MOST_HIDDEN: usize = 64;
const SQL_MODE: u64 = u64::from_be_bytes(*b"sql_mode");
const EXECUTE: u64 = u64::from_be_bytes(*b"\0execute");

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
    fn a_kill_or_a_database_is_seen_whichever_way_a_server_reads_the_text() {
        for (before, behind) in [
            ("select 1 /*M!999999 ' */; ", "; -- '"),
            ("select 1 /*!999999 ' */; ", "; -- '"),
            ("select 1 /*!99999999 /* */; ' */; ", "; -- '"),
            ("/*!999999 @*/ ", ""),
            ("select /*!50000 2 /* */ */* ' */ 1; ", "; -- '"),
            ("select 1 as \"a\\\"; ", "; -- \""),
            ("set sql_mode = 'no_backslash_escapes'; select 'a\\'; ", "; -- '"),
            ("set `SQL_MODE` = ''; select \"a\\\"; ", "; -- \""),
            ("execute immediate concat('set sql', x); select 'a\\'; ", "; -- '"),
            ("select 1 --- '\n1; ", "; -- '"),
            ("set statement max_statement_time = 9 for ", ""),
            (&"do 1;".repeat(MOST_STATEMENTS), ""),
            ("begin not atomic select 1; end; ", ""),
        ] {
            reaches(before.as_bytes(), behind.as_bytes());
        }
        for lead in [0x81, 0x95, 0xbf, 0xfe] {
            reaches(&[b"select '", &[lead][..], b"\\'; "].concat(), b"; -- '");
            reaches(&[b"select \"", &[lead][..], b"\\\"; "].concat(), b"; -- \"");
            reaches(&[b"select 1 as ", &[lead][..], b"`; "].concat(), b"; -- `");
        }
        // After a failure the server's status is not what it said last.
        let mut lexer = Lexer::new(true).unsure(true);
        lexer.feed(b"select 'a\\'; kill 5; -- '; kill 6; -- ");
        assert!(lexer.end().hidden.kill);
    }

    /// Whether a `KILL` and a `USE` between these are seen, as what they are or hidden.
    fn reaches(before: &[u8], behind: &[u8]) {
        let shown = String::from_utf8_lossy(before).into_owned();
        let read = |what: &[u8]| {
            let mut lexer = Lexer::new(false);
            lexer.feed(&[before, what, behind].concat());
            lexer.end()
        };
        let seen = read(b"kill 5");
        assert!(seen.kill.is_some() || seen.hidden.kill, "{shown}");
        let (seen, place) = (read(b"use shop"), before.len() + 3);
        assert!(seen.uses.contains(&place) || seen.hidden.uses.contains(&place), "{shown}");
    }

    #[test]
    fn what_people_write_is_hiding_nothing() {
        for text in [
            "insert into t values ('don\\'t kill; use it')",
            "insert into t values ('{\\\"a\\\": \\\"x\\\"}')",
            "insert into t values (\"{\\\"a\\\": 1}\", \"don\\\"t kill it\")",
            "/*!40101 set @old_sql_mode = @@sql_mode, sql_mode = 'no_auto_value_on_zero' */",
            "/*!50003 create trigger t before insert on a for each row set new.b = 'it\\'s' */",
            "select 'Stra\u{df}e\\'n; x', `gr\u{fc}n` /* kill */ -- kill\n",
            "/*!50000 select */ 1 /*+ hint */ / 2",
        ] {
            assert_eq!(seen(text).hidden, Hidden::default(), "{text}");
        }
        // A reading that sees what the usual one does hides nothing.
        let killed = seen("/*!50000 */ kill 5");
        assert_eq!((killed.kill, killed.hidden), (Some(Kill::Plain(16)), Hidden::default()));
        let used = seen("/*!50000 */ use shop");
        assert_eq!((used.uses, used.hidden), (vec![15], Hidden::default()));
    }

    #[test]
    fn a_text_that_was_made_to_be_read_in_many_ways_has_few() {
        let (mut lexer, mut state) = (Lexer::new(false).unsure(true), 1_u32);
        let bytes = b"\\'\"`/*!M*;-#\n a.set\xbf5";
        let hostile: Vec<u8> = (0..100_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes[(state >> 8) as usize % bytes.len()]
            })
            .collect();
        for piece in hostile.chunks(100) {
            lexer.feed(piece);
            assert!(lexer.others.len() < MOST_READINGS, "{}", lexer.others.len());
        }
        assert_eq!(lexer.end().hidden, Hidden::default());
    }

    #[test]
    fn what_can_be_read_in_too_many_ways_is_read_as_the_worst() {
        let reading = |n: usize| {
            let mut reading = Reading::default();
            for byte in format!("x{n}").bytes() {
                reading.step(byte, false);
            }
            reading
        };
        let mut lexer = Lexer::new(false);
        lexer.others = (0..=MOST_READINGS).map(reading).collect();
        lexer.feed(b"\xbf`");
        assert_eq!(lexer.others.len(), MOST_READINGS);
        assert_eq!(lexer.end().hidden, Hidden { kill: true, uses: vec![usize::MAX] });
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
