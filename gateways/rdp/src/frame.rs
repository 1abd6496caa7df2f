//! Where frames of RDP end, and what stands in those of MCS (MS-RDPBCGR, T.123, T.125).
//!
//! INVARIANT: nothing here allocates; no length of the wire is believed beyond the frame it is in.

/// Bytes that are no frame, or none that may come then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("bytes that are no frame")]
    Frame,
    #[error("a frame whose parts do not fit into it")]
    Cut,
    #[error("a frame that may not come then")]
    Order,
    #[error("the connection's settings are not understood")]
    Settings,
    #[error("the target wants its own encryption inside TLS")]
    Encrypted,
    #[error("what the rule wants looked at is compressed or scattered")]
    Unreadable,
    #[error("the client shows nothing that a recording could show again")]
    Unshown,
    #[error("the target shows what a recording can not show again")]
    Undrawn,
}

/// The length of a frame that begins here; `None`: too little is there to tell.
pub(crate) fn length(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    match bytes {
        [TPKT, 0, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if length < X224_DATA.len() + 4 { Err(Fault::Frame) } else { Ok(Some(length)) }
        }
        [TPKT, 0] | [TPKT, 0, _] | [TPKT] | [] => Ok(None),
        [first, ..] if first & 3 == 0 => fast_path(bytes),
        [..] => Err(Fault::Frame),
    }
}

/// As [`length`], of a frame of the fast path.
fn fast_path(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let (length, header) = match bytes {
        [_, high, low, ..] if high & 0x80 != 0 => {
            (usize::from(u16::from_be_bytes([high & 0x7f, *low])), 3)
        }
        [_, low, ..] if low & 0x80 == 0 => (usize::from(*low), 2),
        [..] => return Ok(None),
    };
    if length < header { Err(Fault::Frame) } else { Ok(Some(length)) }
}

/// What follows the head of a frame of the fast path.
pub(crate) fn fast_body(frame: &[u8]) -> Option<&[u8]> {
    let is_long = frame.get(1)? & 0x80 != 0;
    frame.get(if is_long { 3 } else { 2 }..)
}

/// The length of a message of CredSSP that begins here: a SEQUENCE of DER.
pub(crate) fn sequence(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let (content, header) = match bytes {
        [SEQUENCE, short, ..] if *short < 0x80 => (usize::from(*short), 2),
        [SEQUENCE, 0x81, length, ..] => (usize::from(*length), 3),
        [SEQUENCE, 0x82, high, low, ..] => (usize::from(u16::from_be_bytes([*high, *low])), 4),
        [SEQUENCE] | [SEQUENCE, 0x81] | [SEQUENCE, 0x82] | [SEQUENCE, 0x82, _] | [] => {
            return Ok(None);
        }
        [..] => return Err(Fault::Frame),
    };
    Ok(Some(header + content))
}

/// Whether a frame is of the fast path: input from the client, graphics from the target.
pub(crate) fn is_fast_path(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| *first != TPKT)
}

/// What an MCS frame is: the number of its kind, and all of it behind the headers of TPKT and X.224.
pub(crate) fn mcs(frame: &[u8]) -> Result<(u8, &[u8]), Fault> {
    let body = frame.get(4..).ok_or(Fault::Cut)?.strip_prefix(&X224_DATA).ok_or(Fault::Frame)?;
    let first = body.first().ok_or(Fault::Cut)?;
    Ok((first >> 2, body))
}

/// What a frame carries on one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent<'a> {
    pub(crate) channel: u16,
    pub(crate) data: &'a [u8],
    /// What stands before the length of the data: kind, initiator, channel, priority.
    head: &'a [u8],
}

impl<'a> Sent<'a> {
    /// Of a `SendDataRequest` or `SendDataIndication`.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Fault> {
        let (head, rest) = body.split_at_checked(SENT_HEAD).ok_or(Fault::Cut)?;
        let channel = u16::from_be_bytes([head[3], head[4]]);
        let (length, data) = per_length(rest)?;
        if data.len() != length {
            return Err(Fault::Cut);
        }
        Ok(Self { channel, data, head })
    }

    /// The same frame with other data in it.
    pub(crate) fn with(&self, data: &[u8]) -> Result<Vec<u8>, Fault> {
        let inner = u16::try_from(data.len()).ok().filter(|length| *length < 0x8000);
        let inner = inner.ok_or(Fault::Settings)?;
        framed(&[self.head, &(inner | 0x8000).to_be_bytes(), data])
    }

    /// The number of the user who has sent a request.
    pub(crate) fn user(&self) -> u16 {
        u16::from_be_bytes([self.head[1], self.head[2]]).saturating_add(FIRST_USER)
    }
}

/// The frame in which a user sends something on a channel.
pub(crate) fn send_request(user: u16, channel: u16, data: &[u8]) -> Result<Vec<u8>, Fault> {
    send(SEND_REQUEST, user, channel, data)
}

/// The same from the target.
pub(crate) fn send_indication(user: u16, channel: u16, data: &[u8]) -> Result<Vec<u8>, Fault> {
    send(SEND_INDICATION, user, channel, data)
}

fn send(kind: u8, user: u16, channel: u16, data: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut head = [kind << 2, 0, 0, 0, 0, WHOLE];
    head[1..3].copy_from_slice(&user.saturating_sub(FIRST_USER).to_be_bytes());
    head[3..5].copy_from_slice(&channel.to_be_bytes());
    Sent { channel, data, head: &head }.with(data)
}

/// What MCS says, in the headers of TPKT and X.224.
pub(crate) fn framed(parts: &[&[u8]]) -> Result<Vec<u8>, Fault> {
    let said: usize = parts.iter().map(|part| part.len()).sum();
    let whole = u16::try_from(4 + X224_DATA.len() + said).map_err(|_| Fault::Settings)?;
    let mut frame = Vec::with_capacity(whole.into());
    frame.extend([TPKT, 0]);
    frame.extend(whole.to_be_bytes());
    frame.extend(X224_DATA);
    parts.iter().for_each(|part| frame.extend(*part));
    Ok(frame)
}

/// A length as PER has it, and what follows.
pub(crate) fn per_length(bytes: &[u8]) -> Result<(usize, &[u8]), Fault> {
    match bytes {
        [high, low, rest @ ..] if high & 0x80 != 0 => {
            Ok((usize::from(u16::from_be_bytes([high & 0x7f, *low])), rest))
        }
        [low, rest @ ..] if low & 0x80 == 0 => Ok((usize::from(*low), rest)),
        [..] => Err(Fault::Cut),
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Fault> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(Fault::Cut)?;
    Ok(u16::from_le_bytes(*found))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Fault> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(Fault::Cut)?;
    Ok(u32::from_le_bytes(*found))
}

pub(crate) const TPKT: u8 = 3;
pub(crate) const SEQUENCE: u8 = 0x30;
/// The header of X.224 before data.
const X224_DATA: [u8; 3] = [2, 0xf0, 0x80];
const SENT_HEAD: usize = 6;
/// High priority, in one piece.
const WHOLE: u8 = 0x70;
/// MCS counts users from here on.
pub(crate) const FIRST_USER: u16 = 1001;

// Kinds of MCS frames (T.125).
pub(crate) const ERECT: u8 = 1;
pub(crate) const DISCONNECT: u8 = 8;
pub(crate) const ATTACH: u8 = 10;
pub(crate) const ATTACHED: u8 = 11;
pub(crate) const JOIN: u8 = 14;
pub(crate) const JOINED: u8 = 15;
pub(crate) const SEND_REQUEST: u8 = 25;
pub(crate) const SEND_INDICATION: u8 = 26;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_ends_where_its_header_says() {
        type Length = Result<Option<usize>, Fault>;
        let cases: [(&[u8], Length); 10] = [
            (&[], Ok(None)),
            (&[3, 0, 0], Ok(None)),
            (&[3, 0, 0, 19], Ok(Some(19))),
            (&[3, 0, 0, 6], Err(Fault::Frame)),
            (&[3, 1, 0, 19], Err(Fault::Frame)),
            (&[0, 5], Ok(Some(5))),
            (&[0x44, 0x81, 0x02], Ok(Some(0x102))),
            (&[0x44, 0x81], Ok(None)),
            (&[0, 1], Err(Fault::Frame)),
            (&[1, 5, 0], Err(Fault::Frame)),
        ];
        for (bytes, wanted) in cases {
            assert_eq!(length(bytes), wanted, "{bytes:?}");
        }
        assert_eq!(sequence(&[0x30, 0x82, 1, 2]), Ok(Some(4 + 0x102)));
        assert_eq!(sequence(&[0x30, 0x83, 1, 2, 3]), Err(Fault::Frame));
    }

    #[test]
    fn what_is_sent_is_read_as_it_is_written() {
        let body = [0x64, 0, 6, 3, 0xeb, 0x70, 3, 1, 2, 3];
        let sent = Sent::read(&body).unwrap();
        assert_eq!((sent.channel, sent.data), (1003, &[1, 2, 3][..]));
        let frame = sent.with(&[9; 200]).unwrap();
        assert_eq!(length(&frame), Ok(Some(frame.len())));
        let (kind, body) = mcs(&frame).unwrap();
        let again = Sent::read(body).unwrap();
        assert_eq!((kind, again.channel, again.data), (25, 1003, &[9; 200][..]));
        assert_eq!(Sent::read(&body[..body.len() - 1]), Err(Fault::Cut));
    }
}
