use proptest::prelude::*;

use super::*;

/// Where replies begin and end, when they come in pieces of this size.
fn read(bytes: &[u8], piece: usize) -> Result<Vec<(usize, Seen)>, Fault> {
    let (mut replies, mut all, mut from, mut begun) = (Replies::default(), Vec::new(), 0, 0);
    for piece in bytes.chunks(piece) {
        replies.scan(piece, |told| {
            match told {
                Told::Begins(at, _) => begun = from + at,
                Told::Ends(at, seen) => all.push((from + at - begun, seen)),
            }
            Ok::<_, Fault>(())
        })?;
        from += piece.len();
    }
    Ok(all)
}

fn one(bytes: &[u8]) -> Seen {
    let whole = read(bytes, 10_000).unwrap();
    assert_eq!(whole.len(), 1, "{}", String::from_utf8_lossy(bytes));
    assert_eq!(whole[0].0, bytes.len());
    assert_eq!(read(bytes, 1).unwrap(), whole);
    whole[0].1.clone()
}

#[test]
fn replies_of_both_versions_are_read_to_their_ends() {
    for plain in [
        &b"+OK\r\n"[..],
        b":-12\r\n",
        b"$5\r\nhello\r\n",
        b"$0\r\n\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n*2\r\n:1\r\n$1\r\na\r\n*0\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",3.14\r\n",
        b"(3492890328409238509324850943850943825024385\r\n",
        b"=15\r\ntxt:Some string\r\n",
        b"!21\r\nSYNTAX invalid syntax\r\n",
        b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n",
        b"~2\r\n:1\r\n:2\r\n",
        b">3\r\n+message\r\n+channel\r\n$1\r\nx\r\n",
        b"|1\r\n+ttl\r\n:3600\r\n$1\r\nx\r\n",
        b"*2\r\n|1\r\n+ttl\r\n:3600\r\n$1\r\nx\r\n:1\r\n",
    ] {
        one(plain);
    }
    assert_eq!(one(b"-WRONGTYPE Operation\r\n").text, b"WRONGTYPE Operation");
    let ack = one(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:7\r\n");
    assert_eq!(
        (ack.text.as_slice(), ack.number, ack.elements),
        (&b"subscribe"[..], Some(7), Some(3))
    );
    let executed = one(b"*3\r\n+OK\r\n-ERR one\r\n-ERR two\r\n");
    assert_eq!(executed.inner.as_deref(), Some(&b"ERR one"[..]));
    assert_eq!(one(b"%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n").elements, Some(2));
    assert_eq!(one(b"|1\r\n+a\r\n+b\r\n-ERR x\r\n").kind, b'-');
    let with = one(b"|1\r\n+a\r\n:9\r\n>3\r\n+subscribe\r\n+c\r\n:1\r\n");
    assert_eq!((with.text.as_slice(), with.number), (&b"subscribe"[..], Some(1)));
}

#[test]
fn what_is_no_reply_is_told() {
    for bad in [
        &b"hello\r\n"[..],
        b"$x\r\n",
        b"$5\r\nhelloXX",
        b"$5\r\nhello world\r\n",
        b"+OK\n",
        b"+OK\rX",
        b"*1\r\n\r\n",
        b"$99999999999\r\n",
        b"$?\r\n",
        b"*?\r\n",
        b"%9999999999999999999\r\n",
        b".\r\n",
    ] {
        assert!(read(bad, 1000).is_err(), "{}", String::from_utf8_lossy(bad));
        assert!(read(bad, 1).is_err(), "{}", String::from_utf8_lossy(bad));
    }
    assert_eq!(read(&b"*1\r\n".repeat(1000), 1000), Err(Fault::Depth));
}

#[test]
fn a_great_string_and_a_great_list_take_no_room() {
    let mut replies = Replies::default();
    let none = |_: Told| Ok::<_, Fault>(());
    replies.scan(b"$536870912\r\n", none).unwrap();
    for _ in 0..1000 {
        replies.scan(&[b'x'; 64 * 1024], none).unwrap();
    }
    assert!(!replies.is_between());
    assert_eq!(replies.seen.as_ref().unwrap().text.len(), KEPT);
    let mut replies = Replies::default();
    replies.scan(b"*4000000000\r\n:1\r\n:2\r\n", none).unwrap();
    assert_eq!(replies.open.len(), 1);
}

proptest! {
    #[test]
    fn pieces_change_nothing(bytes in prop::collection::vec(prop::sample::select(b"+-:$*%~>|\r\n0123ab".to_vec()), 0..200), piece in 1usize..9) {
        let (whole, pieces) = (read(&bytes, 1000), read(&bytes, piece));
        prop_assert_eq!(whole.is_err(), pieces.is_err());
        if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
            prop_assert_eq!(whole, pieces);
        }
    }
}
