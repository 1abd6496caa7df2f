//! The first two frames of a connection: which security is spoken (MS-RDPBCGR 2.2.1.1 and 2.2.1.2).

use crate::frame::{Fault, TPKT, u32_at};

/// What a client can speak, or what a target has chosen: bits of TLS, NLA and NLA with its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protocols(u32);

/// A target's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirm {
    Selected { flags: u8, protocol: Protocols },
    Failure(Failure),
}

/// Why a target does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It wants NLA, and was offered none.
    NlaRequired,
    /// It has no TLS.
    NoTls,
    Other(u32),
}

impl Protocols {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const TLS: Self = Self(1);
    pub(crate) const NLA: Self = Self(2);
    pub(crate) const ALL: Self = Self(1 | 2 | 8);
    const NLA_WITH_RESULT: Self = Self(8);

    /// Those that both have.
    #[must_use]
    pub(crate) fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the user's login comes before all else.
    pub(crate) fn has_nla(self) -> bool {
        self.0 & (Self::NLA.0 | Self::NLA_WITH_RESULT.0) != 0
    }

    /// Whether the target says how the login went before it goes on.
    pub(crate) fn has_result(self) -> bool {
        self.0 & Self::NLA_WITH_RESULT.0 != 0
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }
}

/// What a client's first frame offers. Whom it says it wants is not looked at.
pub(crate) fn offered(frame: &[u8]) -> Result<Protocols, Fault> {
    let variable = variable(frame, CONNECTION_REQUEST)?;
    let negotiation = match variable.strip_prefix(b"Cookie: ") {
        Some(rest) => {
            let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or(Fault::Cut)?;
            &rest[end + 2..]
        }
        None => variable,
    };
    match negotiation {
        [] => Ok(Protocols::NONE),
        [REQUEST, _, 8, 0, rest @ ..] => Ok(Protocols(u32_at(rest, 0)?).both(Protocols::ALL)),
        [..] => Err(Fault::Settings),
    }
}

/// A first frame that offers these and names nobody.
pub(crate) fn request(protocols: Protocols) -> Vec<u8> {
    let mut frame = head(CONNECTION_REQUEST);
    frame.extend([REQUEST, 0, 8, 0]);
    frame.extend(protocols.0.to_le_bytes());
    frame
}

/// What a target answers.
pub(crate) fn confirmed(frame: &[u8]) -> Result<Confirm, Fault> {
    match variable(frame, CONNECTION_CONFIRM)? {
        // It knows nothing else than its own encryption.
        [] => Ok(Confirm::Failure(Failure::NoTls)),
        [RESPONSE, flags, 8, 0, rest @ ..] => match u32_at(rest, 0)? {
            0 => Ok(Confirm::Failure(Failure::NoTls)),
            bits => Ok(Confirm::Selected { flags: *flags, protocol: Protocols(bits) }),
        },
        [FAILURE, _, 8, 0, rest @ ..] => Ok(Confirm::Failure(match u32_at(rest, 0)? {
            2 | 3 => Failure::NoTls,
            5 => Failure::NlaRequired,
            other => Failure::Other(other),
        })),
        [..] => Err(Fault::Settings),
    }
}

/// An answer that has chosen this.
pub(crate) fn confirm(flags: u8, protocol: Protocols) -> Vec<u8> {
    let mut frame = head(CONNECTION_CONFIRM);
    frame.extend([RESPONSE, flags, 8, 0]);
    frame.extend(protocol.0.to_le_bytes());
    frame
}

/// That a login by NLA is needed.
pub(crate) fn needs_nla() -> Vec<u8> {
    let mut frame = head(CONNECTION_CONFIRM);
    frame.extend([FAILURE, 0, 8, 0, 5, 0, 0, 0]);
    frame
}

fn head(kind: u8) -> Vec<u8> {
    vec![TPKT, 0, 0, 19, 14, kind, 0, 0, 0, 0, 0]
}

/// What stands behind the fixed part of a frame of this kind, which is whole.
fn variable(frame: &[u8], kind: u8) -> Result<&[u8], Fault> {
    let [TPKT, 0, high, low, indicated, found, _, _, _, _, _, rest @ ..] = frame else {
        return Err(Fault::Cut);
    };
    let whole = usize::from(u16::from_be_bytes([*high, *low])) == frame.len();
    let fits = usize::from(*indicated) + 5 == frame.len();
    match *found == kind && whole && fits {
        true => Ok(rest),
        false => Err(Fault::Frame),
    }
}

const CONNECTION_REQUEST: u8 = 0xe0;
const CONNECTION_CONFIRM: u8 = 0xd0;
const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const FAILURE: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_is_read_with_and_without_a_cookie() {
        assert_eq!(offered(&request(Protocols::ALL)), Ok(Protocols::ALL));
        let mut named = b"\x03\x00\x00\x2a\x25\xe0\0\0\0\0\0Cookie: mstshash=somebody\r\n".to_vec();
        named.truncate(11);
        named.extend(b"Cookie: mstshash=eltons\r\n");
        named.extend([REQUEST, 0, 8, 0, 3, 0, 0, 0]);
        named[3] = u8::try_from(named.len()).unwrap();
        named[4] = named[3] - 5;
        assert_eq!(offered(&named).map(Protocols::bits), Ok(3));
        assert!(offered(&named[..20]).is_err());
        assert_eq!(offered(b"\x03\0\0\x0b\x06\xe0\0\0\0\0\0"), Ok(Protocols::NONE));
    }

    #[test]
    fn an_answer_is_read_as_it_is_written() {
        let chosen = confirm(7, Protocols(8));
        let wanted = Confirm::Selected { flags: 7, protocol: Protocols(8) };
        assert_eq!(confirmed(&chosen), Ok(wanted));
        assert!(Protocols(8).has_nla() && Protocols(8).has_result());
        assert!(!Protocols::NLA.has_result());
        let mut failed = confirm(0, Protocols(5));
        failed[11] = FAILURE;
        assert_eq!(confirmed(&failed), Ok(Confirm::Failure(Failure::NlaRequired)));
        assert_eq!(confirmed(&confirm(0, Protocols::NONE)), Ok(Confirm::Failure(Failure::NoTls)));
    }
}
