//! One request head, checked as a whole.

use super::Malformed;

/// What a head says about the bytes that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) body: Framing,
    /// It asks for another protocol: what follows is no request until it is decided.
    pub(super) upgrade: bool,
    /// Nothing after this request is looked at.
    pub(super) last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// Checks a head: everything up to and with the empty line, whose line ends are known to be CR LF.
pub(super) fn check(head: &[u8]) -> Result<Head, Malformed> {
    let lines = head.strip_suffix(b"\r\n\r\n").ok_or(Malformed::LineEnd)?;
    let mut lines = split_lines(lines);
    let line = RequestLine::parse(lines.next().unwrap_or_default())?;
    let mut fields = Fields::default();
    for (count, line) in lines.enumerate() {
        if count == MAX_FIELDS {
            return Err(Malformed::TooLarge);
        }
        let (name, value) = field(line)?;
        fields.take(name, value)?;
    }
    fields.judge(&line)
}

/// Checks the first line alone, so that what is no HTTP is refused before it has ended.
pub(super) fn check_line(line: &[u8]) -> Result<(), Malformed> {
    RequestLine::parse(line).map(drop)
}

/// A header line: its name and its value without the blanks around it.
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    if line.first().is_some_and(|byte| is_blank(*byte)) {
        return Err(Malformed::Folded);
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Malformed::Field)?;
    let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
    if name.is_empty() || !all(name, is_token) {
        return Err(Malformed::Field);
    }
    let text = |byte: u8| byte >= 0x20 && byte != 0x7f || byte == b'\t';
    all(value, text).then_some((name, value)).ok_or(Malformed::Field)
}

struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    old: bool,
}

impl<'a> RequestLine<'a> {
    fn parse(line: &'a [u8]) -> Result<Self, Malformed> {
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Malformed::RequestLine);
        };
        let old = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return Err(Malformed::Version),
        };
        let method_like = (1..=MAX_METHOD).contains(&method.len());
        let target_like = all(target, |byte| byte.is_ascii_graphic() && byte != b'#');
        let fits = method_like && all(method, is_token) && !target.is_empty();
        (fits && target_like).then_some(Self { method, target, old }).ok_or(Malformed::RequestLine)
    }

    /// The authority of a target in absolute form; `None` where it is in origin form.
    fn authority(&self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.target {
            [b'/', ..] => Ok(None),
            b"*" if self.method == b"OPTIONS" => Ok(None),
            target => {
                let lower = target.to_ascii_lowercase();
                let skipped = [&b"http://"[..], b"https://"]
                    .into_iter()
                    .find(|scheme| lower.starts_with(scheme))
                    .ok_or(Malformed::Target)?
                    .len();
                let rest = &target[skipped..];
                let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
                Ok(Some(&rest[..end.unwrap_or(rest.len())]))
            }
        }
    }
}

/// The headers that decide where a request ends and whom it is for.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    close: bool,
    keep_alive: bool,
    asks_upgrade: bool,
}

impl<'a> Fields<'a> {
    fn take(&mut self, name: &'a [u8], value: &'a [u8]) -> Result<(), Malformed> {
        let known = DECIDING.into_iter().find(|known| name.eq_ignore_ascii_case(known));
        match known {
            Some(b"host") => {
                let twice = self.host.replace(value).is_some();
                (!twice && is_authority(value)).then_some(()).ok_or(Malformed::Host)
            }
            Some(b"content-length") => {
                let twice = self.length.replace(length(value)?).is_some();
                (!twice).then_some(()).ok_or(Malformed::Length)
            }
            Some(b"transfer-encoding") => {
                let good = !self.chunked && value.eq_ignore_ascii_case(b"chunked");
                self.chunked = true;
                good.then_some(()).ok_or(Malformed::TransferEncoding)
            }
            Some(b"connection") => {
                for option in value.split(|byte| *byte == b',').map(trim) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    self.asks_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                }
                Ok(())
            }
            Some(b"upgrade") => {
                self.upgrade |= !is_http2(value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn judge(&self, line: &RequestLine<'_>) -> Result<Head, Malformed> {
        if self.chunked && (self.length.is_some() || line.old) {
            return Err(Malformed::TransferEncoding);
        }
        if self.host.is_none() && !line.old {
            return Err(Malformed::Host);
        }
        if let Some(authority) = line.authority()?
            && !self.host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
        {
            return Err(Malformed::Target);
        }
        let body = match self.chunked {
            true => Framing::Chunked,
            false => Framing::Length(self.length.unwrap_or(0)),
        };
        let upgrade = self.upgrade && self.asks_upgrade && !line.old;
        if upgrade && body != Framing::Length(0) {
            return Err(Malformed::Upgrade);
        }
        Ok(Head { body, upgrade, last: self.close || (line.old && !self.keep_alive) })
    }
}

/// An upgrade to HTTP/2 in the clear, which is not offered: the request is answered as it stands.
fn is_http2(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').map(trim).all(|word| word.eq_ignore_ascii_case(b"h2c"))
}

fn length(value: &[u8]) -> Result<u64, Malformed> {
    let digits = (1..=MAX_LENGTH_DIGITS).contains(&value.len());
    let text = std::str::from_utf8(value).ok().filter(|text| {
        // `parse` takes a sign, which RFC 9110 does not.
        digits && text.bytes().all(|byte| byte.is_ascii_digit())
    });
    text.and_then(|text| text.parse().ok()).ok_or(Malformed::Length)
}

fn is_authority(value: &[u8]) -> bool {
    let allowed = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
    };
    !value.is_empty() && value.len() <= MAX_HOST && value.iter().all(allowed)
}

fn split_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    // Each LF has its CR before it.
    bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_blank(*first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && is_blank(*last)
    {
        value = rest;
    }
    value
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Whether all bytes are of a kind. Looks at every one: without a way out in between, many are looked
/// at together.
fn all(bytes: &[u8], kind: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & kind(*byte))
}

fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// RFC 9110, section 5.6.2.
const TOKEN: [bool; 256] = {
    let (mut table, marks, mut at) = ([false; 256], b"!#$%&'*+-.^_`|~", 0u8);
    while at < 128 {
        table[at as usize] = at.is_ascii_alphanumeric();
        at += 1;
    }
    let mut mark = 0;
    while mark < marks.len() {
        table[marks[mark] as usize] = true;
        mark += 1;
    }
    table
};

/// What decides where a request ends and whom it is for.
const DECIDING: [&[u8]; 5] =
    [b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade"];

const MAX_FIELDS: usize = 100;
const MAX_METHOD: usize = 32;
const MAX_HOST: usize = 300;
/// Less than what a `u64` holds.
const MAX_LENGTH_DIGITS: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_where_its_request_ends() {
        let cases = [
            ("", Framing::Length(0), false, false),
            ("Content-Length: 04\r\n", Framing::Length(4), false, false),
            ("Transfer-Encoding:\tChunked \r\n", Framing::Chunked, false, false),
            ("Connection: keep-alive , Close\r\n", Framing::Length(0), false, true),
            ("Connection: Upgrade\r\nUpgrade: websocket\r\n", Framing::Length(0), true, false),
            ("Connection: Upgrade\r\nUpgrade: h2c\r\n", Framing::Length(0), false, false),
            ("Upgrade: websocket\r\n", Framing::Length(0), false, false),
        ];
        for (fields, body, upgrade, last) in cases {
            let head = format!("POST /a?b HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
            assert_eq!(check(head.as_bytes()), Ok(Head { body, upgrade, last }), "{fields}");
        }
        let old = check(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        assert!(old.last);
    }

    #[test]
    fn what_two_servers_could_read_differently_is_refused() {
        let cases = [
            ("GET / HTTP/1.1\r\n", Malformed::Host),
            ("GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n", Malformed::Host),
            ("GET / HTTP/1.1\r\nHost: a@b\r\n", Malformed::Host),
            ("GET / HTTP/2.0\r\nHost: x\r\n", Malformed::Version),
            ("GET / http/1.1\r\nHost: x\r\n", Malformed::Version),
            ("GET  / HTTP/1.1\r\nHost: x\r\n", Malformed::RequestLine),
            ("GET /\r\nHost: x\r\n", Malformed::RequestLine),
            ("GET /a#b HTTP/1.1\r\nHost: x\r\n", Malformed::RequestLine),
            ("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n", Malformed::Target),
            ("GET http://y/ HTTP/1.1\r\nHost: x\r\n", Malformed::Target),
            ("GET * HTTP/1.1\r\nHost: x\r\n", Malformed::Target),
            ("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c: d\r\n", Malformed::Folded),
            ("GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n", Malformed::Field),
            ("GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n", Malformed::Field),
            ("GET / HTTP/1.1\r\nHost: x\r\nA: \u{b}b\r\n", Malformed::Field),
            ("GET / HTTP/1.1\r\nHost: x\r\n: b\r\n", Malformed::Field),
            ("GET / HTTP/1.1\r\nHost: x\r\nab\r\n", Malformed::Field),
        ];
        for (head, error) in cases {
            assert_eq!(check(format!("{head}\r\n").as_bytes()), Err(error), "{head}");
        }
        for length in
            ["+4", "-1", "4,4", "0x4", "4 4", "", "9999999999999999999", "4\r\nContent-Length: 4"]
        {
            let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
            assert_eq!(check(head.as_bytes()), Err(Malformed::Length), "{length:?}");
        }
        let te = "Transfer-Encoding: ";
        let two = format!("chunked\r\n{te}chunked");
        let cl = "chunked\r\nContent-Length: 3";
        let odd =
            ["xchunked", "chunked, identity", "identity", "\"chunked\"", "chunked;x", ",chunked"];
        for encoding in odd.into_iter().chain(["gzip, chunked", "", &two, cl]) {
            let head = format!("POST / HTTP/1.1\r\nHost: x\r\n{te}{encoding}\r\n\r\n");
            assert_eq!(check(head.as_bytes()), Err(Malformed::TransferEncoding), "{encoding:?}");
        }
        let old = format!("POST / HTTP/1.0\r\n{te}chunked\r\n\r\n");
        assert_eq!(check(old.as_bytes()), Err(Malformed::TransferEncoding));
        let many = "A: b\r\n".repeat(MAX_FIELDS);
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n");
        assert_eq!(check(head.as_bytes()), Err(Malformed::TooLarge));
    }
}
