//! Statements and their answers, message by message.

use super::*;
use crate::texts::NAMES;

type Told = (u32, String, Option<u64>, Option<String>);

/// What a conversation is told of: `>` the client, `<` the server.
fn told(talk: &[(char, u8, &[u8])]) -> Vec<Told> {
    told_by(Tracker::default(), talk)
}

fn told_by(mut tracker: Tracker<u32>, talk: &[(char, u8, &[u8])]) -> Vec<Told> {
    let (mut number, mut told) = (0, Vec::new());
    for (who, kind, body) in talk {
        let message = Message { kind: *kind, body, length: body.len() };
        if *who == '>' {
            tracker.client(message, || number).unwrap();
            number += 1;
        } else {
            tracker.server(message, |event| told.push(event)).unwrap();
        }
    }
    assert!(tracker.is_idle(), "{:?}", tracker.waiting);
    let done = told.into_iter().filter_map(|event| match event {
        Event::Done(Done { mark, text, rows, error }) => {
            Some((mark, text.text.to_string(), rows, error))
        }
        Event::Named(_) | Event::Opened(_) => None,
    });
    done.collect()
}

fn ok(number: u32, text: &str, rows: Option<u64>) -> Told {
    (number, text.to_owned(), rows, None)
}

fn bad(number: u32, text: &str) -> Told {
    (number, text.to_owned(), None, Some("42601".to_owned()))
}

const ERROR: &[u8] = b"SERROR\0VERROR\0C42601\0Mno\0\0";

#[test]
fn a_simple_query_is_one_statement_whatever_it_has_in_it() {
    let talk: &[(char, u8, &[u8])] = &[
        ('>', b'Q', b"select 1; insert\0"),
        ('<', b'T', b""),
        ('<', b'D', b""),
        ('<', b'C', b"SELECT 1\0"),
        ('<', b'C', b"INSERT 0 5\0"),
        ('<', b'Z', b"I"),
        ('>', b'Q', b"\0"),
        ('<', b'I', b""),
        ('<', b'Z', b"I"),
        ('>', b'Q', b"sel\0"),
        ('<', b'E', ERROR),
        ('<', b'Z', b"I"),
    ];
    assert_eq!(told(talk), [ok(0, "select 1; insert", Some(6)), ok(1, "", None), bad(2, "sel")]);
}

#[test]
fn what_is_executed_is_told_by_the_text_that_was_prepared() {
    let talk: &[(char, u8, &[u8])] = &[
        ('>', b'P', b"s1\0select $1\0\0\0"),
        ('>', b'D', b"Ss1\0"),
        ('>', b'B', b"p\0s1\0\0\0"),
        ('>', b'E', b"p\0\0\0\0\x02"),
        ('>', b'E', b"p\0\0\0\0\0"),
        ('>', b'S', b""),
        ('<', b'1', b""),
        ('<', b't', b"\0\0"),
        ('<', b'n', b""),
        ('<', b'2', b""),
        ('<', b'D', b""),
        ('<', b'D', b""),
        ('<', b's', b""),
        ('<', b'D', b""),
        ('<', b'C', b"SELECT 1\0"),
        ('<', b'Z', b"T"),
        ('>', b'B', b"\0s1\0\0\0"),
        ('>', b'E', b"\0\0\0\0\0"),
        ('>', b'C', b"Ss1\0"),
        ('>', b'S', b""),
        ('<', b'2', b""),
        ('<', b'C', b"UPDATE 3\0"),
        ('<', b'3', b""),
        ('<', b'Z', b"I"),
        ('>', b'E', b"p\0\0\0\0\0"),
        ('>', b'S', b""),
        ('<', b'E', ERROR),
        ('<', b'Z', b"I"),
    ];
    let text = "select $1";
    let expected = [
        ok(3, text, Some(2)),
        ok(4, text, Some(1)),
        ok(7, text, Some(3)),
        bad(10, "(portal \"p\")"),
    ];
    assert_eq!(told(talk), expected);
}

#[test]
fn values_stand_behind_the_text_by_the_types_that_either_end_told() {
    let seven = b"\0s\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\0\x07\0\0";
    let talk: &[(char, u8, &[u8])] = &[
        // The client says the type, and then leaves it to the server.
        ('>', b'P', b"s\0select $1\0\0\x01\0\0\0\x17"),
        ('>', b'B', seven),
        ('>', b'E', b"\0\0\0\0\0"),
        ('>', b'C', b"Ss\0"),
        ('>', b'P', b"s\0select $1\0\0\0"),
        ('>', b'D', b"Ss\0"),
        ('>', b'B', seven),
        ('>', b'E', b"\0\0\0\0\0"),
        ('>', b'S', b""),
        ('<', b'1', b""),
        ('<', b'2', b""),
        ('<', b'C', b"SELECT 1\0"),
        ('<', b'3', b""),
        ('<', b'1', b""),
        ('<', b't', b"\0\x01\0\0\0\x17"),
        ('<', b'T', b""),
        ('<', b'2', b""),
        ('<', b'C', b"SELECT 1\0"),
        ('<', b'Z', b"I"),
        ('>', b'B', seven),
        ('>', b'E', b"\0\0\0\0\0"),
        ('>', b'S', b""),
        ('<', b'2', b""),
        ('<', b'C', b"SELECT 1\0"),
        ('<', b'Z', b"I"),
    ];
    let with = |number, value: &str| ok(number, &format!("select $1 -- {value}"), Some(1));
    let expected = [with(2, "7"), with(7, "0x00000007"), with(10, "7")];
    assert_eq!(told_by(Tracker::default().with_values(true), talk), expected);
    let without: Vec<_> = expected.iter().map(|told| ok(told.0, "select $1", told.2)).collect();
    assert_eq!(told(talk), without);
}

#[test]
fn what_sql_prepares_is_told_by_its_text_where_the_protocol_carries_it_out() {
    let execute = |name: &'static [u8]| -> [(char, u8, &[u8]); 6] {
        [
            ('>', b'B', name),
            ('>', b'E', b"\0\0\0\0\0"),
            ('>', b'S', b""),
            ('<', b'2', b""),
            ('<', b'C', b"SELECT 1\0"),
            ('<', b'Z', b"I"),
        ]
    };
    let simple = |text: &'static [u8], tags: &[&'static [u8]]| {
        let mut talk: Vec<(char, u8, &[u8])> = vec![('>', b'Q', text)];
        talk.extend(tags.iter().map(|tag| ('<', b'C', *tag)));
        talk.push(('<', b'Z', b"I"));
        talk
    };
    let talk = [
        simple(b"prepare Sp(int) as select $1;\0", &[b"PREPARE\0"]),
        execute(b"\0sp\0\0\0").to_vec(),
        simple(b"execute sp(7)\0", &[b"SELECT 1\0"]),
        vec![
            ('>', b'P', b"\0prepare two as select 2\0\0\0"),
            ('>', b'B', b"\0\0\0\0"),
            ('>', b'E', b"\0\0\0\0\0"),
            ('>', b'S', b""),
            ('<', b'1', b""),
            ('<', b'2', b""),
            ('<', b'C', b"PREPARE\0"),
            ('<', b'Z', b"I"),
            ('>', b'P', b"\0execute two\0\0\0"),
            ('<', b'1', b""),
        ],
        execute(b"\0\0\0\0").to_vec(),
        simple(b"deallocate two\0", &[b"DEALLOCATE\0"]),
        simple(b"execute two\0", &[b"SELECT 1\0"]),
        // Which statement of several prepared which is not known.
        simple(b"deallocate sp; prepare sp as delete\0", &[b"DEALLOCATE\0", b"PREPARE\0"]),
        execute(b"\0sp\0\0\0").to_vec(),
        simple(b"discard all\0", &[b"DISCARD ALL\0"]),
        execute(b"\0sp\0\0\0").to_vec(),
    ]
    .concat();
    let texts: Vec<_> = told(&talk).into_iter().map(|(_, text, ..)| text).collect();
    let expected = [
        "prepare Sp(int) as select $1;",
        "select $1",
        "execute sp(7)",
        "prepare two as select 2",
        "execute two",
        "deallocate two",
        "execute two",
        "deallocate sp; prepare sp as delete",
        "select $1 -- or by: deallocate sp; prepare sp as delete",
        "discard all",
        "(prepared statement \"sp\")",
    ];
    assert_eq!(texts, expected);
}

#[test]
fn values_of_a_pipeline_have_their_bounds() {
    let mut tracker = Tracker::default().with_values(true);
    let value = [b'x'; 1000];
    let body =
        [b"\0\0\0\0\0\x10".to_vec(), [&[0, 0, 3, 232][..], &value].concat().repeat(16)].concat();
    let message = Message { kind: b'B', body: &body, length: body.len() };
    for _ in 0..WAITING {
        tracker.client(message, || ()).unwrap();
    }
    assert!(tracker.bytes < ROOM + 32 * 1024, "{}", tracker.bytes);
}

#[test]
fn what_a_failed_step_skips_is_not_told_and_changes_nothing() {
    let talk: &[(char, u8, &[u8])] = &[
        ('>', b'P', b"a\0one\0\0\0"),
        ('>', b'S', b""),
        ('<', b'1', b""),
        ('<', b'Z', b"I"),
        ('>', b'P', b"\0bad\0\0\0"),
        ('>', b'P', b"a\0two\0\0\0"),
        ('>', b'B', b"\0a\0\0\0"),
        ('>', b'E', b"\0\0\0\0\0"),
        ('<', b'E', ERROR),
        ('>', b'E', b"\0\0\0\0\0"),
        ('>', b'S', b""),
        ('>', b'B', b"\0a\0\0\0"),
        ('>', b'E', b"\0\0\0\0\0"),
        ('>', b'S', b""),
        ('<', b'Z', b"I"),
        ('<', b'2', b""),
        ('<', b'C', b"SELECT 1\0"),
        ('<', b'Z', b"I"),
    ];
    assert_eq!(told(talk), [bad(2, "bad"), ok(9, "one", Some(1))]);
}

#[test]
fn data_is_copied_in_by_both_protocols() {
    let simple: &[(char, u8, &[u8])] = &[
        ('>', b'Q', b"copy t from stdin\0"),
        ('<', b'G', b""),
        ('>', b'd', b"1\n"),
        ('>', b'c', b""),
        ('<', b'C', b"COPY 1\0"),
        ('<', b'Z', b"I"),
    ];
    assert_eq!(told(simple), [ok(0, "copy t from stdin", Some(1))]);
    // A Sync that was sent before the server waited for data has no answer.
    let extended: &[(char, u8, &[u8])] = &[
        ('>', b'P', b"\0copy\0\0\0"),
        ('>', b'B', b"\0\0\0\0"),
        ('>', b'E', b"\0\0\0\0\0"),
        ('>', b'S', b""),
        ('<', b'1', b""),
        ('<', b'2', b""),
        ('<', b'G', b""),
        ('>', b'd', b"1\n"),
        ('>', b'S', b""),
        ('>', b'c', b""),
        ('>', b'S', b""),
        ('<', b'C', b"COPY 1\0"),
        ('<', b'Z', b"I"),
    ];
    assert_eq!(told(extended), [ok(2, "copy", Some(1))]);
    let ahead: &[(char, u8, &[u8])] = &[
        ('>', b'P', b"\0copy\0\0\0"),
        ('>', b'B', b"\0\0\0\0"),
        ('>', b'E', b"\0\0\0\0\0"),
        ('>', b'S', b""),
        ('>', b'c', b""),
        ('>', b'S', b""),
        ('<', b'1', b""),
        ('<', b'2', b""),
        ('<', b'G', b""),
        ('<', b'C', b"COPY 0\0"),
        ('<', b'Z', b"I"),
    ];
    assert_eq!(told(ahead), [ok(2, "copy", Some(0))]);
}

#[test]
fn data_out_of_place_is_nothing_and_a_statement_among_data_is_a_fault() {
    let stray: &[(char, u8, &[u8])] = &[('>', b'd', b"x"), ('>', b'c', b""), ('>', b'H', b"")];
    assert_eq!(told(stray), []);
    let mut tracker = Tracker::<u32>::default();
    let message = |kind: u8, body: &'static [u8]| Message { kind, body, length: body.len() };
    tracker.client(message(b'Q', b"copy\0"), || 0).unwrap();
    tracker.server(message(b'G', b""), drop).unwrap();
    assert_eq!(tracker.client(message(b'Q', b"x\0"), || 1), Err(Fault::Copying('Q')));
}

#[test]
fn a_function_call_and_an_error_of_nobody_are_told_apart() {
    let talk: &[(char, u8, &[u8])] = &[
        ('<', b'E', ERROR),
        ('>', b'F', &[0, 0, 3, 0xb8, 0, 0, 0, 0, 0, 0]),
        ('<', b'V', b""),
        ('<', b'Z', b"I"),
        ('>', b'S', b""),
        ('<', b'E', ERROR),
        ('<', b'Z', b"I"),
    ];
    assert_eq!(told(talk), [ok(0, "function call 952", None)]);
}

#[test]
fn a_long_text_is_cut_between_characters_and_says_by_how_much() {
    let long = "é".repeat(LONGEST_TEXT);
    let tracker = Tracker::<u32>::default();
    let text_of = |there: &[u8], length| tracker.text_of(there, length);
    let text = text_of(long.as_bytes(), long.len() + 1);
    assert_eq!((text.text.len(), text.cut), (LONGEST_TEXT, LONGEST_TEXT as u64));
    let odd = format!("x{long}");
    let text = text_of(&odd.as_bytes()[..LONGEST_TEXT + 9], odd.len() + 1);
    assert_eq!(text.text.len() as u64 + text.cut, odd.len() as u64);
    assert!(text.text.ends_with('é'));
    assert_eq!(text_of(b"a\xffb\0", 4).text.as_ref(), r"a\xffb");
}

#[test]
fn texts_and_values_are_read_in_the_charset_that_the_server_told_last() {
    let spanish = b"select '\xf1 \xc3\xa9'\0";
    let talk: &[(char, u8, &[u8])] = &[
        ('>', b'Q', spanish),
        ('<', b'S', b"client_encoding\0UTF8\0"),
        ('<', b'Z', b"I"),
        ('>', b'Q', spanish),
        ('<', b'Z', b"I"),
        ('<', b'S', b"client_encoding\0EUC_JP\0"),
        ('>', b'P', b"\0select '\xc6\xfc', $1\0\0\0"),
        ('>', b'B', b"\0\0\0\0\0\x01\0\0\0\x02\xcb\xdc\0\0"),
        ('>', b'E', b"\0\0\0\0\0"),
        ('>', b'S', b""),
        ('<', b'1', b""),
        ('<', b'2', b""),
        ('<', b'C', b"SELECT 1\0"),
        ('<', b'Z', b"I"),
    ];
    let latin = Tracker::default().with_charset(Charset::Latin1).with_values(true);
    let expected = [
        ok(0, "select 'ñ Ã©'", None),
        ok(1, r"select '\xf1 é'", None),
        ok(4, "select '日', $1 -- '本'", Some(1)),
    ];
    assert_eq!(told_by(latin, talk), expected);
}

#[test]
fn ten_thousand_prepared_statements_take_bounded_room() {
    let mut tracker = Tracker::default();
    let body =
        |number: u32| [format!("s{number}\0").as_bytes(), &[b'x'; 60_000], b"\0\0\0"].concat();
    for number in 0..2 * u32::try_from(NAMES).unwrap() {
        let body = body(number);
        tracker.client(Message { kind: b'P', body: &body, length: body.len() }, || number).unwrap();
        tracker.server(Message { kind: b'1', body: b"", length: 0 }, drop).unwrap();
    }
    assert!(tracker.prepared.bytes < 2 * ROOM, "{}", tracker.prepared.bytes);
    assert!(tracker.prepared.by_name.len() <= NAMES);
}

#[test]
fn a_pipeline_is_full_some_time() {
    let mut tracker = Tracker::default();
    for _ in 0..WAITING {
        assert!(!tracker.is_full());
        tracker.client(Message { kind: b'S', body: b"", length: 0 }, || ()).unwrap();
    }
    assert!(tracker.is_full());
}

#[test]
fn what_a_client_left_without_a_word_is_cut_short() {
    let mut tracker = Tracker::default();
    let mut says = |kind, body: &'static [u8]| {
        tracker.client(Message { kind, body, length: body.len() }, || 0).unwrap();
        tracker.is_cut_short()
    };
    assert!(says(b'Q', b"select pg_sleep(9)\0"));
    // After a goodbye a server does what it was asked, and then ends.
    assert!(!says(b'X', b""));
}

#[test]
fn replication_is_one_statement_from_its_start_to_its_end() {
    let talk: &[(char, u8, &[u8])] = &[
        ('>', b'Q', b"START_REPLICATION SLOT s LOGICAL 0/0\0"),
        ('<', b'W', b""),
        ('<', b'd', b"k"),
        ('>', b'd', b"r"),
        ('<', b'd', b"w"),
        ('>', b'c', b""),
        ('<', b'c', b""),
        ('<', b'C', b"COPY 0\0"),
        ('<', b'Z', b"I"),
        ('>', b'Q', b"select 1\0"),
        ('<', b'C', b"SELECT 1\0"),
        ('<', b'Z', b"I"),
    ];
    let replication = ok(0, "START_REPLICATION SLOT s LOGICAL 0/0", Some(0));
    assert_eq!(told(talk), [replication, ok(3, "select 1", Some(1))]);
}

#[test]
fn what_is_not_answered_to_its_end_is_told_by_the_end_of_the_session() {
    let mut tracker = Tracker::default();
    let talk: &[(char, u8, &[u8])] = &[
        ('>', b'P', b"s\0insert $1\0\0\0"),
        ('>', b'B', b"\0s\0\0\0"),
        ('>', b'E', b"\0\0\0\0\0"),
        ('>', b'E', b"\0\0\0\0\0"),
        ('>', b'S', b""),
        ('>', b'Q', b"insert; commit; select pg_sleep(9)\0"),
        ('<', b'1', b""),
        ('<', b'2', b""),
        ('<', b'C', b"INSERT 0 1\0"),
    ];
    for (number, (who, kind, body)) in talk.iter().enumerate() {
        let message = Message { kind: *kind, body, length: body.len() };
        match who {
            '>' => drop(tracker.client(message, || number).unwrap()),
            _ => tracker.server(message, drop).unwrap(),
        }
    }
    let killed = |mark, text: &str| Done {
        mark,
        text: Text::from(text.to_owned()),
        rows: None,
        error: Some("session.killed".to_owned()),
    };
    let whole = "insert; commit; select pg_sleep(9)";
    assert_eq!(tracker.unanswered("session.killed"), [killed(3, "insert $1"), killed(5, whole)]);
    assert_eq!((tracker.unanswered("session.killed"), tracker.bytes), (Vec::new(), 0));
    // One that has failed already says why itself.
    tracker.client(Message { kind: b'Q', body: b"sel\0", length: 4 }, || 9).unwrap();
    tracker.server(Message { kind: b'E', body: ERROR, length: ERROR.len() }, drop).unwrap();
    assert_eq!(tracker.unanswered("session.killed")[0].error.as_deref(), Some("42601"));
}

#[test]
fn a_server_is_waited_for_while_it_is_to_answer() {
    let mut tracker = Tracker::default();
    let talk: &[(char, u8, &[u8], bool)] = &[
        ('>', b'Q', b"copy t from stdin\0", true),
        ('<', b'G', b"", false),
        ('>', b'd', b"1\n", false),
        ('>', b'c', b"", true),
        ('<', b'C', b"COPY 1\0", true),
        ('<', b'Z', b"T", false),
    ];
    for (who, kind, body, awaited) in talk {
        let message = Message { kind: *kind, body, length: body.len() };
        match who {
            '>' => drop(tracker.client(message, || 0).unwrap()),
            _ => tracker.server(message, drop).unwrap(),
        }
        assert_eq!(tracker.is_awaited(), *awaited, "after {who}{}", char::from(*kind));
    }
}
