//! What Windows wraps a login in (SPNEGO: RFC 4178, MS-SPNG). One way of signing in is spoken.

use crate::frame::Fault;
use crate::settings::element;

/// What a client's token is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// Not wrapped.
    Plain(&'a [u8]),
    /// The ways that the client names, as they stand, and a token for the first of them.
    First { ways: &'a [u8], token: Option<&'a [u8]> },
    /// What follows, and what is beside the ways.
    Next { token: Option<&'a [u8]>, mic: Option<&'a [u8]> },
}

pub(crate) fn read(bytes: &[u8]) -> Result<Token<'_>, Fault> {
    if is_ntlm(bytes) {
        return Ok(Token::Plain(bytes));
    }
    match bytes.first() {
        Some(&FIRST) => {
            let (inner, _) = element(bytes, FIRST)?;
            let (mechanism, rest) = element(inner, OID)?;
            if mechanism != SPNEGO {
                return Err(Fault::Settings);
            }
            let fields = element(element(rest, FIELD)?.0, SEQUENCE)?.0;
            let ways = field(fields, 0)?.ok_or(Fault::Settings)?;
            Ok(Token::First { ways, token: octets(fields, 2)? })
        }
        Some(&NEXT) => {
            let fields = element(element(bytes, NEXT)?.0, SEQUENCE)?.0;
            Ok(Token::Next { token: octets(fields, 2)?, mic: octets(fields, 3)? })
        }
        Some(_) | None => Err(Fault::Settings),
    }
}

/// Whether NTLM is one of these ways.
pub(crate) fn names_ntlm(ways: &[u8]) -> Result<bool, Fault> {
    let mut rest = element(ways, SEQUENCE)?.0;
    while !rest.is_empty() {
        let (way, more) = element(rest, OID)?;
        if way == NTLM {
            return Ok(true);
        }
        rest = more;
    }
    Ok(false)
}

pub(crate) fn is_ntlm(token: &[u8]) -> bool {
    token.starts_with(b"NTLMSSP\0")
}

/// That NTLM it is, and the client begins.
pub(crate) fn choose() -> Vec<u8> {
    next(REQUEST_MIC, true, None, None)
}

/// The same, with what the client is asked.
pub(crate) fn ask(token: &[u8]) -> Vec<u8> {
    next(INCOMPLETE, true, Some(token), None)
}

/// That was all; with what is beside the ways.
pub(crate) fn accept(mic: Option<&[u8]>) -> Vec<u8> {
    next(COMPLETED, false, None, mic)
}

fn next(state: u8, chooses: bool, token: Option<&[u8]>, mic: Option<&[u8]>) -> Vec<u8> {
    let mut fields = tagged(FIELD, &[0x0a, 1, state]);
    if chooses {
        fields.extend(tagged(FIELD + 1, &tagged(OID, NTLM)));
    }
    for (nth, bytes) in [(2, token), (3, mic)] {
        if let Some(bytes) = bytes {
            fields.extend(tagged(FIELD + nth, &tagged(OCTETS, bytes)));
        }
    }
    tagged(NEXT, &tagged(SEQUENCE, &fields))
}

/// An element of DER. What we wrap is shorter than 64 KiB.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head = match (high, low) {
        (0, 0..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}

/// What stands in the field of this number, if it is there.
fn field(mut fields: &[u8], number: u8) -> Result<Option<&[u8]>, Fault> {
    while let Some(tag) = fields.first() {
        let (content, rest) = element(fields, *tag)?;
        if *tag == FIELD + number {
            return Ok(Some(content));
        }
        fields = rest;
    }
    Ok(None)
}

fn octets(fields: &[u8], number: u8) -> Result<Option<&[u8]>, Fault> {
    let content = field(fields, number)?;
    content.map(|content| Ok(element(content, OCTETS)?.0)).transpose()
}

const FIRST: u8 = 0x60;
const NEXT: u8 = 0xa1;
const FIELD: u8 = 0xa0;
const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
/// 1.3.6.1.5.5.2
const SPNEGO: &[u8] = &[0x2b, 6, 1, 5, 5, 2];
/// 1.3.6.1.4.1.311.2.2.10
const NTLM: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 0x0a];
const COMPLETED: u8 = 0;
const INCOMPLETE: u8 = 1;
const REQUEST_MIC: u8 = 3;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// As Windows begins: NTLM and nothing else.
    pub(crate) fn begins(token: &[u8]) -> Vec<u8> {
        first(&[NTLM], token)
    }

    /// As Windows goes on, with what is beside the ways.
    pub(crate) fn goes_on(token: &[u8], mic: Option<&[u8]>) -> Vec<u8> {
        next(INCOMPLETE, false, Some(token), mic)
    }

    fn first(ways: &[&[u8]], token: &[u8]) -> Vec<u8> {
        let ways: Vec<u8> = ways.iter().flat_map(|way| tagged(OID, way)).collect();
        let ways = tagged(FIELD, &tagged(SEQUENCE, &ways));
        let token = tagged(FIELD + 2, &tagged(OCTETS, token));
        let inner = tagged(FIELD, &tagged(SEQUENCE, &[ways, token].concat()));
        tagged(FIRST, &[tagged(OID, SPNEGO), inner].concat())
    }

    #[test]
    fn a_token_is_read_with_and_without_what_it_is_wrapped_in() {
        assert_eq!(read(b"NTLMSSP\0\x01"), Ok(Token::Plain(b"NTLMSSP\0\x01")));
        let wrapped = first(&[NTLM], b"NTLMSSP\0\x01");
        let Ok(Token::First { ways, token: Some(token) }) = read(&wrapped) else { panic!() };
        assert!(names_ntlm(ways).unwrap() && is_ntlm(token));
        let other = first(&[&[0x2a, 3]], b"x");
        let Ok(Token::First { ways, .. }) = read(&other) else { panic!() };
        assert!(!names_ntlm(ways).unwrap());
        let asked = ask(&[7; 300]);
        assert_eq!(read(&asked), Ok(Token::Next { token: Some(&[7; 300]), mic: None }));
        let accepted = accept(Some(&[9; 16]));
        assert_eq!(read(&accepted), Ok(Token::Next { token: None, mic: Some(&[9; 16]) }));
        assert!(read(&choose()).is_ok());
    }

    #[test]
    fn a_token_that_is_cut_is_none() {
        let whole = first(&[NTLM], b"NTLMSSP\0\x01");
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
    }
}
