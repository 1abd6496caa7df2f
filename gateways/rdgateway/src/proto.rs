//! The packets of an RD Gateway over HTTP ([MS-TSGU], section 2.2.10).
//!
//! INVARIANT: nothing here performs I/O, and nothing is allocated that a client did not send.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use secrecy::SecretString;

/// What a client sends.
#[derive(Debug)]
pub enum Packet {
    /// With the ways of signing in that it takes, as bits.
    Handshake {
        auth: u16,
    },
    /// What it can do, and the token that it shows.
    TunnelCreate {
        capabilities: u32,
        token: Option<SecretString>,
    },
    /// The name of its machine, which is nobody's proof of anything.
    TunnelAuth {
        client: String,
    },
    /// The names by which it calls the one machine it wants.
    ChannelCreate {
        names: Vec<String>,
        port: u16,
    },
    Data(Bytes),
    KeepAlive,
    CloseChannel,
    CloseChannelResponse,
}

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    #[error("a packet says that it is {0} bytes long")]
    Length(u32),
    #[error("a packet of kind {0:#x} is none that a client sends")]
    Kind(u16),
    #[error("a field of a packet goes beyond its end")]
    Short,
    #[error("a data packet is longer than its data")]
    Rest,
    #[error("a text is no UTF-16")]
    Text,
    #[error("a channel is asked for without a name, or with too many")]
    Names,
}

/// Takes the next packet off the front of `input`; `None`: it is not there as a whole.
pub fn packet(input: &mut BytesMut) -> Result<Option<Packet>, Fault> {
    let Some(head) = input.first_chunk::<HEAD>() else { return Ok(None) };
    let kind = u16::from_le_bytes([head[0], head[1]]);
    let said = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let length = usize::try_from(said).map_err(|_| Fault::Length(said))?;
    if !(HEAD..=longest(kind)?).contains(&length) {
        return Err(Fault::Length(said));
    }
    if input.len() < length {
        return Ok(None);
    }
    let mut body = input.split_to(length).freeze();
    body.advance(HEAD);
    parse(kind, body).map(Some)
}

/// The longest packet of a kind. Until a client has shown a token, only the short ones are answered.
fn longest(kind: u16) -> Result<usize, Fault> {
    match kind {
        DATA => Ok(HEAD + 2 + MAX_DATA),
        HANDSHAKE_REQUEST
        | TUNNEL_CREATE
        | TUNNEL_AUTH
        | CHANNEL_CREATE
        | KEEP_ALIVE
        | CLOSE_CHANNEL
        | CLOSE_CHANNEL_RESPONSE => Ok(MAX_CONTROL),
        other => Err(Fault::Kind(other)),
    }
}

fn parse(kind: u16, body: Bytes) -> Result<Packet, Fault> {
    let mut fields = Fields(body);
    match kind {
        HANDSHAKE_REQUEST => {
            // Version and version of the client: there is one of each.
            fields.take(4)?;
            Ok(Packet::Handshake { auth: fields.number()? })
        }
        TUNNEL_CREATE => {
            let capabilities = fields.long()?;
            let present = fields.number()?;
            fields.take(2)?;
            if present & REAUTHENTICATION != 0 {
                fields.take(8)?;
            }
            let token = if present & TOKEN != 0 { Some(fields.text()?.into()) } else { None };
            Ok(Packet::TunnelCreate { capabilities, token })
        }
        TUNNEL_AUTH => {
            fields.take(2)?;
            Ok(Packet::TunnelAuth { client: fields.text()? })
        }
        CHANNEL_CREATE => {
            let counts = fields.take(2)?;
            let count = usize::from(counts[0]) + usize::from(counts[1]);
            if !(1..=MAX_NAMES).contains(&count) {
                return Err(Fault::Names);
            }
            let port = fields.number()?;
            // Of the protocol that is meant: there is one.
            fields.take(2)?;
            let names = (0..count).map(|_| fields.text()).collect::<Result<_, _>>()?;
            Ok(Packet::ChannelCreate { names, port })
        }
        DATA => {
            let length = usize::from(fields.number()?);
            let data = fields.take(length)?;
            if fields.0.is_empty() { Ok(Packet::Data(data)) } else { Err(Fault::Rest) }
        }
        KEEP_ALIVE => Ok(Packet::KeepAlive),
        CLOSE_CHANNEL => Ok(Packet::CloseChannel),
        CLOSE_CHANNEL_RESPONSE => Ok(Packet::CloseChannelResponse),
        other => Err(Fault::Kind(other)),
    }
}

/// What is left of a packet.
struct Fields(Bytes);

impl Fields {
    fn take(&mut self, length: usize) -> Result<Bytes, Fault> {
        if self.0.len() < length {
            return Err(Fault::Short);
        }
        Ok(self.0.split_to(length))
    }

    fn number(&mut self) -> Result<u16, Fault> {
        self.0.try_get_u16_le().map_err(|_| Fault::Short)
    }

    fn long(&mut self) -> Result<u32, Fault> {
        self.0.try_get_u32_le().map_err(|_| Fault::Short)
    }

    /// A text with its length in bytes before it, and sometimes a zero behind it.
    fn text(&mut self) -> Result<String, Fault> {
        let length = usize::from(self.number()?);
        let bytes = self.take(length)?;
        if !length.is_multiple_of(2) {
            return Err(Fault::Text);
        }
        let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        let mut text = text.map_err(|_| Fault::Text)?;
        text.truncate(text.trim_end_matches('\0').len());
        Ok(text)
    }
}

/// What a client is answered, as the number that its own words for it belong to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status(pub u32);

impl Status {
    pub const OK: Self = Self(0);
    /// ERROR_ACCESS_DENIED, as the code of a channel that is closed.
    pub const WITHDRAWN: Self = Self(0x0000_0005);
    /// ERROR_CONNECTION_ABORTED.
    pub const ABORTED: Self = Self(0x0000_04d4);
    /// E_PROXY_SESSIONTIMEOUT.
    pub const TIME_OVER: Self = Self(0x0000_59f6);
    /// E_PROXY_INTERNALERROR.
    pub const INTERNAL: Self = Self(0x8007_59d8);
    /// E_PROXY_RAP_ACCESSDENIED: there is no such machine, or it is not for this user.
    pub const NO_ACCESS: Self = Self(0x8007_59da);
    /// E_PROXY_TS_CONNECTFAILED.
    pub const UNREACHABLE: Self = Self(0x8007_59dd);
    /// E_PROXY_MAXCONNECTIONSREACHED.
    pub const FULL: Self = Self(0x8007_59e6);
    /// E_PROXY_COOKIE_BADPACKET.
    pub const NO_TOKEN: Self = Self(0x8007_59f7);
    /// E_PROXY_COOKIE_AUTHENTICATION_ACCESS_DENIED.
    pub const BAD_TOKEN: Self = Self(0x8007_59f8);
    /// E_PROXY_UNSUPPORTED_AUTHENTICATION_METHOD.
    pub const TOKEN_NEEDED: Self = Self(0x8007_59f9);
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

pub fn handshake_response(status: Status) -> Bytes {
    framed(HANDSHAKE_RESPONSE, |body| {
        body.put_u32_le(status.0);
        body.put_slice(&[1, 0, 0, 0]);
        body.put_u16_le(BY_TOKEN);
    })
}

pub fn tunnel_response(status: Status) -> Bytes {
    framed(TUNNEL_RESPONSE, |body| {
        body.put_u16_le(0);
        body.put_u32_le(status.0);
        let id_and_capabilities = if status == Status::OK { 0x1 | 0x2 } else { 0 };
        body.put_u16_le(id_and_capabilities);
        body.put_u16_le(0);
        if status == Status::OK {
            body.put_u32_le(THE_ONE);
            body.put_u32_le(IDLE_TIMEOUT | SERVICE_MESSAGES);
        }
    })
}

/// What a client is asked not to share (HTTP_TUNNEL_REDIR_*): an honest one does not. What holds another
/// one to it is whoever looks at its channels.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Withheld {
    pub drives: bool,
    pub printers: bool,
    pub clipboard: bool,
}

impl Withheld {
    fn flags(self) -> u32 {
        let drives = DISABLE_DRIVE | DISABLE_PORT | DISABLE_PNP;
        let all = [
            (self.drives, drives),
            (self.printers, DISABLE_PRINTER),
            (self.clipboard, DISABLE_CLIPBOARD),
        ];
        let flags = all.iter().filter(|(is, _)| *is).fold(0, |flags, (_, flag)| flags | flag);
        if flags == 0 { EVERYTHING_ON } else { flags }
    }
}

pub fn tunnel_auth_response(status: Status, withheld: Withheld) -> Bytes {
    framed(TUNNEL_AUTH_RESPONSE, |body| {
        body.put_u32_le(status.0);
        let flags_and_idle_time = if status == Status::OK { 0x1 | 0x2 } else { 0 };
        body.put_u16_le(flags_and_idle_time);
        body.put_u16_le(0);
        if status == Status::OK {
            body.put_u32_le(withheld.flags());
            // Minutes; none, for sessions have limits of their own.
            body.put_u32_le(0);
        }
    })
}

pub fn channel_response(status: Status) -> Bytes {
    framed(CHANNEL_RESPONSE, |body| {
        body.put_u32_le(status.0);
        let id = u16::from(status == Status::OK);
        body.put_u16_le(id);
        body.put_u16_le(0);
        if status == Status::OK {
            body.put_u32_le(THE_ONE);
        }
    })
}

/// As much of the front of `bytes` as one packet carries.
pub fn data(bytes: &mut Bytes) -> Bytes {
    let piece = bytes.split_to(bytes.len().min(PIECE));
    framed(DATA, |body| {
        put_length(body, piece.len());
        body.put_slice(&piece);
    })
}

pub fn keep_alive() -> Bytes {
    framed(KEEP_ALIVE, |_| {})
}

pub fn close_channel(status: Status) -> Bytes {
    framed(CLOSE_CHANNEL, |body| body.put_u32_le(status.0))
}

pub fn close_channel_response() -> Bytes {
    framed(CLOSE_CHANNEL_RESPONSE, |body| body.put_u32_le(Status::OK.0))
}

/// A text that the client shows its user.
pub fn service_message(text: &str) -> Bytes {
    let units: Vec<u16> = text.encode_utf16().take(MAX_MESSAGE).chain([0]).collect();
    framed(SERVICE_MESSAGE, |body| {
        put_length(body, units.len() * 2);
        for unit in units {
            body.put_u16_le(unit);
        }
    })
}

/// Whether a client with these capabilities takes a [`service_message`].
pub fn takes_messages(capabilities: u32) -> bool {
    capabilities & SERVICE_MESSAGES != 0
}

/// Whether a client that offers these ways of signing in shows a token.
pub fn shows_token(auth: u16) -> bool {
    auth & BY_TOKEN != 0
}

fn put_length(body: &mut BytesMut, length: usize) {
    body.put_u16_le(u16::try_from(length).unwrap_or(u16::MAX));
}

fn framed(kind: u16, fill: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut packet = BytesMut::with_capacity(HEAD + 2 + if kind == DATA { PIECE } else { 64 });
    packet.put_u16_le(kind);
    packet.put_u16_le(0);
    packet.put_u32_le(0);
    fill(&mut packet);
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    packet[4..HEAD].copy_from_slice(&length.to_le_bytes());
    packet.freeze()
}

/// Kind, two bytes for later, and the length of all.
const HEAD: usize = 8;
/// What a length of two bytes can say.
const MAX_DATA: usize = 0xffff;
/// The longest of what is no data; a token has some 100 characters.
const MAX_CONTROL: usize = 8 * 1024;
/// Of data, in one packet that we send.
const PIECE: usize = 32 * 1024;
/// Of a text for the user, in units of UTF-16.
const MAX_MESSAGE: usize = 1024;
/// As in other servers of this protocol; clients send one or two.
const MAX_NAMES: usize = 50;
/// The number of the only tunnel, and of the only channel in it.
const THE_ONE: u32 = 1;

const HANDSHAKE_REQUEST: u16 = 0x1;
const HANDSHAKE_RESPONSE: u16 = 0x2;
const TUNNEL_CREATE: u16 = 0x4;
const TUNNEL_RESPONSE: u16 = 0x5;
const TUNNEL_AUTH: u16 = 0x6;
const TUNNEL_AUTH_RESPONSE: u16 = 0x7;
const CHANNEL_CREATE: u16 = 0x8;
const CHANNEL_RESPONSE: u16 = 0x9;
const DATA: u16 = 0xa;
const SERVICE_MESSAGE: u16 = 0xb;
const KEEP_ALIVE: u16 = 0xd;
const CLOSE_CHANNEL: u16 = 0x10;
const CLOSE_CHANNEL_RESPONSE: u16 = 0x11;

/// HTTP_EXTENDED_AUTH_PAA.
const BY_TOKEN: u16 = 0x2;
/// HTTP_TUNNEL_PACKET_FIELD_PAA_COOKIE.
const TOKEN: u16 = 0x1;
/// HTTP_TUNNEL_PACKET_FIELD_REAUTH.
const REAUTHENTICATION: u16 = 0x2;
/// HTTP_CAPABILITY_IDLE_TIMEOUT.
const IDLE_TIMEOUT: u32 = 0x2;
/// HTTP_CAPABILITY_MESSAGING_SERVICE_MSG.
const SERVICE_MESSAGES: u32 = 0x8;
/// HTTP_TUNNEL_REDIR_ENABLE_ALL.
const EVERYTHING_ON: u32 = 0x8000_0000;
const DISABLE_DRIVE: u32 = 0x1;
const DISABLE_PRINTER: u32 = 0x2;
const DISABLE_PORT: u32 = 0x4;
const DISABLE_CLIPBOARD: u32 = 0x8;
const DISABLE_PNP: u32 = 0x10;
