//! Packets of logins, as clients and servers write them.

use proptest::prelude::*;

use super::*;

fn hello_of(capabilities: u32, rest: &[&[u8]]) -> Vec<u8> {
    let head = [&capabilities.to_le_bytes()[..], &(1_u32 << 24).to_le_bytes(), &[45], &[0; 23]];
    [head.concat(), rest.concat()].concat()
}

fn said(packet: &[u8]) -> Hello {
    match first(packet).unwrap() {
        First::Hello(hello) => *hello,
        First::Tls => panic!("a request for TLS"),
    }
}

const NEWER: u32 = capability::PROTOCOL_41
    | capability::SECURE_CONNECTION
    | capability::PLUGIN_AUTH
    | capability::PLUGIN_AUTH_LENENC
    | capability::CONNECT_WITH_DB
    | capability::CONNECT_ATTRS;

#[test]
fn a_hello_names_role_application_and_database() {
    let packet = hello_of(
        NEWER | 1 << 26 | 1 << 27,
        &[
            b"reporting+orders-db\0",
            b"\x02xy",
            b"orders\0",
            b"caching_sha2_password\0",
            b"\x2d\x10adit_application\x03web\x0cprogram_name\x05mysql\x02_p\x011",
        ],
    );
    let hello = said(&packet);
    assert_eq!(who(&hello.user), ("reporting", Some("orders-db")));
    assert_eq!(hello.answer.0.as_slice(), b"xy");
    assert_eq!(hello.database.as_deref(), Some("orders"));
    assert_eq!(hello.plugin.as_deref(), Some("caching_sha2_password"));
    assert_eq!(hello.application.as_deref(), Some("web"));
    assert_eq!(hello.client().as_deref(), Some("mysql"));
    let names: Vec<_> = hello.attributes.iter().map(|(name, _)| name.as_slice()).collect();
    assert_eq!(names, [b"program_name".as_slice(), b"_p"]);
    // What was not offered is not agreed on.
    assert_eq!(hello.capabilities, NEWER);
    assert_eq!(who("a+b+c"), ("a+b", Some("c")));
    assert_eq!((who("a+"), who("a")), (("a", None), ("a", None)));
    let named = "a+b+adit_0123456789";
    assert_eq!((who(named), token(named)), (("a", Some("b")), Some("0123456789")));
    assert_eq!((token("a+adit_012"), token("adit_0123456789")), (None, None));
}

#[test]
fn clients_may_leave_out_what_stands_at_the_end() {
    let packet = hello_of(NEWER, &[b"x\0", b"\0"]);
    let hello = said(&packet);
    assert_eq!((hello.database, hello.plugin, hello.attributes.len()), (None, None, 0));
    let change = change(b"x\0\0orders\0", NEWER).unwrap();
    assert_eq!((change.database.as_deref(), change.charset), (Some("orders"), None));
}

#[test]
fn a_hello_that_is_none_is_told_so() {
    let table: [(Vec<u8>, LoginFault); 8] = [
        (vec![], LoginFault::Length),
        (hello_of(0, &[b"x\0"]), LoginFault::Old),
        (hello_of(NEWER, &[])[..30].to_vec(), LoginFault::Length),
        (hello_of(capability::PROTOCOL_41, &[b"x\0\0"]), LoginFault::NoPlugins),
        (hello_of(NEWER, &[b"x"]), LoginFault::Layout),
        (hello_of(NEWER, &[b"x\x1b\0", b"\0"]), LoginFault::Text),
        (hello_of(NEWER, &[b"x\0", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff"]), LoginFault::Layout),
        (hello_of(NEWER, &[b"x\0", b"\0", b"d\0", b"p\0", b"\x09\x01a"]), LoginFault::Layout),
    ];
    for (packet, fault) in table {
        assert_eq!(first(&packet), Err(fault), "{packet:?}");
    }
    assert_eq!(first(&hello_of(NEWER | capability::SSL, &[])), Ok(First::Tls));
}

#[test]
fn what_we_write_we_read() {
    let greeting = Greeting {
        version: "8.0.40-adit".to_owned(),
        thread: 1 << 30 | 7,
        scramble: (1..=20).collect(),
        capabilities: capability::OFFERED & !capability::LONG_PASSWORD,
        extended: capability::EXTENDED_METADATA,
        plugin: "caching_sha2_password".to_owned(),
    };
    let (mut out, mut number) = (BytesMut::new(), 0);
    greeting.write(&mut out, &mut number);
    assert_eq!((head(*out.first_chunk().unwrap()), number), ((out.len() - 4, 0), 1));
    assert_eq!(super::greeting(&out[4..]), Some(greeting));

    let attributes = [(b"a".to_vec(), vec![b'b'; 300])];
    let begin = Begin {
        capabilities: NEWER,
        extended: capability::EXTENDED_METADATA,
        longest_packet: 9,
        charset: 45,
        user: "orders_owner",
        answer: &[7; 20],
        database: Some("orders"),
        plugin: "mysql_native_password",
        attributes: &attributes,
    };
    let mut out = BytesMut::new();
    begin.write(&mut out, &mut number);
    let hello = said(&out[4..]);
    assert_eq!((hello.user.as_str(), hello.database.as_deref()), ("orders_owner", Some("orders")));
    assert_eq!(hello.extended, capability::EXTENDED_METADATA);
    assert_eq!((hello.answer.0.as_slice(), &*hello.attributes), (&[7; 20][..], &attributes[..]));
    let mut out = BytesMut::new();
    begin.write_change(&mut out, &mut 0);
    let change = change(&out[5..], NEWER).unwrap();
    assert_eq!((change.user.as_str(), change.charset), ("orders_owner", Some(45)));
    assert_eq!(change.plugin.as_deref(), Some("mysql_native_password"));

    let told = Told { number: 1045, sqlstate: "28000", message: "ü".repeat(400) };
    let mut out = BytesMut::new();
    error(&mut out, &mut 255, &told);
    let failure = failure(&out[4..]).unwrap();
    assert_eq!((failure.number, failure.sqlstate), (1045, Some(&b"28000"[..])));
    assert_eq!(failure.message.len(), 510);
}

#[test]
fn an_answer_to_nobody_shows_no_secret() {
    let hello = said(&hello_of(NEWER, &[b"x\0", b"\x06secret", b"d\0", b"p\0"]));
    assert!(!format!("{hello:?}").contains("115"), "{hello:?}");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = first(&bytes);
        let _ = change(&bytes, u32::MAX);
        let _ = greeting(&bytes);
        let _ = (failure(&bytes), done(&bytes), end(&bytes));
    }

    #[test]
    fn bytes_behind_their_number_come_back(length in 0usize..70_000) {
        let bytes = vec![7; length];
        let mut out = BytesMut::new();
        counted(&mut out, &bytes);
        let mut reader = Reader(&out);
        prop_assert_eq!(reader.counted(), Some(&bytes[..]));
        prop_assert!(reader.0.is_empty());
    }
}
