use bytes::{BufMut as _, Bytes, BytesMut};
use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use crate::proto::{self, Fault, Packet, Status, Withheld, packet};

fn one(bytes: &[u8]) -> Result<Option<Packet>, Fault> {
    packet(&mut BytesMut::from(bytes))
}

fn framed(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap();
    [&kind.to_le_bytes()[..], &[0, 0], &length.to_le_bytes(), body].concat()
}

fn text(text: &str) -> Vec<u8> {
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    [&u16::try_from(units.len()).unwrap().to_le_bytes()[..], &units].concat()
}

#[test]
fn what_freerdp_begins_with_is_a_handshake_that_offers_a_token() {
    let bytes = [1, 0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 2, 0];
    let Ok(Some(Packet::Handshake { auth })) = one(&bytes) else { panic!("no handshake") };
    assert!(proto::shows_token(auth) && !proto::shows_token(0x4));
}

#[test]
fn a_token_is_read_with_and_without_a_zero_behind_it_and_never_printed() {
    for shown in ["adit_access_x", "adit_access_x\0"] {
        let body = [&13u32.to_le_bytes()[..], &[1, 0, 0, 0], &text(shown)].concat();
        let read = one(&framed(4, &body)).unwrap().unwrap();
        assert!(!format!("{read:?}").contains("adit_access_x"));
        let Packet::TunnelCreate { capabilities: 13, token: Some(token) } = read else {
            panic!("no token")
        };
        assert_eq!(token.expose_secret(), "adit_access_x");
    }
    let none = framed(4, &[0; 8]);
    assert!(matches!(one(&none), Ok(Some(Packet::TunnelCreate { token: None, .. }))));
}

#[test]
fn a_channel_has_at_least_one_name_and_no_more_than_fifty() {
    let asked = |count: u8, names: &[u8]| {
        one(&framed(8, &[&[count, 0, 0x3d, 0x0d, 3, 0][..], names].concat()))
    };
    let Ok(Some(Packet::ChannelCreate { names, port: 3389 })) = asked(1, &text("desk-hq\0")) else {
        panic!("no channel")
    };
    assert_eq!(names, ["desk-hq"]);
    assert_eq!(asked(0, &[]).unwrap_err(), Fault::Names);
    assert_eq!(asked(51, &text("a").repeat(51)).unwrap_err(), Fault::Names);
    assert_eq!(asked(2, &text("a")).unwrap_err(), Fault::Short);
}

#[test]
fn a_length_is_refused_before_what_it_announces_has_come() {
    let head =
        |kind: u16, length: u32| [&kind.to_le_bytes()[..], &[0, 0], &length.to_le_bytes()].concat();
    for length in [0, 7, 0x2001, u32::MAX] {
        assert_eq!(one(&head(4, length)).unwrap_err(), Fault::Length(length));
    }
    assert_eq!(one(&head(0xa, 0x1000a)).unwrap_err(), Fault::Length(0x1000a));
    assert!(one(&head(0xa, 0x10009)).unwrap().is_none());
    // Only servers send these.
    for kind in [0, 2, 5, 7, 9, 0xb, 0xc, 0x12, 0xffff] {
        assert_eq!(one(&head(kind, 8)).unwrap_err(), Fault::Kind(kind));
    }
}

#[test]
fn data_is_as_long_as_it_says_and_no_longer() {
    let sent =
        |length: u16, data: &[u8]| one(&framed(0xa, &[&length.to_le_bytes()[..], data].concat()));
    let Ok(Some(Packet::Data(data))) = sent(3, b"abc") else { panic!("no data") };
    assert_eq!(data, "abc");
    assert_eq!(sent(4, b"abc").unwrap_err(), Fault::Short);
    assert_eq!(sent(2, b"abc").unwrap_err(), Fault::Rest);
}

#[test]
fn what_is_no_text_is_refused() {
    for bytes in [&[1, 0, 0x41][..], &[2, 0, 0, 0xd8], &[4, 0, 0, 0xdc, 0, 0xd8], &[9, 0, 0, 0]] {
        let body = [&[0, 0][..], bytes].concat();
        let fault = one(&framed(6, &body)).unwrap_err();
        assert!(matches!(fault, Fault::Text | Fault::Short), "{bytes:?}: {fault}");
    }
}

#[test]
fn answers_say_their_length_and_a_refusal_has_no_more_fields() {
    let answers = [
        (proto::handshake_response(Status::OK), 18, 8),
        (proto::tunnel_response(Status::OK), 26, 10),
        (proto::tunnel_response(Status::BAD_TOKEN), 18, 10),
        (proto::tunnel_auth_response(Status::OK, Withheld::default()), 24, 8),
        (proto::channel_response(Status::OK), 20, 8),
        (proto::channel_response(Status::NO_ACCESS), 16, 8),
        (proto::close_channel(Status::TIME_OVER), 12, 8),
        (proto::close_channel_response(), 12, 8),
        (proto::keep_alive(), 8, 0),
    ];
    for (answer, length, status) in answers {
        assert_eq!(answer.len(), length, "{answer:?}");
        assert_eq!(answer[4..8], u32::try_from(length).unwrap().to_le_bytes());
        let failed = answer.get(status + 3).is_some_and(|byte| status > 0 && *byte == 0x80);
        assert_eq!(failed, [18, 16].contains(&length) && status > 0 && answer[0] != 2);
    }
}

/// MS-TSGU 2.2.5.3.7: what is switched off, bit by bit.
#[test]
fn a_client_is_asked_not_to_share_what_its_rule_withholds() {
    let flags = |withheld| {
        let answer = proto::tunnel_auth_response(Status::OK, withheld);
        u32::from_le_bytes(answer[16..20].try_into().unwrap())
    };
    let none = Withheld::default();
    let cases = [
        (none, 0x8000_0000),
        (Withheld { drives: true, ..none }, 0x15),
        (Withheld { printers: true, ..none }, 0x2),
        (Withheld { clipboard: true, ..none }, 0x8),
        (Withheld { drives: true, printers: true, clipboard: true }, 0x1f),
    ];
    for (withheld, wanted) in cases {
        assert_eq!(flags(withheld), wanted, "{withheld:?}");
    }
}

#[test]
fn much_data_goes_in_several_packets_and_a_long_message_is_cut() {
    let mut bytes = Bytes::from(vec![7; 100_000]);
    let mut sent = BytesMut::new();
    while !bytes.is_empty() {
        sent.put_slice(&proto::data(&mut bytes));
    }
    let mut read = 0;
    while let Some(Packet::Data(data)) = packet(&mut sent).unwrap() {
        read += data.len();
    }
    assert_eq!((read, sent.len()), (100_000, 0));
    assert!(proto::service_message(&"x".repeat(10_000)).len() < 2100);
}

proptest! {
    #[test]
    fn whatever_comes_is_a_packet_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut input = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = packet(&mut input) {}
    }

    #[test]
    fn whatever_is_in_a_packet_of_a_known_kind_is_read_or_refused(
        kind in 1u16..0x12,
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let read = one(&framed(kind, &body));
        prop_assert!(!matches!(read, Ok(None)));
    }
}
