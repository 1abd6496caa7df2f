//! The part of BER (X.690) that LDAP uses: definite lengths, and tags of one byte (RFC 4511, section
//! 5.1). Pure.

use zeroize::Zeroizing;

/// Puts elements one after another. What it holds may be a password, so it is wiped.
#[derive(Default)]
pub(super) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    pub(super) fn bytes(mut self, tag: u8, bytes: &[u8]) -> Self {
        self.0.push(tag);
        length(&mut self.0, bytes.len());
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.bytes(OCTETS, text.as_bytes())
    }

    pub(super) fn number(self, tag: u8, number: u32) -> Self {
        let bytes = number.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count().min(3);
        let bytes = &bytes[zeros..];
        // The first bit is the sign's.
        match bytes[0] & 0x80 {
            0 => self.bytes(tag, bytes),
            _ => self.bytes(tag, &[&[0], bytes].concat()),
        }
    }

    pub(super) fn flag(self, flag: bool) -> Self {
        self.bytes(BOOLEAN, &[if flag { 0xff } else { 0 }])
    }

    pub(super) fn within(self, tag: u8, inner: &Self) -> Self {
        self.bytes(tag, &inner.0)
    }

    /// Elements as they are.
    pub(super) fn raw(mut self, elements: &Self) -> Self {
        self.0.extend_from_slice(&elements.0);
        self
    }

    pub(super) fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

fn length(to: &mut Vec<u8>, length: usize) {
    if let Ok(short @ 0..0x80) = u8::try_from(length) {
        return to.push(short);
    }
    let bytes = length.to_be_bytes();
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    // A usize has eight bytes at most.
    to.push(0x80 | u8::try_from(bytes.len()).unwrap_or(8));
    to.extend_from_slice(bytes);
}

/// Takes elements one after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

/// What was read is not what stands in the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the directory says is malformed")]
pub(crate) struct Malformed;

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element, whatever it is.
    pub(super) fn next(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let [tag, first, rest @ ..] = self.0 else { return Err(Malformed) };
        // Tags of several bytes are not LDAP's.
        if tag & 0x1f == 0x1f {
            return Err(Malformed);
        }
        let (length, rest) = match *first {
            short @ 0..0x80 => (usize::from(short), rest),
            long => {
                let count = usize::from(long & 0x7f);
                let (bytes, rest) = rest.split_at_checked(count).ok_or(Malformed)?;
                (long_length(bytes)?, rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok((*tag, content))
    }

    pub(super) fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(Malformed),
        }
    }

    pub(super) fn within(&mut self, tag: u8) -> Result<Self, Malformed> {
        self.expect(tag).map(Self)
    }

    pub(super) fn number(&mut self, tag: u8) -> Result<u32, Malformed> {
        let bytes = self.expect(tag)?;
        let bytes = if let [0, rest @ ..] = bytes { rest } else { bytes };
        if bytes.len() > 4 {
            return Err(Malformed);
        }
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        Ok(String::from_utf8_lossy(self.expect(OCTETS)?).into_owned())
    }
}

/// A length of one to four bytes.
pub(super) fn long_length(bytes: &[u8]) -> Result<usize, Malformed> {
    match bytes.len() {
        1..=4 => Ok(bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))),
        _ => Err(Malformed),
    }
}

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let long = "x".repeat(70_000);
        let inner = Writer::default().text("a").text(&long).flag(true);
        let numbers = [0, 1, 127, 128, 255, 256, 65_535, u32::MAX];
        let all = numbers.iter().fold(inner, |all, number| all.number(INTEGER, *number));
        let whole = Writer::default().within(SEQUENCE, &all).finish();
        let mut outer = Reader::new(&whole);
        let mut read = outer.within(SEQUENCE).unwrap();
        assert!(outer.is_empty());
        assert_eq!((read.text().unwrap(), read.text().unwrap()), ("a".to_owned(), long));
        assert_eq!(read.expect(BOOLEAN).unwrap(), [0xff]);
        for number in numbers {
            assert_eq!(read.number(INTEGER), Ok(number));
        }
        assert!(read.is_empty());
    }

    #[test]
    fn what_is_cut_or_too_long_is_malformed() {
        let whole = Writer::default().text(&"x".repeat(300)).finish();
        for end in 0..whole.len() {
            assert!(Reader::new(&whole[..end]).next().is_err(), "{end}");
        }
        let wrong: [&[u8]; 5] = [
            &[4, 0x80],
            &[4, 0x85, 0, 0, 0, 0, 1, 0],
            &[4, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x1f, 0],
            &[],
        ];
        for bytes in wrong {
            assert_eq!(Reader::new(bytes).next(), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[2, 5, 1, 1, 1, 1, 1]).number(INTEGER), Err(Malformed));
    }
}
