//! PostgreSQL's protocol, version 3, as far as the door reads and writes it. Pure.
//!
//! <https://www.postgresql.org/docs/18/protocol-message-formats.html>

use bytes::{BufMut, BytesMut};

/// What a client may send before anybody has said anything: a packet without a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// It wants TLS.
    Tls,
    /// It wants encryption by GSSAPI.
    Gss,
    Cancel(Key),
    Startup(Startup),
}

/// Who may cancel what runs on a connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    pub process: u32,
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({}, [REDACTED])", self.process)
    }
}

/// How a client begins a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Startup {
    /// Of the protocol's version 3.
    pub minor: u16,
    pub user: String,
    pub database: Option<String>,
    /// The rest, without what only the door is told.
    pub settings: Vec<(String, String)>,
    /// The application that the options name.
    pub application: Option<String>,
    pub replication: Replication,
    /// Extensions of the protocol that it asks for.
    pub extensions: Vec<String>,
}

/// Whether a client wants to replicate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replication {
    #[default]
    No,
    /// Changes of one database.
    Logical,
    /// All of the server.
    Physical,
}

/// Why a first packet is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartupFault {
    #[error("the length of the startup packet is not valid")]
    Length,
    #[error("the layout of the startup packet is not valid")]
    Layout,
    #[error("the startup packet is no UTF-8 text, or has control characters")]
    Text,
    #[error("no user is named in the startup packet")]
    NoUser,
    #[error("protocol {major}.{minor} is not supported: 3.0 to 3.2 are")]
    Version { major: u16, minor: u16 },
}

/// The bytes that follow a first packet's length.
pub fn first_length(length: [u8; 4]) -> Result<usize, StartupFault> {
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| StartupFault::Length)?;
    let fits = (8..=LONGEST_STARTUP).contains(&length);
    if fits { Ok(length - 4) } else { Err(StartupFault::Length) }
}

/// Reads what follows the length of a first packet.
pub fn first(packet: &[u8]) -> Result<First, StartupFault> {
    let (version, rest) = packet.split_first_chunk::<4>().ok_or(StartupFault::Length)?;
    let [a, b, c, d] = *version;
    let (major, minor) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    match (major, minor) {
        (REQUEST, TLS) if rest.is_empty() => Ok(First::Tls),
        (REQUEST, GSS) if rest.is_empty() => Ok(First::Gss),
        (REQUEST, CANCEL) => {
            let (process, secret) = rest.split_first_chunk::<4>().ok_or(StartupFault::Length)?;
            if !(1..=LONGEST_SECRET).contains(&secret.len()) {
                return Err(StartupFault::Length);
            }
            let process = u32::from_be_bytes(*process);
            Ok(First::Cancel(Key { process, secret: secret.to_vec() }))
        }
        (3, minor) => Ok(First::Startup(startup(minor, rest)?)),
        (major, minor) => Err(StartupFault::Version { major, minor }),
    }
}

fn startup(minor: u16, text: &[u8]) -> Result<Startup, StartupFault> {
    let mut startup = Startup { minor, ..Startup::default() };
    // Pairs of texts, and an empty name at the very end.
    let body = text.strip_suffix(b"\0").ok_or(StartupFault::Layout)?;
    let mut texts = body.split(|byte| *byte == 0);
    let mut user = None;
    while let Some(name) = texts.next() {
        if name.is_empty() {
            // What stands behind the last pair's end.
            return match texts.next() {
                None => startup.named(user),
                Some(_) => Err(StartupFault::Layout),
            };
        }
        let value = plain(texts.next().ok_or(StartupFault::Layout)?)?;
        let name = plain(name)?;
        match name {
            "user" => user = Some(value.to_owned()),
            "database" => startup.database = Some(value.to_owned()).filter(|d| !d.is_empty()),
            "replication" => {
                let no = ["false", "off", "no", "0", "f", "n"];
                startup.replication = match value.to_ascii_lowercase().as_str() {
                    "database" => Replication::Logical,
                    off if no.contains(&off) => Replication::No,
                    _ => Replication::Physical,
                };
            }
            "options" => {
                let (application, rest) = take_application(value);
                startup.application = application.or(startup.application.take());
                if !rest.is_empty() {
                    startup.settings.push((name.to_owned(), rest));
                }
            }
            extension if extension.starts_with("_pq_.") => {
                startup.extensions.push(extension.to_owned());
            }
            setting => startup.settings.push((setting.to_owned(), value.to_owned())),
        }
    }
    Err(StartupFault::Layout)
}

impl Startup {
    fn named(self, user: Option<String>) -> Result<Self, StartupFault> {
        let user = user.filter(|user| !user.is_empty()).ok_or(StartupFault::NoUser)?;
        Ok(Self { user, ..self })
    }

    /// The minor version that is spoken with who asks for this one.
    pub fn spoken(&self) -> u16 {
        self.minor.min(NEWEST)
    }

    /// The account and the application in the user's name: `role`, `role+app` or `role+app.site`,
    /// before the token's id, if there is one.
    pub fn who(&self) -> (&str, Option<&str>) {
        let user = self.with_token().map_or(self.user.as_str(), |(user, _)| user);
        match user.rsplit_once('+') {
            Some((role, application)) if !application.is_empty() => (role, Some(application)),
            Some((role, _)) => (role, None),
            None => (user, None),
        }
    }

    /// The id of the token that the client will prove to know: `…+adit_ID`.
    pub fn token(&self) -> Option<&str> {
        self.with_token().map(|(_, id)| id)
    }

    fn with_token(&self) -> Option<(&str, &str)> {
        let (user, token) = self.user.rsplit_once("+adit_")?;
        let is_id = token.len() == TOKEN_ID && token.bytes().all(|c| c.is_ascii_alphanumeric());
        is_id.then_some((user, token))
    }

    /// The database it opens: clients that are told none name it as the user.
    pub fn database(&self) -> &str {
        self.named_database().unwrap_or(self.who().0)
    }

    /// The same, where it was told one.
    pub fn named_database(&self) -> Option<&str> {
        self.database.as_deref().filter(|database| *database != self.user)
    }

    /// A setting's value.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

fn plain(text: &[u8]) -> Result<&str, StartupFault> {
    let text = str::from_utf8(text).map_err(|_| StartupFault::Text)?;
    if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return Err(StartupFault::Text);
    }
    Ok(text)
}

/// Takes `adit.application` out of command-line options (`-c adit.application=web`), whose other
/// words stay as they are.
pub fn take_application(options: &str) -> (Option<String>, String) {
    let words = words(options);
    let (mut application, mut rest, mut at) = (None, Vec::new(), 0);
    while at < words.len() {
        let (raw, word) = &words[at];
        let after_c = word == "-c" && at + 1 < words.len();
        let setting = if after_c { &words[at + 1].1 } else { word };
        let bare = setting.strip_prefix("--").or_else(|| setting.strip_prefix("-c"));
        let bare = if after_c { setting } else { bare.unwrap_or_default() };
        match bare.split_once('=') {
            Some((name, value)) if name.replace('-', "_") == OPTION => {
                application = Some(value.to_owned());
            }
            Some(_) | None => {
                rest.push(*raw);
                rest.extend(after_c.then(|| words[at + 1].0));
            }
        }
        at += if after_c { 2 } else { 1 };
    }
    (application, rest.join(" "))
}

/// The words of command-line options, as they stand there and as they are meant: a backslash takes
/// its meaning from what follows it.
fn words(options: &str) -> Vec<(&str, String)> {
    let mut words = Vec::new();
    let mut rest = options.trim_start();
    while !rest.is_empty() {
        let (mut word, mut escaped, mut end) = (String::new(), false, rest.len());
        for (at, c) in rest.char_indices() {
            match c {
                _ if escaped => {
                    word.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                c if c.is_whitespace() => {
                    end = at;
                    break;
                }
                c => word.push(c),
            }
        }
        words.push((&rest[..end], word));
        rest = rest[end..].trim_start();
    }
    words
}

/// Appends a message.
pub fn message(out: &mut BytesMut, kind: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    packet(out, body);
}

/// Appends a packet without a type.
pub fn packet(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32(0);
    body(out);
    // What we write is short.
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends a text and its end.
pub fn text(out: &mut BytesMut, text: &str) {
    // A zero would end it early.
    out.extend(text.bytes().filter(|byte| *byte != 0));
    out.put_u8(0);
}

/// What a client is told that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub sqlstate: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

/// Appends an error that ends the connection.
pub fn fatal(out: &mut BytesMut, told: &Told) {
    message(out, b'E', |out| {
        let fields = [
            (b'S', Some("FATAL")),
            (b'V', Some("FATAL")),
            (b'C', Some(told.sqlstate)),
            (b'M', Some(told.message.as_str())),
            (b'H', told.hint.as_deref()),
        ];
        for (field, value) in fields {
            if let Some(value) = value {
                out.put_u8(field);
                text(out, value);
            }
        }
        out.put_u8(0);
    });
}

/// Appends the newest version we speak and the extensions that we do not.
pub fn negotiate(out: &mut BytesMut, minor: u16, extensions: &[String]) {
    message(out, b'v', |out| {
        out.put_u16(3);
        out.put_u16(minor);
        out.put_u32(u32::try_from(extensions.len()).unwrap_or(u32::MAX));
        extensions.iter().for_each(|extension| text(out, extension));
    });
}

/// Appends a key, as clients are given it and as they cancel with it.
pub fn key(out: &mut BytesMut, key: &Key) {
    out.put_u32(key.process);
    out.extend_from_slice(&key.secret);
}

/// The packet that cancels what runs.
pub fn cancel(key: &Key) -> BytesMut {
    let mut out = BytesMut::new();
    packet(&mut out, |out| {
        out.put_u16(REQUEST);
        out.put_u16(CANCEL);
        self::key(out, key);
    });
    out
}

/// The packet that asks for TLS.
pub const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Appends the packet that begins a session.
pub fn begin<'a>(out: &mut BytesMut, settings: impl Iterator<Item = (&'a str, &'a str)>) {
    packet(out, |out| {
        out.put_u32(3 << 16);
        for (name, value) in settings {
            text(out, name);
            text(out, value);
        }
        out.put_u8(0);
    });
}

/// A field of an error or notice.
pub fn field(body: &[u8], wanted: u8) -> Option<&[u8]> {
    body.split(|byte| *byte == 0).find_map(|field| match field.split_first() {
        Some((kind, value)) if *kind == wanted => Some(value),
        Some(_) | None => None,
    })
}

/// Whether an error, as a whole message, says that there is no database of that name.
pub fn lacks_database(message: &[u8]) -> bool {
    message.get(HEAD..).and_then(|body| field(body, b'C')) == Some(b"3D000".as_slice())
}

/// An error, as a whole message, with a hint where it has none.
pub fn hinted(message: &[u8], hint: Option<&str>) -> BytesMut {
    let body = message.get(HEAD..).unwrap_or_default();
    match (hint, body.split_last()) {
        (Some(hint), Some((0, fields))) if field(body, b'H').is_none() => {
            let mut out = BytesMut::new();
            self::message(&mut out, b'E', |out| {
                out.extend_from_slice(fields);
                out.put_u8(b'H');
                text(out, hint);
                out.put_u8(0);
            });
            out
        }
        _ => message.into(),
    }
}

/// The first text of a message, and what stands behind it; `None`: it does not end.
pub fn split_text(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = body.iter().position(|byte| *byte == 0)?;
    Some((&body[..end], &body[end + 1..]))
}

/// The name and the value in a ParameterStatus.
pub(crate) fn setting(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = split_text(body)?;
    Some((name, split_text(rest)?.0))
}

/// A message's type and length.
const HEAD: usize = 5;
/// The newest version of protocol 3 that the door speaks.
pub const NEWEST: u16 = 2;
/// As PostgreSQL has it: 10,000 bytes.
const LONGEST_STARTUP: usize = 10_000;
/// Version 3.2 has secrets of up to 256 bytes.
const LONGEST_SECRET: usize = 256;
const REQUEST: u16 = 1234;
const CANCEL: u16 = 5678;
const TLS: u16 = 5679;
const GSS: u16 = 5680;
const OPTION: &str = "adit.application";
const TOKEN_ID: usize = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet_of(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut packet = vec![0, 3, 0, 0];
        for (name, value) in pairs {
            packet.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        packet.push(0);
        packet
    }

    #[test]
    fn a_hint_is_added_to_an_error_that_has_none() {
        let error = |fields: &[u8]| {
            let mut out = BytesMut::new();
            message(&mut out, b'E', |out| out.extend_from_slice(fields));
            out
        };
        let plain = error(b"SFATAL\0C3D000\0Mno\0\0");
        assert!(lacks_database(&plain) && !lacks_database(&error(b"C28000\0\0")));
        assert_eq!(hinted(&plain, Some("x")), error(b"SFATAL\0C3D000\0Mno\0Hx\0\0"));
        assert_eq!(hinted(&plain, None), plain);
        let own = error(b"C3D000\0Hits own\0\0");
        assert_eq!(hinted(&own, Some("x")), own);
        for odd in [&b""[..], b"E", b"E\0\0\0\x04", b"E\0\0\0\x06no"] {
            assert_eq!(hinted(odd, Some("x")), odd);
            assert!(!lacks_database(odd));
        }
    }

    fn started(pairs: &[(&str, &str)]) -> Startup {
        match first(&packet_of(pairs)).unwrap() {
            First::Startup(startup) => startup,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_startup_names_role_application_and_database() {
        let table = [
            ("reporting", None, "reporting", None, "reporting"),
            ("reporting+orders-db", None, "reporting", Some("orders-db"), "reporting"),
            (
                "reporting+orders-db",
                Some("reporting+orders-db"),
                "reporting",
                Some("orders-db"),
                "reporting",
            ),
            ("a+b+orders-db.hq", Some("orders"), "a+b", Some("orders-db.hq"), "orders"),
            ("a+", Some("x"), "a", None, "x"),
        ];
        for (user, database, role, application, opened) in table {
            let mut pairs = vec![("user", user), ("application_name", "psql")];
            pairs.extend(database.map(|database| ("database", database)));
            let startup = started(&pairs);
            assert_eq!(startup.who(), (role, application), "{user}");
            assert_eq!(startup.database(), opened, "{user}");
            assert_eq!(startup.setting("application_name"), Some("psql"));
        }
    }

    #[test]
    fn a_token_may_stand_behind_the_application() {
        let table = [
            ("r+orders-db+adit_0123456789", ("r", Some("orders-db")), Some("0123456789")),
            ("r+adit_0123456789", ("r", None), Some("0123456789")),
            ("r+orders-db", ("r", Some("orders-db")), None),
            // A whole token is none that may be told to others.
            ("r+adit_access_0123456789", ("r", Some("adit_access_0123456789")), None),
            ("adit_0123456789", ("adit_0123456789", None), None),
        ];
        for (user, who, token) in table {
            let startup = started(&[("user", user)]);
            assert_eq!((startup.who(), startup.token()), (who, token), "{user}");
            assert_eq!(startup.database(), who.0, "{user}");
        }
    }

    #[test]
    fn the_application_is_taken_out_of_the_options() {
        let table = [
            ("-c adit.application=orders-db", Some("orders-db"), ""),
            (
                "-c search_path=a\\ b  -cadit.application=x -c work_mem=1",
                Some("x"),
                "-c search_path=a\\ b -c work_mem=1",
            ),
            ("--adit.application=x --geqo=off", Some("x"), "--geqo=off"),
            ("-c=", None, "-c="),
            ("-c", None, "-c"),
            ("", None, ""),
        ];
        for (options, application, rest) in table {
            let (taken, left) = take_application(options);
            assert_eq!((taken.as_deref(), left.as_str()), (application, rest), "{options}");
        }
        let startup = started(&[("user", "a"), ("options", "-c adit.application=x")]);
        assert_eq!((startup.application.as_deref(), startup.settings.len()), (Some("x"), 0));
    }

    #[test]
    fn a_first_packet_that_is_none_is_told_so() {
        let secret =
            |length: usize| [&[4, 0xd2, 0x16, 0x2e, 0, 0, 0, 1][..], &vec![7; length]].concat();
        let table: [(Vec<u8>, StartupFault); 8] = [
            (packet_of(&[("database", "x")]), StartupFault::NoUser),
            (packet_of(&[("user", "")]), StartupFault::NoUser),
            (packet_of(&[("user", "a\x1b]0;x\x07")]), StartupFault::Text),
            (packet_of(&[("user", "x")])[..9].to_vec(), StartupFault::Layout),
            ([packet_of(&[("user", "x")]), b"a\0".to_vec()].concat(), StartupFault::Layout),
            (vec![0, 2, 0, 0, 0], StartupFault::Version { major: 2, minor: 0 }),
            (secret(0), StartupFault::Length),
            (secret(257), StartupFault::Length),
        ];
        for (packet, fault) in table {
            assert_eq!(first(&packet), Err(fault), "{packet:?}");
        }
        for length in [0_u32, 1, 3, 4, 7, 10_001, 0x7fff_ffff, u32::MAX] {
            assert_eq!(first_length(length.to_be_bytes()), Err(StartupFault::Length), "{length}");
        }
        assert_eq!(first(&TLS_REQUEST[4..]), Ok(First::Tls));
        assert!(matches!(first(&secret(256)), Ok(First::Cancel(_))));
    }

    proptest! {
        #[test]
        fn no_packet_is_too_strange_to_read(packet in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(first(&packet));
            drop(first(&[&[0, 3, 0, 0][..], &packet].concat()));
        }

        #[test]
        fn options_without_ours_stay(options in "[ -~]{0,40}") {
            prop_assume!(!options.contains("adit"));
            let (application, rest) = take_application(&options);
            prop_assert_eq!(application, None);
            let all = |text: &str| words(text).into_iter().map(|(_, word)| word).collect::<Vec<_>>();
            prop_assert_eq!(all(&rest), all(&options));
        }
    }
}
