//! What characters a client's bytes are.

use std::borrow::Cow;
use std::fmt::Write as _;

use encoding_rs::{DecoderResult, Encoding};

use crate::Text;
use crate::record::ESCAPED;

/// A client's character set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8, or one that is not known.
    #[default]
    Utf8,
    /// ISO 8859-1, whose bytes are the first 256 characters.
    Latin1,
    Other(&'static Encoding),
}

impl Charset {
    /// One of those that browsers know, by its name (<https://encoding.spec.whatwg.org/#names-and-labels>).
    #[must_use]
    pub fn named(label: &str) -> Self {
        match Encoding::for_label(label.as_bytes()) {
            Some(known) if known != encoding_rs::UTF_8 => Self::Other(known),
            Some(_) | None => Self::Utf8,
        }
    }

    /// A text of which `there` is the beginning and that is `whole` bytes long: as much as takes no more
    /// than `most` bytes. What is no character stands as `\xe9`.
    #[must_use]
    pub fn text(self, there: &[u8], whole: usize, most: usize) -> Text {
        match self {
            Self::Utf8 => Text::of(there, whole, most),
            Self::Latin1 => {
                let text = encoding_rs::mem::decode_latin1(there);
                let text = &text[..text.floor_char_boundary(most)];
                Text { text: text.into(), cut: whole.saturating_sub(text.chars().count()) as u64 }
            }
            Self::Other(encoding) => {
                let (text, taken) = decoded(encoding, there, there.len() < whole, most);
                Text { text: text.into(), cut: whole.saturating_sub(taken) as u64 }
            }
        }
    }

    /// The characters of these bytes; `None`: they are not all some. Where there were more, the last
    /// one may have been cut through and is left out then.
    #[must_use]
    pub fn decode(self, there: &[u8], more: bool) -> Option<Cow<'_, str>> {
        match self {
            Self::Utf8 => match str::from_utf8(there) {
                Ok(text) => Some(text.into()),
                Err(error) if more && error.error_len().is_none() => {
                    str::from_utf8(&there[..error.valid_up_to()]).ok().map(Cow::from)
                }
                Err(_) => None,
            },
            Self::Latin1 => Some(encoding_rs::mem::decode_latin1(there)),
            Self::Other(encoding) => {
                let mut decoder = encoding.new_decoder_without_bom_handling();
                let room = decoder.max_utf8_buffer_length_without_replacement(there.len())?;
                let mut text = String::with_capacity(room);
                let (result, _) =
                    decoder.decode_to_string_without_replacement(there, &mut text, !more);
                (result == DecoderResult::InputEmpty).then(|| text.into())
            }
        }
    }

    /// Where in a text a byte stands of what it was made of. Quick where it is asked in their order.
    pub fn places(self, there: &[u8]) -> impl FnMut(usize) -> usize {
        let (mut from, mut place) = (0, 0);
        move |at| {
            let at = at.min(there.len());
            if at < from {
                (from, place) = (0, 0);
            }
            let between = &there[from..at];
            place += self.text(between, between.len(), usize::MAX).text.len();
            from = at;
            place
        }
    }
}

/// As many characters as `most` bytes have room for, and how many bytes were taken for them.
fn decoded(encoding: &'static Encoding, there: &[u8], more: bool, most: usize) -> (String, usize) {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    // It never grows: what it has no room for is left out.
    let mut text = String::with_capacity(most.min(there.len().saturating_mul(ESCAPED) + SPARE));
    let mut taken = 0;
    loop {
        let rest = &there[taken..];
        let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut text, !more);
        taken += read;
        let DecoderResult::Malformed(length, behind) = result else { return (text, taken) };
        let end = taken - usize::from(behind);
        let begin = end - usize::from(length);
        if usize::from(length) * ESCAPED > text.capacity() - text.len() {
            return (text, begin);
        }
        for byte in &there[begin..end] {
            // Nothing fails that writes to a text.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
}

/// What a decoder wants to have free before it writes the last character.
const SPARE: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(charset: Charset, there: &[u8], whole: usize, most: usize) -> (String, u64) {
        let Text { text, cut } = charset.text(there, whole, most);
        (text.to_string(), cut)
    }

    #[test]
    fn texts_are_read_in_the_charset_of_their_client() {
        for (charset, bytes, text) in [
            (Charset::Latin1, &b"contrase\xf1a \xc3\xa9 \x80"[..], "contraseña Ã© \u{80}"),
            (Charset::named("windows-1252"), b"\x80 \xf1", "€ ñ"),
            (Charset::named("euc-jp"), b"'\xc6\xfc\xcb\xdc'", "'日本'"),
            (Charset::named("shift_jis"), b"'\x95\x5c'", "'表'"),
            (Charset::named("gbk"), b"\xd6\xd0 \xff!", r"中 \xff!"),
            (Charset::named("gb18030"), b"\x81\x30\x81\x30", "\u{80}"),
            (Charset::named("big5"), b"\xa4\xa4 \xa4", r"中 \xa4"),
            (Charset::named("no such"), b"\xc3\xa9 \xe9", r"é \xe9"),
        ] {
            assert_eq!(of(charset, bytes, bytes.len(), 99), (text.to_owned(), 0));
        }
    }

    #[test]
    fn a_text_has_its_bounds_in_each_charset() {
        let long = b"\xf1".repeat(100);
        assert_eq!(of(Charset::Latin1, &long, 100, 11), ("ñ".repeat(5), 95));
        let (text, cut) = of(Charset::named("windows-1252"), &long, 100, 21);
        assert_eq!(text.chars().count() as u64 + cut, 100);
        assert!(text.len() > 15 && text.len() <= 21, "{text}");
        let (text, cut) = of(Charset::named("euc-kr"), &[0xff; 100], 100, 30);
        assert_eq!((text.len() % ESCAPED, text.len() as u64 / 4 + cut), (0, 100));
    }

    #[test]
    fn what_is_no_text_of_a_charset_is_not_decoded() {
        let japanese = Charset::named("euc-jp");
        assert_eq!(japanese.decode(b"\xc6\xfc", false).as_deref(), Some("日"));
        assert_eq!(japanese.decode(b"\xc6\xfc\xcb", false), None);
        assert_eq!(japanese.decode(b"\xc6\xfc\xcb", true).as_deref(), Some("日"));
        assert_eq!(japanese.decode(b"\xff", true), None);
        assert_eq!(Charset::Latin1.decode(b"\xf1", false).as_deref(), Some("ñ"));
        assert_eq!(Charset::Utf8.decode(b"\xf1", false), None);
    }

    #[test]
    fn a_place_is_found_again_in_the_text() {
        for charset in [Charset::Utf8, Charset::Latin1, Charset::named("gbk")] {
            let there = b"select '\xd6\xd0\xff'; select 2; x";
            let text = charset.text(there, there.len(), 99).text;
            let mut places = charset.places(there);
            for place in [23, 13, 23, 25] {
                assert_eq!(&text[places(place)..], str::from_utf8(&there[place..]).unwrap());
            }
            // One that is not there stands at the end.
            assert_eq!(places(99), text.len());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(
            label in prop::sample::select(vec!["gb18030", "gbk", "big5", "euc-jp", "shift_jis", "euc-kr", "windows-874"]),
            there in prop::collection::vec(any::<u8>(), 0..200),
            most in 0usize..300,
            more in 0usize..2,
        ) {
            let charset = Charset::named(label);
            let text = charset.text(&there, there.len() + more, most);
            prop_assert!(text.text.len() <= most && text.cut <= (there.len() + more) as u64);
            let whole = charset.text(&there, there.len(), usize::MAX);
            prop_assert_eq!(whole.cut, 0);
            if let Some(decoded) = charset.decode(&there, false) {
                prop_assert_eq!(decoded.as_ref(), whole.text.as_ref());
            }
        }
    }
}
