//! MySQL's protocol as far as the door reads and writes it. Pure.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html> and
//! <https://mariadb.com/kb/en/clientserver-protocol/>.
//! Our own rather than a crate's: of some forty layouts the door needs ten, each with a bound before
//! anything is allocated, and all of them fuzzed.

mod begin;
pub mod capability;
mod reader;

pub use begin::Begin;
pub use reader::Reader;

use bytes::{BufMut, BytesMut};
use zeroize::Zeroizing;

/// The first byte of what a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Quit,
    InitDb,
    Query,
    FieldList,
    CreateDb,
    DropDb,
    Refresh,
    Shutdown,
    Statistics,
    ProcessInfo,
    ProcessKill,
    Debug,
    Ping,
    ChangeUser,
    /// The binary log, tables and registers of replicas.
    Replication,
    Prepare,
    Execute,
    LongData,
    CloseStatement,
    ResetStatement,
    SetOption,
    Fetch,
    ResetConnection,
}

impl Command {
    /// The command of this byte; `None`: no client sends it.
    pub fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => Self::Quit,
            0x02 => Self::InitDb,
            0x03 => Self::Query,
            0x04 => Self::FieldList,
            0x05 => Self::CreateDb,
            0x06 => Self::DropDb,
            0x07 => Self::Refresh,
            0x08 => Self::Shutdown,
            0x09 => Self::Statistics,
            0x0a => Self::ProcessInfo,
            0x0c => Self::ProcessKill,
            0x0d => Self::Debug,
            0x0e => Self::Ping,
            0x11 => Self::ChangeUser,
            0x12..=0x15 | 0x1e => Self::Replication,
            0x16 => Self::Prepare,
            0x17 => Self::Execute,
            0x18 => Self::LongData,
            0x19 => Self::CloseStatement,
            0x1a => Self::ResetStatement,
            0x1b => Self::SetOption,
            0x1c => Self::Fetch,
            0x1f => Self::ResetConnection,
            _ => return None,
        })
    }

    /// Whether it may be longer than what is held in one piece.
    pub fn may_be_long(self) -> bool {
        matches!(self, Self::Query | Self::Prepare | Self::Execute | Self::LongData)
    }
}

/// What a server says of itself before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    pub version: String,
    /// By which the connection is known to `KILL`.
    pub thread: u32,
    pub scramble: Vec<u8>,
    pub capabilities: u32,
    /// MariaDB's own.
    pub extended: u32,
    pub plugin: String,
}

/// Bytes of which nothing is to be seen.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hidden(pub Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// What a client sends first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// It wants TLS.
    Tls,
    Hello(Box<Hello>),
}

/// How a client begins a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// What it can do of what was offered.
    pub capabilities: u32,
    /// The same of MariaDB's own.
    pub extended: u32,
    pub longest_packet: u32,
    pub charset: u8,
    pub user: String,
    /// Its answer to the scramble, by its own plugin.
    pub answer: Hidden,
    pub database: Option<String>,
    pub plugin: Option<String>,
    /// What it says of itself, without what only the door is told.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// The application that the attributes name.
    pub application: Option<String>,
}

/// A client that wants to be somebody else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub user: String,
    pub answer: Hidden,
    pub database: Option<String>,
    pub charset: Option<u16>,
    pub plugin: Option<String>,
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    pub application: Option<String>,
}

/// Why a packet of the login is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginFault {
    #[error("the length of the packet is not valid")]
    Length,
    #[error("the packet's number is not the next one")]
    Sequence,
    #[error("the layout of the packet is not valid")]
    Layout,
    #[error("a name in the packet is no UTF-8 text, or has control characters")]
    Text,
    #[error("the client speaks a protocol older than MySQL 4.1's")]
    Old,
    #[error("the client knows no authentication plugins")]
    NoPlugins,
}

/// The length and number of a packet.
pub fn head(head: [u8; 4]) -> (usize, u8) {
    let [a, b, c, number] = head;
    (usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16, number)
}

/// Reads what a client sends first.
pub fn first(packet: &[u8]) -> Result<First, LoginFault> {
    let mut reader = Reader(packet);
    let capabilities = reader.u32().ok_or(LoginFault::Length)?;
    if capabilities & capability::PROTOCOL_41 == 0 {
        return Err(LoginFault::Old);
    }
    let longest_packet = reader.u32().ok_or(LoginFault::Length)?;
    let charset = reader.u8().ok_or(LoginFault::Length)?;
    reader.take(19).ok_or(LoginFault::Length)?;
    let extended = reader.u32().ok_or(LoginFault::Length)?;
    if capabilities & capability::SSL != 0 && reader.0.is_empty() {
        return Ok(First::Tls);
    }
    if capabilities & capability::PLUGIN_AUTH == 0 {
        return Err(LoginFault::NoPlugins);
    }
    let mut hello = Hello { longest_packet, charset, ..Hello::default() };
    if capabilities & capability::LONG_PASSWORD == 0 {
        hello.extended = extended & capability::EXTENDED_METADATA;
    }
    // Whatever else it can do was not offered.
    hello.capabilities = capabilities & capability::OFFERED;
    hello.user = plain(reader.text().ok_or(LoginFault::Layout)?)?;
    let answer = if capabilities & capability::PLUGIN_AUTH_LENENC != 0 {
        reader.counted()
    } else if capabilities & capability::SECURE_CONNECTION != 0 {
        reader.u8().and_then(|length| reader.take(length.into()))
    } else {
        reader.text()
    };
    hello.answer = hidden(answer.ok_or(LoginFault::Layout)?);
    if capabilities & capability::CONNECT_WITH_DB != 0 {
        hello.database = named(reader.last_text())?;
    }
    hello.plugin = named(reader.last_text())?;
    if capabilities & capability::CONNECT_ATTRS != 0 {
        (hello.attributes, hello.application) = attributes(&mut reader)?;
    }
    Ok(First::Hello(Box::new(hello)))
}

/// Reads what follows the command of a client that changes its user.
pub fn change(body: &[u8], capabilities: u32) -> Result<Change, LoginFault> {
    let mut reader = Reader(body);
    let user = plain(reader.text().ok_or(LoginFault::Layout)?)?;
    let answer = reader.u8().and_then(|length| reader.take(length.into()));
    let answer = hidden(answer.ok_or(LoginFault::Layout)?);
    let mut change = Change { user, answer, ..Change::default() };
    change.database = named(reader.last_text())?;
    if reader.0.is_empty() {
        return Ok(change);
    }
    change.charset = Some(reader.u16().ok_or(LoginFault::Layout)?);
    change.plugin = named(reader.last_text())?;
    if capabilities & capability::CONNECT_ATTRS != 0 {
        (change.attributes, change.application) = attributes(&mut reader)?;
    }
    Ok(change)
}

type Attributes = (Vec<(Vec<u8>, Vec<u8>)>, Option<String>);

/// Pairs of texts, and the application that one of them names.
fn attributes(reader: &mut Reader<'_>) -> Result<Attributes, LoginFault> {
    if reader.0.is_empty() {
        return Ok((Vec::new(), None));
    }
    let mut pairs = Reader(reader.counted().ok_or(LoginFault::Layout)?);
    let (mut kept, mut application) = (Vec::new(), None);
    while !pairs.0.is_empty() {
        let name = pairs.counted().ok_or(LoginFault::Layout)?;
        let value = pairs.counted().ok_or(LoginFault::Layout)?;
        if name == ATTRIBUTE {
            application = Some(plain(value)?).filter(|name| !name.is_empty());
        } else {
            kept.push((name.to_vec(), value.to_vec()));
        }
    }
    Ok((kept, application))
}

/// The account and the application in a user's name: `role`, `role+app` or `role+app.site`, before the
/// token's id, if there is one.
pub fn who(user: &str) -> (&str, Option<&str>) {
    let user = with_token(user).map_or(user, |(user, _)| user);
    match user.rsplit_once('+') {
        Some((role, application)) if !application.is_empty() => (role, Some(application)),
        Some((role, _)) => (role, None),
        None => (user, None),
    }
}

/// The id of the token that a user's name names: `…+adit_ID`.
pub fn token(user: &str) -> Option<&str> {
    with_token(user).map(|(_, id)| id)
}

fn with_token(user: &str) -> Option<(&str, &str)> {
    let (user, token) = user.rsplit_once("+adit_")?;
    let is_id = token.len() == TOKEN_ID && token.bytes().all(|c| c.is_ascii_alphanumeric());
    is_id.then_some((user, token))
}

impl Hello {
    /// What the client calls itself.
    pub fn client(&self) -> Option<String> {
        let found = |wanted: &[u8]| {
            self.attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
        };
        let name = found(b"program_name").or_else(|| found(b"_client_name"))?;
        let name = &name[..name.len().min(LONGEST_CLIENT)];
        Some(String::from_utf8_lossy(name).into_owned())
    }
}

fn hidden(bytes: &[u8]) -> Hidden {
    Hidden(Zeroizing::new(bytes.to_vec()))
}

fn plain(text: &[u8]) -> Result<String, LoginFault> {
    let text = str::from_utf8(text).map_err(|_| LoginFault::Text)?;
    if text.chars().any(char::is_control) {
        return Err(LoginFault::Text);
    }
    Ok(text.to_owned())
}

fn named(text: &[u8]) -> Result<Option<String>, LoginFault> {
    Ok(Some(plain(text)?).filter(|text| !text.is_empty()))
}

/// Reads the first packet of a server.
pub fn greeting(packet: &[u8]) -> Option<Greeting> {
    let mut reader = Reader(packet);
    if reader.u8()? != 10 {
        return None;
    }
    let version = reader.text().filter(|version| version.len() <= LONGEST_VERSION)?;
    let version = String::from_utf8_lossy(version).into_owned();
    let thread = reader.u32()?;
    let mut scramble = reader.take(8)?.to_vec();
    reader.u8()?;
    let low = reader.u16()?;
    reader.take(3)?;
    let capabilities = u32::from(low) | u32::from(reader.u16()?) << 16;
    let length = usize::from(reader.u8()?);
    reader.take(6)?;
    let told = reader.u32()?;
    let extended = if capabilities & capability::LONG_PASSWORD == 0 { told } else { 0 };
    let rest = reader.take(length.saturating_sub(8).max(13))?;
    scramble.extend_from_slice(rest.strip_suffix(b"\0").unwrap_or(rest));
    let plugin = String::from_utf8_lossy(reader.last_text()).into_owned();
    Some(Greeting { version, thread, scramble, capabilities, extended, plugin })
}

impl Greeting {
    /// Appends it as a server sends it.
    pub fn write(&self, out: &mut BytesMut, number: &mut u8) {
        packet(out, number, |out| {
            let [a, b, c, d] = self.capabilities.to_le_bytes();
            let (first, rest) = self.scramble.split_at(self.scramble.len().min(8));
            out.put_u8(10);
            text(out, self.version.as_bytes());
            out.put_u32_le(self.thread);
            out.extend_from_slice(first);
            out.extend_from_slice(&[0, a, b, UTF8MB4, AUTOCOMMIT, 0, c, d, 21]);
            out.extend_from_slice(&[0; 6]);
            out.put_u32_le(self.extended);
            text(out, rest);
            text(out, self.plugin.as_bytes());
        });
    }
}

/// Appends a packet of less than 16 MiB, and counts it.
pub fn packet(out: &mut BytesMut, number: &mut u8, body: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32_le(0);
    body(out);
    // What we write is short.
    let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    let [a, b, c, _] = length.to_le_bytes();
    out[at..at + 4].copy_from_slice(&[a, b, c, *number]);
    *number = number.wrapping_add(1);
}

/// Appends a text and its end.
fn text(out: &mut BytesMut, text: &[u8]) {
    // A zero would end it early.
    out.extend(text.iter().filter(|byte| **byte != 0));
    out.put_u8(0);
}

/// Appends up to 255 bytes behind their number.
fn short(out: &mut BytesMut, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(255)];
    out.put_u8(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(bytes);
}

/// Appends bytes behind their number, as long as that is.
fn counted(out: &mut BytesMut, bytes: &[u8]) {
    match bytes.len() {
        length @ ..251 => out.put_u8(u8::try_from(length).unwrap_or(u8::MAX)),
        length @ ..0x1_0000 => {
            out.put_u8(0xfc);
            out.put_u16_le(u16::try_from(length).unwrap_or(u16::MAX));
        }
        length => {
            out.put_u8(0xfe);
            out.put_u64_le(length as u64);
        }
    }
    out.extend_from_slice(bytes);
}

/// Appends a request to log in by another plugin.
pub fn switch(out: &mut BytesMut, number: &mut u8, plugin: &str, scramble: &[u8]) {
    packet(out, number, |out| {
        out.put_u8(0xfe);
        text(out, plugin.as_bytes());
        out.extend_from_slice(scramble);
        out.put_u8(0);
    });
}

/// What a client is told that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub number: u16,
    pub sqlstate: &'static str,
    pub message: String,
}

/// Appends an error.
pub fn error(out: &mut BytesMut, number: &mut u8, told: &Told) {
    packet(out, number, |out| error_body(out, told));
}

/// Appends what an error's packet holds.
pub fn error_body(out: &mut BytesMut, told: &Told) {
    out.put_u8(0xff);
    out.put_u16_le(told.number);
    out.put_u8(b'#');
    out.extend_from_slice(told.sqlstate.as_bytes());
    let end = told.message.floor_char_boundary(LONGEST_MESSAGE);
    out.extend_from_slice(&told.message.as_bytes()[..end]);
}

/// Appends what the packet holds by which a server says that something is done.
pub fn done_body(out: &mut BytesMut, status: u16) {
    out.extend_from_slice(&[0, 0, 0]);
    out.put_u16_le(status);
    out.put_u16_le(0);
}

/// An error as a server tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    pub number: u16,
    /// Five characters; absent before the login.
    pub sqlstate: Option<&'a [u8]>,
    pub message: &'a [u8],
}

/// Reads an error.
pub fn failure(packet: &[u8]) -> Option<Failure<'_>> {
    let mut reader = Reader(packet);
    reader.u8().filter(|kind| *kind == 0xff)?;
    let number = reader.u16()?;
    match reader.0.split_first() {
        Some((b'#', rest)) => {
            let (state, message) = rest.split_at_checked(5)?;
            Some(Failure { number, sqlstate: Some(state), message })
        }
        Some(_) | None => Some(Failure { number, sqlstate: None, message: reader.0 }),
    }
}

/// That something is done, as a server tells it: also the end of rows, where ends have no packet of
/// their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    pub affected: u64,
    pub status: u16,
}

/// Reads an OK.
pub fn done(packet: &[u8]) -> Option<Done> {
    let mut reader = Reader(packet);
    reader.u8().filter(|kind| matches!(kind, 0x00 | 0xfe))?;
    let affected = reader.number()?;
    reader.number()?;
    Some(Done { affected, status: reader.u16()? })
}

/// Reads the status of an end, where ends have a packet of their own.
pub fn end(packet: &[u8]) -> Option<u16> {
    let mut reader = Reader(packet);
    reader.u8().filter(|kind| *kind == 0xfe)?;
    reader.u16()?;
    reader.u16().filter(|_| reader.0.is_empty())
}

/// Bits of a server's status.
pub mod status {
    pub const AUTOCOMMIT: u16 = 2;
    pub const MORE_RESULTS: u16 = 8;
    pub const CURSOR: u16 = 1 << 6;
    pub const NO_BACKSLASH_ESCAPES: u16 = 1 << 9;
}

/// The connection attribute that names an application.
pub const ATTRIBUTE: &[u8] = b"adit_application";
/// The longest packet of a login.
pub const LONGEST_LOGIN: usize = 16 * 1024;
/// The length of a token's id.
const TOKEN_ID: usize = 10;
const LONGEST_CLIENT: usize = 256;
const LONGEST_VERSION: usize = 255;
/// As MySQL has it.
const LONGEST_MESSAGE: usize = 511;
pub const UTF8MB4: u8 = 45;
const AUTOCOMMIT: u8 = 2;
const CHANGE_USER: u8 = 0x11;
pub const QUIT: u8 = 0x01;
pub const INIT_DB: u8 = 0x02;
pub const QUERY: u8 = 0x03;

#[cfg(test)]
#[path = "proto_tests.rs"]
mod tests;
