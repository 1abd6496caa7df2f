use super::*;
use crate::proto::{LIMITS, Parsed, parse};

/// The text of a command that is written as words.
fn kept(words: &str) -> String {
    let args: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    kept_of(&args)
}

fn kept_of(args: &[&[u8]]) -> String {
    shown_of(args, false)
}

fn shown_of(args: &[&[u8]], values: bool) -> String {
    let mut bytes = Vec::new();
    crate::proto::command(&mut bytes, args);
    let mut spans = Vec::new();
    let parsed = parse(&bytes, LIMITS, &mut spans).unwrap();
    assert!(matches!(parsed, Parsed::Whole { .. }));
    let command = Command::new(&bytes, &spans, args.len(), Part::Whole);
    text(&Name::of(command.name()), &command, 1000, values).text.to_string()
}

#[test]
fn names_and_keys_are_kept_and_values_are_not() {
    let cases = [
        ("get a", "GET a"),
        ("SET a secret EX 10", "SET a"),
        ("MSET a 1 b 2 c 3", "MSET a b c"),
        ("DEL a b c", "DEL a b c"),
        ("BLPOP a b 0", "BLPOP a b"),
        ("RENAME a b", "RENAME a b"),
        ("BITOP AND d a b", "BITOP d a b"),
        ("EVAL return(1) 2 a b secret", "EVAL a b"),
        ("EVAL return(1) x a", "EVAL"),
        ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "ZUNIONSTORE d a b"),
        ("XREAD COUNT 1 STREAMS a b 0 0", "XREAD a b"),
        ("SORT a BY w STORE d", "SORT a d"),
        ("GEORADIUS a 1 2 3 km STORE d", "GEORADIUS a d"),
        ("OBJECT ENCODING a", "OBJECT ENCODING a"),
        ("SELECT 3", "SELECT 3"),
        ("PUBLISH channel secret", "PUBLISH channel"),
        ("SUBSCRIBE a b", "SUBSCRIBE a b"),
        ("CONFIG SET requirepass hunter2 maxmemory 1", "CONFIG SET requirepass maxmemory"),
        ("CONFIG GET max*", "CONFIG GET max*"),
        ("ACL SETUSER bob >hunter2 on", "ACL SETUSER bob"),
        ("MIGRATE host 6379 a 0 1000 AUTH hunter2", "MIGRATE a"),
        ("CLIENT SETNAME me", "CLIENT SETNAME"),
        ("SCRIPT LOAD return(1)", "SCRIPT LOAD"),
        ("FT.SEARCH index secret", "FT.SEARCH"),
        ("hset a field secret", "HSET a"),
    ];
    for (command, expected) in cases {
        assert_eq!(kept(command), expected);
    }
    let many = kept_of(&[
        b"MIGRATE", b"h", b"1", b"", b"0", b"9", b"AUTH2", b"u", b"p", b"KEYS", b"a", b"b",
    ]);
    assert_eq!(many, "MIGRATE a b");
    let odd = kept_of(&[b"MGET", b"with space", b"quo\"te", b"\r\n\xff\x00", b""]);
    assert_eq!(odd, r#"MGET "with space" "quo\"te" "\r\n\xff\x00" """#);
}

#[test]
fn with_values_a_command_is_kept_word_for_word_but_for_what_may_be_a_password() {
    let cases = [
        ("set a value EX 10", "SET a value EX 10"),
        ("object encoding a", "OBJECT ENCODING a"),
        ("MEMORY USAGE a SAMPLES 5", "MEMORY USAGE a SAMPLES 5"),
        ("XGROUP CREATE st g 0 MKSTREAM", "XGROUP CREATE st g 0 MKSTREAM"),
        ("CONFIG SET requirepass hunter2", "CONFIG SET requirepass"),
    ];
    for (command, expected) in cases {
        let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        assert_eq!(shown_of(&args, true), expected);
    }
    assert_eq!(shown_of(&[b"OBJECT", b"\xff", b"a"], true), r#"OBJECT "\xff" a"#);
}

#[test]
fn a_text_has_its_bounds_and_says_what_is_missing() {
    let keys: Vec<String> = (0..1000).map(|n| format!("key:{n:04}")).collect();
    let mut args: Vec<&[u8]> = vec![b"DEL"];
    args.extend(keys.iter().map(String::as_bytes));
    let mut bytes = Vec::new();
    crate::proto::command(&mut bytes, &args);
    let mut spans = Vec::new();
    parse(&bytes, LIMITS, &mut spans).unwrap();
    let command = Command::new(&bytes, &spans, args.len(), Part::Whole);
    let kept = text(&Name::of(b"del"), &command, 100, false);
    assert!(kept.text.len() <= 100 && kept.text.starts_with("DEL key:0000 "), "{kept:?}");
    assert_eq!(kept.text.len() as u64 + kept.cut, 3 + 1000 * 9);
}
