//! A client of a directory (RFC 4511): StartTLS, a simple bind, and a search in pages.
//!
//! Filters are values and never text, so nothing that anybody types can be one.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::ber::{BOOLEAN, ENUMERATED, INTEGER, Malformed, OCTETS, Reader, SEQUENCE, SET, Writer};
use crate::config::LdapDirectory;
use crate::deliver::{self, SendError};

/// Why a directory has not answered, or not as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LdapError {
    #[error("could not reach the directory")]
    Line { source: SendError },
    #[error("the connection to the directory broke")]
    Broke { source: std::io::Error },
    #[error("the directory takes no StartTLS: {0}")]
    NoTls(Told),
    #[error("the directory does not let the relay in: {0}")]
    NotLetIn(Told),
    #[error("the directory refused: {0}")]
    Refused(Told),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the directory's answer is longer than {MOST_BYTES} bytes")]
    TooLong,
    #[error("more than {0} entries fit")]
    TooMany(usize),
    #[error("the directory took too long")]
    Slow,
    #[error("the directory shows nobody at all")]
    Nobody,
}

/// A result that is no success (RFC 4511, section 4.1.9).
#[derive(Debug)]
pub(crate) struct Told {
    code: u32,
    text: String,
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "result {} {:?}", self.code, self.text)
    }
}

/// What an entry has to be.
pub(super) enum Filter<'a> {
    All(Vec<Self>),
    Any(Vec<Self>),
    Equal(&'a str, &'a [u8]),
}

pub(super) struct Search<'a> {
    pub(super) base: &'a str,
    pub(super) filter: Filter<'a>,
    pub(super) attributes: &'a [&'a str],
}

/// One that was found; its attributes by their names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dn: String,
    pub(super) attributes: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Entry {
    pub(super) fn values(&self, name: &str) -> &[Vec<u8>] {
        self.attributes.get(&name.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }

    /// The first value, as text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values(name).first().and_then(|value| std::str::from_utf8(value).ok())
    }
}

/// A connection whose other end has shown a certificate that is good for the directory's name.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    /// The number of the last message.
    last: u32,
}

impl Connection {
    /// Connects, and proves nothing yet.
    pub(super) async fn open(to: &LdapDirectory) -> Result<Self, LdapError> {
        let line = |source| LdapError::Line { source };
        let mut socket = deliver::connect(&to.host, to.port).await.map_err(line)?;
        if to.start_tls {
            let asked = Writer::default().bytes(0x80, START_TLS.as_bytes());
            send(&mut socket, 1, &Writer::default().within(EXTENDED, &asked)).await?;
            let message = receive(&mut socket).await?;
            let (_, (tag, content)) = message.parts()?;
            let told = result(tag, content, EXTENDED_DONE)?;
            told.map_err(LdapError::NoTls)?;
        }
        let stream = deliver::secure(socket, &to.host, &to.tls, &[]).await.map_err(line)?;
        Ok(Self { stream, last: 1 })
    }

    /// Whether this is the password of a name. Without one a directory lets anybody in as nobody (RFC
    /// 4513, section 5.1.2), so none is never shown.
    pub(super) async fn bind(
        &mut self,
        dn: &str,
        password: &str,
    ) -> Result<Result<(), Told>, LdapError> {
        if dn.is_empty() || password.is_empty() {
            let text = "nothing was shown".to_owned();
            return Ok(Err(Told { code: INVALID_CREDENTIALS, text }));
        }
        let asked = Writer::default().number(INTEGER, 3).text(dn).bytes(0x80, password.as_bytes());
        self.ask(&Writer::default().within(BIND, &asked)).await?;
        let message = self.answer().await?;
        let (_, (tag, content)) = message.parts()?;
        Ok(result(tag, content, BIND_DONE)?)
    }

    /// Everything that fits, `most` at most. Referrals to other directories are not followed.
    pub(super) async fn search(
        &mut self,
        search: &Search<'_>,
        most: usize,
    ) -> Result<Vec<Entry>, LdapError> {
        let (mut found, mut cookie) = (Vec::new(), Vec::new());
        loop {
            self.ask_page(search, &cookie).await?;
            cookie = self.page(&mut found, most).await?;
            if cookie.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn ask_page(&mut self, search: &Search<'_>, cookie: &[u8]) -> Result<(), LdapError> {
        let names = search.attributes.iter();
        let names = names.fold(Writer::default(), |names, name| names.text(name));
        let asked = Writer::default()
            .text(search.base)
            .number(ENUMERATED, WHOLE_SUBTREE)
            .number(ENUMERATED, NEVER_DEREFERENCE)
            .number(INTEGER, 0)
            .number(INTEGER, 0)
            .flag(false);
        let asked = search.filter.write(asked).within(SEQUENCE, &names);
        // RFC 2696.
        let page = Writer::default().number(INTEGER, PAGE).bytes(OCTETS, cookie);
        let page = Writer::default().within(SEQUENCE, &page).finish();
        let control = Writer::default().text(PAGED).flag(true).bytes(OCTETS, &page);
        let controls = Writer::default().within(SEQUENCE, &control);
        let message = Writer::default().within(SEARCH, &asked).within(CONTROLS, &controls);
        self.ask(&message).await
    }

    /// Takes one page; what the next is asked for with, if there is one.
    async fn page(&mut self, found: &mut Vec<Entry>, most: usize) -> Result<Vec<u8>, LdapError> {
        loop {
            let message = self.answer().await?;
            let (mut rest, (tag, content)) = message.parts()?;
            match tag {
                FOUND if found.len() >= most => return Err(LdapError::TooMany(most)),
                FOUND => found.push(entry(content)?),
                REFERRED => {}
                _ => {
                    let told = result(tag, content, SEARCH_DONE)?;
                    told.map_err(LdapError::Refused)?;
                    return Ok(cookie(&mut rest)?);
                }
            }
        }
    }

    async fn ask(&mut self, message: &Writer) -> Result<(), LdapError> {
        self.last += 1;
        send(&mut self.stream, self.last, message).await
    }

    /// The next message that answers the last question.
    async fn answer(&mut self) -> Result<Message, LdapError> {
        loop {
            let message = timeout(PATIENCE, receive(&mut self.stream)).await;
            let message = message.map_err(|_| LdapError::Slow)??;
            if message.id()? == self.last {
                return Ok(message);
            }
        }
    }
}

impl Filter<'_> {
    fn write(&self, to: Writer) -> Writer {
        let each = |all: &[Self]| all.iter().fold(Writer::default(), |to, one| one.write(to));
        match self {
            Self::All(all) => to.within(0xa0, &each(all)),
            Self::Any(any) => to.within(0xa1, &each(any)),
            Self::Equal(name, value) => {
                to.within(0xa3, &Writer::default().text(name).bytes(OCTETS, value))
            }
        }
    }
}

/// What stands in a message of the directory's, without its first two bytes or so.
struct Message(Vec<u8>);

impl Message {
    fn id(&self) -> Result<u32, Malformed> {
        Reader::new(&self.0).number(INTEGER)
    }

    /// What follows the operation, and the operation.
    fn parts(&self) -> Result<(Reader<'_>, (u8, &[u8])), Malformed> {
        let mut reader = Reader::new(&self.0);
        reader.number(INTEGER)?;
        let operation = reader.next()?;
        Ok((reader, operation))
    }
}

async fn send<S>(stream: &mut S, id: u32, message: &Writer) -> Result<(), LdapError>
where
    S: tokio::io::AsyncWrite + Unpin,
{
    let inner = Writer::default().number(INTEGER, id).raw(message);
    let whole = Writer::default().within(SEQUENCE, &inner).finish();
    let broke = |source| LdapError::Broke { source };
    stream.write_all(&whole).await.map_err(broke)?;
    stream.flush().await.map_err(broke)
}

async fn receive<S>(stream: &mut S) -> Result<Message, LdapError>
where
    S: tokio::io::AsyncRead + Unpin,
{
    let broke = |source| LdapError::Broke { source };
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.map_err(broke)?;
    let length = match head {
        [SEQUENCE, short @ ..=0x7f] => usize::from(short),
        [SEQUENCE, long @ 0x81..=0x84] => {
            let mut bytes = [0; 4];
            let bytes = &mut bytes[..usize::from(long & 0x7f)];
            stream.read_exact(bytes).await.map_err(broke)?;
            super::ber::long_length(bytes)?
        }
        _ => return Err(Malformed.into()),
    };
    if length > MOST_BYTES {
        return Err(LdapError::TooLong);
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.map_err(broke)?;
    Ok(Message(message))
}

fn result(tag: u8, content: &[u8], wanted: u8) -> Result<Result<(), Told>, Malformed> {
    if tag != wanted {
        return Err(Malformed);
    }
    let mut reader = Reader::new(content);
    let (code, _, text) = (reader.number(ENUMERATED)?, reader.text()?, reader.text()?);
    let text = access::text::visible(&text).chars().take(LONGEST_TEXT).collect();
    Ok(if code == SUCCESS { Ok(()) } else { Err(Told { code, text }) })
}

fn entry(content: &[u8]) -> Result<Entry, Malformed> {
    let mut reader = Reader::new(content);
    let mut entry = Entry { dn: reader.text()?, ..Entry::default() };
    let mut all = reader.within(SEQUENCE)?;
    while !all.is_empty() {
        let mut one = all.within(SEQUENCE)?;
        let name = one.text()?.to_ascii_lowercase();
        let mut values = one.within(SET)?;
        let mut taken = Vec::new();
        while !values.is_empty() {
            taken.push(values.expect(OCTETS)?.to_vec());
        }
        entry.attributes.insert(name, taken);
    }
    Ok(entry)
}

/// RFC 2696's, of the controls of a last message.
fn cookie(rest: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let mut controls = rest.within(CONTROLS)?;
    while !controls.is_empty() {
        let mut control = controls.within(SEQUENCE)?;
        let name = control.text()?;
        let mut value = control.next()?;
        if value.0 == BOOLEAN {
            value = control.next()?;
        }
        if name == PAGED {
            let mut page = Reader::new(value.1).within(SEQUENCE)?;
            page.number(INTEGER)?;
            return Ok(page.expect(OCTETS)?.to_vec());
        }
    }
    Ok(Vec::new())
}

const BIND: u8 = 0x60;
const BIND_DONE: u8 = 0x61;
const SEARCH: u8 = 0x63;
const FOUND: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const REFERRED: u8 = 0x73;
const EXTENDED: u8 = 0x77;
const EXTENDED_DONE: u8 = 0x78;
const CONTROLS: u8 = 0xa0;
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
const PAGED: &str = "1.2.840.113556.1.4.319";
const SUCCESS: u32 = 0;
const INVALID_CREDENTIALS: u32 = 49;
const WHOLE_SUBTREE: u32 = 2;
const NEVER_DEREFERENCE: u32 = 0;
/// Entries at a time; Active Directory gives 1000 at most.
const PAGE: u32 = 500;
/// Of one message: an entry with thousands of groups.
const MOST_BYTES: usize = 4 << 20;
const LONGEST_TEXT: usize = 200;
/// For one message.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_somebody_types_is_a_value_and_no_filter() {
        for typed in ["*", "alice)(uid=*", "\\2a", "a\0b", "x)(|(objectClass=*)"] {
            let filter = Filter::All(vec![
                Filter::Equal("objectClass", b"person"),
                Filter::Equal("uid", typed.as_bytes()),
            ]);
            let written = filter.write(Writer::default()).finish();
            let mut all = Reader::new(&written).within(0xa0).unwrap();
            all.within(0xa3).unwrap();
            let mut equal = all.within(0xa3).unwrap();
            assert_eq!(equal.text().unwrap(), "uid");
            assert_eq!(equal.expect(OCTETS).unwrap(), typed.as_bytes());
            assert!(equal.is_empty() && all.is_empty());
        }
    }

    #[test]
    fn an_entry_is_read_with_all_its_values() {
        let values = Writer::default().text("a").text("b");
        let one = Writer::default().text("memberOf").within(SET, &values);
        let all = Writer::default().within(SEQUENCE, &one);
        let content = Writer::default().text("uid=x,dc=y").within(SEQUENCE, &all).finish();
        let read = entry(&content).unwrap();
        assert_eq!(read.dn, "uid=x,dc=y");
        assert_eq!(read.values("MEMBEROF"), [b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(read.text("memberof"), Some("a"));
        for end in 0..content.len() {
            assert!(entry(&content[..end]).is_err(), "{end}");
        }
    }
}
