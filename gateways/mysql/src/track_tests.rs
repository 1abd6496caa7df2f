//! Statements and their answers, message by message.

use super::*;
use crate::lex::Lexer;
use crate::texts::{CROWDED, ROOM};

type Told = (u32, String, Option<u64>, Option<String>);

struct Line {
    tracker: Tracker<u32>,
    number: u32,
    told: Vec<Told>,
    opened: Vec<String>,
}

impl Line {
    fn new(capabilities: u32) -> Self {
        let tracker = Tracker::new(capabilities);
        Self { tracker, number: 0, told: Vec::new(), opened: Vec::new() }
    }

    fn ask(&mut self, body: &[u8]) -> Result<usize, Fault> {
        let mut lexer = Lexer::new(self.tracker.plain_backslash());
        lexer.feed(&body[1..]);
        let message = Message { body, length: body.len() };
        let number = &mut self.number;
        let begun = self.tracker.client(message, &lexer.end(), || {
            *number += 1;
            *number
        });
        begun.map(|begun| begun.len())
    }

    /// Who speaks after these messages of the server's.
    fn hear(&mut self, bodies: &[&[u8]]) -> Result<Turn, Fault> {
        let mut turn = Turn::Server;
        for body in bodies {
            assert_eq!(turn, Turn::Server, "too much is said");
            let message = Message { body, length: body.len() };
            let (told, opened) = (&mut self.told, &mut self.opened);
            turn = self.tracker.server(message, |event| match event {
                Event::Done(Done { mark, text, rows, error }) => {
                    told.push((mark, text.text.to_string(), rows, error));
                }
                Event::Opened(name) => opened.push(name),
                Event::Named(name) => panic!("nobody is named here: {name}"),
            })?;
        }
        Ok(turn)
    }
}

fn ok(number: u32, text: &str, rows: Option<u64>) -> Told {
    (number, text.to_owned(), rows, None)
}

const ENDS: u32 = capability::MULTI_STATEMENTS;
const NO_ENDS: u32 = ENDS | capability::DEPRECATE_EOF;
const DONE: &[u8] = b"\0\x03\0\x02\0\0\0";
const DONE_AND_MORE: &[u8] = b"\0\x05\0\x0a\0\0\0";
const COLUMN: &[u8] = b"\x03def";
const END: &[u8] = b"\xfe\0\0\x02\0";
const END_AND_MORE: &[u8] = b"\xfe\0\0\x0a\0";
const OK_END: &[u8] = b"\xfe\0\0\x02\0\0\0";
const ERROR: &[u8] = b"\xff\x28\x04#42000no";

#[test]
fn rows_are_counted_with_and_without_ends() {
    for (capabilities, talk) in [
        (ENDS, &[b"\x01", COLUMN, END, b"\x011", b"\xfb", END][..]),
        (NO_ENDS, &[b"\x01", COLUMN, b"\x011", b"\xfb", OK_END][..]),
    ] {
        let mut line = Line::new(capabilities);
        assert_eq!(line.ask(b"\x03select 1"), Ok(1));
        assert_eq!(line.hear(talk), Ok(Turn::Client));
        assert_eq!(line.ask(b"\x03update t"), Ok(1));
        assert_eq!(line.hear(&[DONE]), Ok(Turn::Client));
        assert_eq!(line.told, [ok(1, "select 1", Some(2)), ok(2, "update t", Some(3))]);
    }
}

#[test]
fn a_row_that_begins_as_an_end_does_is_longer_than_one() {
    let mut line = Line::new(ENDS);
    line.ask(b"\x03select 1").unwrap();
    line.hear(&[b"\x01", COLUMN, END]).unwrap();
    let row = Message { body: b"\xfe\0\0\0\x01", length: 0x100_0009 };
    assert_eq!(line.tracker.server(row, drop), Ok(Turn::Server));
    assert_eq!(line.hear(&[END]), Ok(Turn::Client));
    assert_eq!(line.told[0].2, Some(1));
}

#[test]
fn statements_of_one_message_are_told_by_their_results() {
    let mut line = Line::new(ENDS);
    assert_eq!(line.ask(b"\x03update a; select 1; select ';'"), Ok(3));
    let talk = [DONE_AND_MORE, b"\x01", COLUMN, END, b"\x011", END_AND_MORE];
    assert_eq!(line.hear(&talk), Ok(Turn::Server));
    assert_eq!(line.hear(&[b"\x01", COLUMN, END, END]), Ok(Turn::Client));
    let expected =
        [ok(1, "update a", Some(5)), ok(2, "select 1", Some(1)), ok(3, "select ';'", Some(0))];
    assert_eq!(line.told, expected);
}

#[test]
fn no_text_is_lost_where_results_are_fewer_or_more_than_statements() {
    // One that fails is told with what was not carried out for it.
    let mut line = Line::new(ENDS);
    line.ask(b"\x03update a; bad; select 3").unwrap();
    line.hear(&[DONE_AND_MORE, ERROR]).unwrap();
    let failed = (2, "bad; select 3".to_owned(), None, Some("1064".to_owned()));
    assert_eq!(line.told, [ok(1, "update a", Some(5)), failed]);
    // Inner statements that nobody told apart.
    let mut line = Line::new(ENDS);
    line.ask(b"\x03odd x; y; end").unwrap();
    line.hear(&[DONE]).unwrap();
    assert_eq!(line.told, [ok(1, "odd x; y; end", Some(3))]);
    // A call has any number of results.
    let mut line = Line::new(ENDS);
    assert_eq!(line.ask(b"\x03call p(); select 1"), Ok(1));
    line.hear(&[b"\x01", COLUMN, END, b"\x011", END_AND_MORE, DONE_AND_MORE, DONE]).unwrap();
    assert_eq!(line.told, [ok(1, "call p(); select 1", Some(9))]);
    // Where only one is taken, it is one.
    let mut line = Line::new(0);
    assert_eq!(line.ask(b"\x03select 1; select 2"), Ok(1));
    line.hear(&[ERROR]).unwrap();
    assert_eq!(line.told[0].1, "select 1; select 2");
    line.ask(b"\x1b\0\0").unwrap();
    line.hear(&[END]).unwrap();
    assert_eq!(line.ask(b"\x03select 1; select 2"), Ok(2));
}

#[test]
fn what_is_executed_is_told_by_the_text_that_was_prepared() {
    for (capabilities, ends) in [(ENDS, true), (NO_ENDS, false)] {
        let mut line = Line::new(capabilities);
        line.ask(b"\x16select ?, ?").unwrap();
        let prepared: &[u8] = b"\0\x07\0\0\0\x01\0\x02\0\0\0\0";
        let mut talk = vec![prepared, COLUMN, COLUMN, END, COLUMN, END];
        if !ends {
            talk.retain(|body| *body != END);
        }
        assert_eq!(line.hear(&talk), Ok(Turn::Client));
        for id in [b"\x17\x07\0\0\0\0", b"\x17\xff\xff\xff\xff\0"] {
            line.ask(id).unwrap();
            line.hear(&[DONE]).unwrap();
        }
        assert_eq!(line.ask(b"\x18\x07\0\0\0\0\0xyz"), Ok(0));
        assert!(line.tracker.is_idle());
        line.ask(b"\x19\x07\0\0\0").unwrap();
        line.ask(b"\x17\x07\0\0\0\0").unwrap();
        line.hear(&[ERROR]).unwrap();
        let texts: Vec<_> = line.told.iter().map(|told| told.1.as_str()).collect();
        assert_eq!(texts, ["select ?, ?", "select ?, ?", "(prepared statement 7)"]);
    }
}

#[test]
fn a_statement_without_parameters_and_one_that_fails_are_prepared_too() {
    let mut line = Line::new(ENDS);
    line.ask(b"\x16do 1").unwrap();
    assert_eq!(line.hear(&[b"\0\x01\0\0\0\0\0\0\0\0\0\0"]), Ok(Turn::Client));
    line.ask(b"\x16sel").unwrap();
    assert_eq!(line.hear(&[ERROR]), Ok(Turn::Client));
    assert_eq!(line.told, [(2, "sel".to_owned(), None, Some("1064".to_owned()))]);
}

#[test]
fn a_cursor_has_its_rows_fetched() {
    let mut line = Line::new(ENDS);
    line.ask(b"\x17\x01\0\0\0\x01").unwrap();
    assert_eq!(line.hear(&[b"\x01", COLUMN, b"\xfe\0\0\x42\0"]), Ok(Turn::Client));
    line.ask(b"\x1c\x01\0\0\0\x02\0\0\0").unwrap();
    assert_eq!(line.hear(&[b"\0\0x", b"\0\0y", b"\xfe\0\0\x42\0"]), Ok(Turn::Client));
    assert_eq!(line.told.len(), 1);
}

#[test]
fn a_procedures_own_cursor_is_none_of_its_results() {
    let mut line = Line::new(ENDS);
    line.ask(b"\x03call p()").unwrap();
    let open = b"\xfe\0\0\x42\0";
    assert_eq!(
        line.hear(&[b"\x01", COLUMN, open, b"\x011", b"\xfe\0\0\x4a\0", DONE]),
        Ok(Turn::Client)
    );
    assert_eq!(line.told, [ok(1, "call p()", Some(4))]);
}

#[test]
fn databases_and_backslashes_are_followed() {
    let mut line = Line::new(ENDS);
    line.ask(b"\x02orders").unwrap();
    line.hear(&[DONE]).unwrap();
    line.ask(b"\x03use other").unwrap();
    line.hear(&[DONE]).unwrap();
    line.ask(b"\x02nothing").unwrap();
    line.hear(&[ERROR]).unwrap();
    assert_eq!(line.opened, ["orders", "other"]);
    let refused = (3, "(use nothing)".to_owned(), None, Some("1064".to_owned()));
    assert_eq!(line.told, [ok(1, "(use orders)", Some(3)), ok(2, "use other", Some(3)), refused]);
    line.ask(b"\x03set sql_mode").unwrap();
    line.hear(&[b"\0\0\0\x02\x02\0\0"]).unwrap();
    assert!(line.tracker.plain_backslash());
    // A failure does not say how it left them.
    let hides = |line: &Line| {
        let mut lexer = line.tracker.lexer();
        lexer.feed(b"select 'a\\'; kill 5; -- '");
        lexer.end().hidden.kill
    };
    line.ask(b"\x03set sql_mode = '', nothing = 1").unwrap();
    line.hear(&[b"\0\0\0\x02\0\0\0"]).unwrap();
    assert!(!hides(&line));
    line.ask(b"\x03bad").unwrap();
    line.hear(&[ERROR]).unwrap();
    assert!(hides(&line));
}

#[test]
fn a_file_is_the_clients_to_send_where_its_statement_names_it() {
    let load = b"\x03load data local infile '/tmp/a\\'b' into table t";
    let mut line = Line::new(ENDS);
    line.ask(load).unwrap();
    assert_eq!(line.hear(&[b"\xfb/tmp/a'b"]), Ok(Turn::File));
    line.tracker.file_sent();
    assert_eq!(line.hear(&[DONE]), Ok(Turn::Client));
    for (asked, file) in [
        (&load[..], &b"\xfb/etc/passwd"[..]),
        (load, b"\xfb"),
        (b"\x03select '/etc/passwd'", b"\xfb/etc/passwd"),
        (b"\x17\x01\0\0\0\0", b"\xfb/etc/passwd"),
    ] {
        let mut line = Line::new(ENDS);
        line.ask(asked).unwrap();
        assert_eq!(line.hear(&[file]), Err(Fault::File));
    }
}

#[test]
fn nothing_is_asked_or_said_out_of_turn() {
    let mut line = Line::new(ENDS);
    assert_eq!(line.hear(&[DONE]), Err(Fault::Turn));
    line.ask(b"\x03select 1").unwrap();
    assert_eq!(line.ask(b"\x03select 2"), Err(Fault::Turn));
    for (asked, said) in [
        (&b"\x0e"[..], &b"\x01"[..]),
        (b"\x16x", b"\x02"),
        (b"\x03x", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff"),
        (b"\x03x", b"\x01\x01"),
        (b"\x03x", b"\0"),
        (b"\x16x", b"\0\x01"),
    ] {
        let mut line = Line::new(ENDS);
        line.ask(asked).unwrap();
        assert_eq!(line.hear(&[said]), Err(Fault::Answer(said[0])), "{asked:?}");
    }
    for body in [&b"\x20"[..], b"\xfa", b"\0"] {
        assert_eq!(Line::new(ENDS).ask(body), Err(Fault::Command(body[0])));
    }
}

#[test]
fn what_is_kept_of_prepared_statements_has_a_bound() {
    let mut line = Line::new(NO_ENDS);
    for id in 0_u32..200 {
        line.ask(&[b"\x16", &vec![b'x'; 70_000][..]].concat()).unwrap();
        line.hear(&[&[&[0][..], &id.to_le_bytes(), &[0; 7]].concat()]).unwrap();
    }
    assert!(line.tracker.prepared.bytes < ROOM + 200 * CROWDED + LONGEST_TEXT);
    line.ask(b"\x17\x01\0\0\0\0").unwrap();
    line.hear(&[DONE]).unwrap();
    assert_eq!(line.told[0].1.len(), LONGEST_TEXT);
}

#[test]
fn what_is_not_answered_to_its_end_is_told_by_the_end_of_the_session() {
    let mut line = Line::new(ENDS);
    line.ask(b"\x03insert a; commit; select sleep(9)").unwrap();
    line.hear(&[DONE_AND_MORE]).unwrap();
    let left = line.tracker.unanswered("session.killed");
    let left: Vec<_> = left.iter().map(|one| (one.mark, &*one.text.text)).collect();
    assert_eq!((line.told.len(), left), (1, vec![(2, "commit"), (3, "select sleep(9)")]));
    assert!(line.tracker.is_idle() && line.tracker.unanswered("session.killed").is_empty());
    line.ask(b"\x03select 7").unwrap();
    let left = line.tracker.unanswered("session.closed");
    let error = Some("session.closed".to_owned());
    assert_eq!((left[0].mark, left[0].rows, &left[0].error), (4, None, &error));
}

#[test]
fn texts_are_read_in_the_charset_that_the_client_came_with_or_has_set() {
    let mut line = Line::new(ENDS);
    line.tracker = Tracker::new(ENDS).with_collation(8).with_values(true);
    let mut says = |body: &[u8], answer: &[&[u8]]| {
        line.ask(body).unwrap();
        line.hear(answer).unwrap();
        line.told.last().map(|told| told.1.clone()).unwrap_or_default()
    };
    let failed: &[u8] = b"\xff\x28\x04#42000no";
    assert_eq!(
        says(b"\x03insert 'ca\xf1a'; insert '\xc3\xa9'", &[DONE_AND_MORE, DONE]),
        "insert 'Ã©'"
    );
    says(b"\x03set names gbk", &[failed]);
    assert_eq!(says(b"\x03insert '\xf1'", &[DONE]), "insert 'ñ'");
    says(b"\x03set names gbk", &[DONE]);
    assert_eq!(says(b"\x03insert '\xd6\xd0'", &[DONE]), "insert '中'");
    // A login's holds again.
    says(b"\x1f", &[DONE]);
    assert_eq!(says(b"\x03insert '\xf1'", &[DONE]), "insert 'ñ'");
    line.tracker.changed(45, DONE);
    line.ask(b"\x03insert '\xc3\xa9 \xf1'").unwrap();
    line.hear(&[DONE]).unwrap();
    let texts: Vec<_> = line.told.iter().map(|told| told.1.as_str()).collect();
    assert_eq!((texts[0], texts[texts.len() - 1]), ("insert 'caña'", r"insert 'é \xf1'"));
}

#[test]
fn statements_in_another_charset_are_told_apart_and_kept_by_their_bytes() {
    let mut line = Line::new(ENDS);
    line.ask(b"\x03insert 'caf\xe9'; insert '\xfc'").unwrap();
    line.hear(&[DONE_AND_MORE, DONE]).unwrap();
    let texts: Vec<_> = line.told.iter().map(|told| told.1.as_str()).collect();
    assert_eq!(texts, [r"insert 'caf\xe9'", r"insert '\xfc'"]);
}
