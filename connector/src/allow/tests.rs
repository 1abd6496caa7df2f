use proptest::prelude::*;

use super::*;

/// Each row: the list (`None`: absent), what is asked for, what it resolved to, the answer.
#[test]
fn the_list_decides_as_written() {
    use NotAllowed::{Special, Unlisted};
    let site = ["10.0.0.0/8:22", "[fd00::]/8:*", "db1.corp:5432", "192.168.7.9:80"];
    let wide = ["0.0.0.0/0:*", "::/0:*", "evil.example:*"];
    let many = ["10.0.0.0/8:8000-8100", "app.corp:1-65535", "0.0.0.0/0:8050-8051"];
    let local = ["127.0.0.1/32:5432", "localhost:8080", "169.254.10.0/24:22"];
    type Row<'a> = (&'a [&'a str], &'a str, &'a str, u16, Result<(), NotAllowed>);
    let table: &[Row] = &[
        (&site, "10.1.2.3", "10.1.2.3", 22, Ok(())),
        (&site, "10.1.2.3", "10.1.2.3", 23, Err(Unlisted)),
        (&site, "11.1.2.3", "11.1.2.3", 22, Err(Unlisted)),
        (&site, "::ffff:10.1.2.3", "::ffff:10.1.2.3", 22, Ok(())),
        (&site, "fd12::1", "fd12::1", 9, Ok(())),
        (&site, "db1.corp", "172.16.0.9", 5432, Ok(())),
        (&site, "DB1.corp.", "172.16.0.9", 5432, Ok(())),
        (&site, "db1.corp", "172.16.0.9", 5433, Err(Unlisted)),
        (&site, "db2.corp", "172.16.0.9", 5432, Err(Unlisted)),
        (&site, "db2.corp", "10.0.0.1", 22, Ok(())),
        (&site, "192.168.7.9", "192.168.7.9", 80, Ok(())),
        // A name that points inside: rebinding never reaches a special range.
        (&site, "db1.corp", "127.0.0.1", 5432, Err(Special)),
        (&site, "db1.corp", "::1", 5432, Err(Special)),
        (&wide, "evil.example", "169.254.169.254", 80, Err(Special)),
        (&wide, "evil.example", "::ffff:127.0.0.1", 80, Err(Special)),
        // A network wider than a special range does not mean it.
        (&wide, "127.0.0.1", "127.0.0.1", 22, Err(Special)),
        (&wide, "::1", "::1", 22, Err(Special)),
        (&wide, "8.8.8.8", "8.8.8.8", 53, Ok(())),
        // A network inside one does, and only as far as it reaches.
        (&local, "127.0.0.1", "127.0.0.1", 5432, Ok(())),
        (&local, "::ffff:127.0.0.1", "::ffff:127.0.0.1", 5432, Ok(())),
        (&local, "127.0.0.2", "127.0.0.2", 5432, Err(Special)),
        (&local, "127.0.0.1", "127.0.0.1", 22, Err(Special)),
        (&local, "anything.corp", "127.0.0.1", 5432, Ok(())),
        (&local, "localhost", "127.0.0.1", 8080, Ok(())),
        (&local, "localhost", "::1", 8080, Ok(())),
        (&local, "LOCALHOST", "127.0.0.1", 8080, Ok(())),
        (&local, "localhost", "169.254.169.254", 8080, Err(Special)),
        (&local, "localhost", "127.0.0.1", 8081, Err(Special)),
        (&local, "not-localhost", "127.0.0.1", 8080, Err(Special)),
        (&local, "169.254.10.7", "169.254.10.7", 22, Ok(())),
        (&local, "169.254.169.254", "169.254.169.254", 22, Err(Special)),
        (&local, "10.0.0.1", "10.0.0.1", 22, Err(Unlisted)),
        (&many, "10.0.0.1", "10.0.0.1", 7999, Err(Unlisted)),
        (&many, "10.0.0.1", "10.0.0.1", 8000, Ok(())),
        (&many, "10.0.0.1", "10.0.0.1", 8100, Ok(())),
        (&many, "10.0.0.1", "10.0.0.1", 8101, Err(Unlisted)),
        (&many, "app.corp", "172.16.0.9", 65535, Ok(())),
        (&many, "127.0.0.1", "127.0.0.1", 8050, Err(Special)),
        // An empty list allows nothing.
        (&[], "10.0.0.1", "10.0.0.1", 22, Err(Unlisted)),
    ];
    for (entries, host, address, port, expected) in table {
        let entries = entries.iter().map(|text| text.parse().unwrap()).collect();
        let answer = AllowList::new(Some(entries)).check(host, address.parse().unwrap(), *port);
        assert_eq!(answer.map(drop), *expected, "{host} at {address}, port {port}");
    }
}

#[test]
fn without_a_list_all_but_the_special_ranges_is_allowed() {
    let list = AllowList::default();
    for address in ["10.0.0.1", "192.168.1.1", "8.8.8.8", "fd00::1", "2001:db8::1", "100.64.0.1"] {
        assert!(list.check("x", address.parse().unwrap(), 22).is_ok(), "{address}");
    }
    let special = [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "169.254.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "239.1.1.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:0.0.0.0",
        "::ffff:169.254.169.254",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "fe80::1",
        "febf::1",
        "ff02::1",
        "fd00:ec2::254",
    ];
    for address in special {
        let refused = list.check("x", address.parse().unwrap(), 22);
        assert_eq!(refused, Err(NotAllowed::Special), "{address}");
    }
}

#[test]
fn what_is_dialled_is_what_was_checked() {
    let list = AllowList::default();
    let checked = list.check("x", "::ffff:10.0.0.1".parse().unwrap(), 22).unwrap();
    assert_eq!(checked, "10.0.0.1:22".parse().unwrap());
}

#[test]
fn a_mistake_in_an_entry_is_named() {
    let good = [
        ("10.0.0.0/8:22", "10.0.0.0/8:22"),
        ("10.1.2.3/8:*", "10.0.0.0/8:*"),
        ("10.0.0.7:22", "10.0.0.7/32:22"),
        ("[::1]:22", "[::1]/128:22"),
        ("fd00::/8:22", "[fd00::]/8:22"),
        ("[fd00::]/8:22", "[fd00::]/8:22"),
        ("[fd00::/8]:22", "[fd00::]/8:22"),
        ("DB1.corp:5432", "db1.corp:5432"),
        ("::ffff:10.0.0.7:22", "10.0.0.7/32:22"),
        ("[fd00::]/8:8000-8100", "[fd00::]/8:8000-8100"),
        ("my-db.corp:1-65535", "my-db.corp:1-65535"),
        ("db1.corp:22-22", "db1.corp:22"),
    ];
    for (text, shown) in good {
        let entry: Entry = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(entry.to_string(), shown);
        assert_eq!(shown.parse(), Ok(entry), "{shown}");
    }
    let bad = [
        ("10.0.0.0/8", EntryError::Form),
        ("10.0.0.0/8:0", EntryError::Port),
        ("10.0.0.0/8:65536", EntryError::Port),
        ("10.0.0.0/8:ssh", EntryError::Port),
        ("db1.corp:8100-8000", EntryError::Port),
        ("db1.corp:0-8000", EntryError::Port),
        ("db1.corp:8000-65536", EntryError::Port),
        ("db1.corp:8000-", EntryError::Port),
        ("db1.corp:-", EntryError::Port),
        ("db1.corp:8000-*", EntryError::Port),
        ("db1.corp:1-2-3", EntryError::Port),
        ("10.0.0.0/33:22", EntryError::Host),
        ("10.0.0.256:22", EntryError::Host),
        ("a b:22", EntryError::Host),
        ("*:22", EntryError::Host),
        ("[db1]:22", EntryError::Host),
        (":22", EntryError::Host),
    ];
    for (text, error) in bad {
        assert_eq!(text.parse::<Entry>(), Err(error), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*") {
        drop(text.parse::<Entry>());
    }

    #[test]
    fn no_wide_network_opens_a_special_address(prefix in 0u8..=7, port: u16, last: u8) {
        let entries = vec![format!("127.0.0.0/{prefix}:*").parse().unwrap()];
        let list = AllowList::new(Some(entries));
        let address = IpAddr::from([127, 0, 0, last]);
        prop_assert_eq!(list.check("x", address, port), Err(NotAllowed::Special));
    }
}
