use proptest::prelude::*;

use super::*;

fn framed(args: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    command(&mut out, args);
    out
}

#[derive(Debug, Default, PartialEq)]
struct Read {
    seen: Vec<(Part, usize, Vec<Vec<u8>>)>,
    on: Vec<u8>,
}

/// All commands, and the bytes that were let on, when they come in pieces of this size.
fn read(bytes: &[u8], piece: usize) -> Result<Read, Fault> {
    let (mut commands, mut read, mut held) = (Commands::default(), Read::default(), Vec::new());
    for piece in bytes.chunks(piece) {
        held.extend_from_slice(piece);
        let scanned = commands.scan(&held, |command| {
            let args = command.args().map(<[u8]>::to_vec).collect();
            read.seen.push((command.part, command.count, args));
            Ok::<_, Fault>(Fate::Pass)
        })?;
        let mut at = 0;
        for (range, other) in &scanned.cuts {
            read.on.extend_from_slice(&held[at..range.start]);
            read.on.extend_from_slice(other);
            at = range.end;
        }
        read.on.extend_from_slice(&held[at..scanned.taken]);
        held.drain(..scanned.taken);
    }
    Ok(read)
}

#[test]
fn a_command_goes_on_whole_and_a_long_one_as_it_comes() {
    let long = framed(&[b"SET", b"key", &[7; 100_000]]);
    let bytes = [framed(&[b"PING"]), long.clone()].concat();
    let mut commands = Commands::default();
    let mut pass = |_: Command<'_>| Ok::<_, Fault>(Fate::Pass);
    assert_eq!(commands.scan(&bytes[..13], &mut pass).unwrap().taken, 0);
    let scanned = commands.scan(&bytes[..20], &mut pass).unwrap();
    assert_eq!((scanned.taken, commands.is_between()), (14, true));
    assert_eq!(commands.scan(&bytes[14..20_000], &mut pass).unwrap().taken, 19_986);
    assert!(!commands.is_between());
    commands.scan(&bytes[20_000..], &mut pass).unwrap();
    assert!(commands.is_between());
    let all = read(&long, 4096).unwrap();
    let parts: Vec<_> = all.seen.iter().map(|(part, count, _)| (*part, *count)).collect();
    assert_eq!(parts, [(Part::Head, 3), (Part::Tail, 3)]);
    assert_eq!(all.seen[1].2, [b"SET".to_vec(), b"key".to_vec(), vec![7; 1024]]);
    assert_eq!(all.on, long);
}

#[test]
fn what_is_no_command_is_not_let_on() {
    let cases: [(&[u8], Fault); 18] = [
        (b"PING\r\n", Fault::Inline(b'P')),
        (b"\rPING\r\n", Fault::Inline(b'\r')),
        (b"\x16\x03\x01", Fault::Inline(0x16)),
        (b"GET / HTTP/1.1\r\n", Fault::Inline(b'G')),
        (b"*x\r\n", Fault::Count),
        (b"*1048577\r\n", Fault::Count),
        (b"*-2\r\n", Fault::Count),
        (b"*99999999999999999999999999\r\n", Fault::Count),
        (b"*1\n$4\r\nPING\r\n", Fault::Count),
        (b"*+1\r\n$4\r\nPING\r\n", Fault::Count),
        (b"*1\r\n+PING\r\n", Fault::End),
        (b"*1\r\n*1\r\n$4\r\nPING\r\n", Fault::End),
        (b"*1\r\n$-1\r\n", Fault::Length),
        (b"*1\r\n$x\r\n", Fault::Length),
        (b"*2\r\n$3\r\nGET\r\n$536870913\r\n", Fault::Length),
        (b"*1\r\n$4\r\nPINGxx", Fault::End),
        (b"*1\r\n$3\r\nPING\r\n", Fault::End),
        (b"*1\r\n$65\r\n", Fault::Name),
    ];
    for (bytes, fault) in cases {
        assert_eq!(read(bytes, 1000), Err(fault), "{}", String::from_utf8_lossy(bytes));
        assert_eq!(read(bytes, 1), Err(fault), "{}", String::from_utf8_lossy(bytes));
    }
    // The same within a long one.
    let mut long = framed(&[b"SET", b"key", &[7; 50_000], b"EX", b"1"]);
    let at = long.len() - 17;
    long[at] = b'!';
    assert!(read(&long, 4096).is_err());
}

#[test]
fn a_command_of_nothing_is_skipped_as_a_server_skips_it() {
    let nothing = b"*0\r\n*-1\r\n\r\n\n\r\n".to_vec();
    let bytes = [nothing.clone(), framed(&[b"PING"]), nothing, framed(&[b"PING"])].concat();
    for step in [1, 2, 3, 1000] {
        assert_eq!(read(&bytes, step).unwrap().on, framed(&[b"PING"]).repeat(2));
    }
}

#[test]
fn what_stands_for_a_command_goes_on_in_its_place() {
    let other = framed(&[b"FLUSHALL", &[1; 40_000]]);
    let bytes = [framed(&[b"GET", b"a"]), other, framed(&[b"GET", b"b"])].concat();
    let mut commands = Commands::default();
    let scanned = commands.scan(&bytes, |command| {
        Ok::<_, Fault>(match command.name() {
            b"GET" => Fate::Pass,
            _ => Fate::Instead(b"(x)".to_vec()),
        })
    });
    assert_eq!(scanned.unwrap().taken, bytes.len());
    // The look at them ends there, and goes on behind it.
    let bytes = [framed(&[b"AUTH", b"x"]), framed(&[b"GET", b"b"])].concat();
    let stop = |_: Command<'_>| Ok::<_, Fault>(Fate::Stop(Vec::new()));
    let scanned = Commands::default().scan(&bytes, stop).unwrap();
    assert!(scanned.stopped);
    assert_eq!(scanned.taken, framed(&[b"AUTH", b"x"]).len());
}

proptest! {
    #[test]
    fn pieces_change_nothing(
        commands in prop::collection::vec(prop::collection::vec(0usize..30_000, 1..5), 1..5),
        piece in 1usize..40_000,
    ) {
        let whole: Vec<Vec<Vec<u8>>> = commands.iter().map(|lengths| {
            let rest = lengths.iter().map(|length| vec![b'v'; *length]);
            std::iter::once(b"SET".to_vec()).chain(rest).collect()
        }).collect();
        let bytes: Vec<u8> = whole.iter().flat_map(|args| {
            framed(&args.iter().map(Vec::as_slice).collect::<Vec<_>>())
        }).collect();
        let read = read(&bytes, piece).unwrap();
        let ended = read.seen.iter().filter(|(part, ..)| *part != Part::Head);
        let counts: Vec<_> = ended.map(|(_, count, _)| *count).collect();
        prop_assert_eq!(counts, whole.iter().map(Vec::len).collect::<Vec<_>>());
        prop_assert_eq!(read.on, bytes);
    }

    #[test]
    fn no_byte_of_what_is_none_goes_on(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..20) {
        if let Ok(read) = read(&bytes, piece) {
            prop_assert!(read.on.len() <= bytes.len());
        }
    }
}
