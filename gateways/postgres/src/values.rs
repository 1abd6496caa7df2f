//! The values that a client binds to a prepared statement. Pure.
//!
//! <https://www.postgresql.org/docs/18/protocol-message-formats.html>, Parse, Bind and
//! ParameterDescription. The binary form of a type is that of its `…send` function.

use std::sync::Arc;

use bytes::Buf;
use database::{Charset, Values};
use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, date};

/// The types of a statement's parameters as numbers of `pg_type`; 0: not known.
pub(crate) type Types = Arc<[u32]>;

/// Those in a ParameterDescription, and behind the text in a Parse, where the client says them.
pub(crate) fn types(mut body: &[u8]) -> Types {
    let count = body.try_get_u16().unwrap_or_default();
    (0..MOST.min(count.into())).map_while(|_| body.try_get_u32().ok()).collect()
}

/// The values in what follows the names in a Bind, as far as they are there.
pub(crate) fn bound(body: &[u8], types: &[u32], charset: Charset) -> Values {
    let mut values = Values::of(charset);
    if fill(body, types, &mut values).is_none() {
        values.rest_is_unknown();
    }
    values
}

fn fill(mut body: &[u8], types: &[u32], values: &mut Values) -> Option<()> {
    let formats = usize::from(body.try_get_u16().ok()?);
    let (binary, mut body) = body.split_at_checked(2 * formats)?;
    // None: all are texts. One: all are like it.
    let is_binary = |at: usize| {
        let at = if formats == 1 { 0 } else { at };
        binary.get(2 * at + 1).is_some_and(|format| *format != 0)
    };
    let count = usize::from(body.try_get_u16().ok()?);
    for at in 0..count.min(MOST) {
        let length = body.try_get_u32().ok()?;
        if length == NULL {
            values.null();
            continue;
        }
        let (value, rest) = body.split_at_checked(usize::try_from(length).ok()?)?;
        body = rest;
        match types.get(at).copied().unwrap_or_default() {
            _ if !is_binary(at) => values.bytes(value),
            oid::CHAR
            | oid::NAME
            | oid::TEXT
            | oid::JSON
            | oid::XML
            | oid::UNKNOWN
            | oid::BPCHAR
            | oid::VARCHAR => values.bytes(value),
            oid::JSONB => values.bytes(value.get(1..).unwrap_or_default()),
            kind => match shown(kind, value) {
                Some(shown) => values.plain(&shown),
                None => values.raw(value),
            },
        }
    }
    (count <= MOST).then_some(())
}

/// A value in its type's binary form; `None`: its bytes have to do.
fn shown(kind: u32, value: &[u8]) -> Option<String> {
    let shown = match kind {
        oid::BOOL => (number::<1>(value)? != [0]).to_string(),
        oid::INT2 => i16::from_be_bytes(number(value)?).to_string(),
        oid::INT4 => i32::from_be_bytes(number(value)?).to_string(),
        oid::INT8 => i64::from_be_bytes(number(value)?).to_string(),
        oid::OID => u32::from_be_bytes(number(value)?).to_string(),
        oid::FLOAT4 => f32::from_be_bytes(number(value)?).to_string(),
        oid::FLOAT8 => f64::from_be_bytes(number(value)?).to_string(),
        oid::NUMERIC => numeric(value)?,
        oid::DATE => quoted(day(i32::from_be_bytes(number(value)?))?),
        oid::TIMESTAMP => quoted(moment(i64::from_be_bytes(number(value)?))?),
        oid::TIMESTAMPTZ => quoted(format!("{}Z", moment(i64::from_be_bytes(number(value)?))?)),
        oid::UUID => quoted(uuid::Uuid::from_bytes(number(value)?)),
        _ => return None,
    };
    Some(shown)
}

fn number<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

fn quoted(shown: impl std::fmt::Display) -> String {
    format!("'{shown}'")
}

fn day(days: i32) -> Option<Date> {
    EPOCH.checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok()
}

fn moment(micros: i64) -> Option<DateTime> {
    EPOCH.at(0, 0, 0, 0).checked_add(SignedDuration::from_micros(micros)).ok()
}

/// Digits of base 10,000 from the `weight`th down, and how many decimals are shown.
fn numeric(mut value: &[u8]) -> Option<String> {
    let count = value.try_get_u16().ok()?;
    let weight = value.try_get_i16().ok()?;
    let sign = match value.try_get_u16().ok()? {
        0x0000 => "",
        0x4000 => "-",
        _ => return None,
    };
    let decimals = usize::from(value.try_get_u16().ok()?);
    let is_small = usize::from(count) <= DIGITS && decimals <= 4 * DIGITS && weight <= HIGHEST;
    if value.len() != 2 * usize::from(count) || !is_small {
        return None;
    }
    let digits: Vec<u16> = value.chunks_exact(2).map(|mut digit| digit.get_u16()).collect();
    let at = |place: i32| {
        let index = usize::try_from(i32::from(weight) - place).ok();
        index.and_then(|index| digits.get(index)).copied().unwrap_or_default()
    };
    let whole: String =
        (0..=i32::from(weight).max(0)).rev().map(|place| format!("{:04}", at(place))).collect();
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let places = i32::try_from(decimals.div_ceil(4)).ok()?;
    let mut part: String = (1..=places).map(|place| format!("{:04}", at(-place))).collect();
    part.truncate(decimals);
    let point = if part.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{part}"))
}

/// What PostgreSQL counts days and microseconds from.
const EPOCH: Date = date(2000, 1, 1);
/// The length of a value that there is none of.
const NULL: u32 = u32::MAX;
/// The most values that are kept of one execution.
const MOST: usize = 128;
/// The most digits of base 10,000 that are shown.
const DIGITS: usize = 64;
/// The highest of them.
const HIGHEST: i16 = 64;

/// Numbers of types that are in every database (`pg_type.dat`).
mod oid {
    pub(super) const BOOL: u32 = 16;
    pub(super) const CHAR: u32 = 18;
    pub(super) const NAME: u32 = 19;
    pub(super) const INT8: u32 = 20;
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const TEXT: u32 = 25;
    pub(super) const OID: u32 = 26;
    pub(super) const JSON: u32 = 114;
    pub(super) const XML: u32 = 142;
    pub(super) const FLOAT4: u32 = 700;
    pub(super) const FLOAT8: u32 = 701;
    pub(super) const UNKNOWN: u32 = 705;
    pub(super) const BPCHAR: u32 = 1042;
    pub(super) const VARCHAR: u32 = 1043;
    pub(super) const DATE: u32 = 1082;
    pub(super) const TIMESTAMP: u32 = 1114;
    pub(super) const TIMESTAMPTZ: u32 = 1184;
    pub(super) const NUMERIC: u32 = 1700;
    pub(super) const UUID: u32 = 2950;
    pub(super) const JSONB: u32 = 3802;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &[u8], types: &[u32]) -> String {
        bound(body, types, Charset::Utf8)
            .behind(&database::Text::from("?".to_owned()))
            .text
            .to_string()
    }

    fn bind(formats: &[u16], values: &[Option<&[u8]>]) -> Vec<u8> {
        let short = |count: usize| u16::try_from(count).unwrap().to_be_bytes();
        let mut body = short(formats.len()).to_vec();
        body.extend(formats.iter().flat_map(|format| format.to_be_bytes()));
        body.extend(short(values.len()));
        for value in values {
            let length = value.map_or(NULL, |value| u32::try_from(value.len()).unwrap());
            body.extend(length.to_be_bytes());
            body.extend(value.unwrap_or_default());
        }
        body.extend(short(0));
        body
    }

    #[test]
    fn texts_stand_as_they_were_sent() {
        let values = [Some(&b"7"[..]), None, Some("it's \u{fc}".as_bytes()), Some(b"")];
        assert_eq!(read(&bind(&[], &values), &[]), "? -- '7', NULL, 'it''s \u{fc}', ''");
        assert_eq!(read(&bind(&[0], &values[..1]), &[oid::INT4]), "? -- '7'");
        assert_eq!(read(&bind(&[], &[]), &[]), "?");
    }

    #[test]
    fn binary_values_are_read_by_their_types() {
        let one = |kind: u32, value: &[u8]| read(&bind(&[1], &[Some(value)]), &[kind]);
        for (kind, value, shown) in [
            (oid::BOOL, &[1][..], "true"),
            (oid::INT2, &(-2i16).to_be_bytes(), "-2"),
            (oid::INT4, &7i32.to_be_bytes(), "7"),
            (oid::INT8, &i64::MIN.to_be_bytes(), "-9223372036854775808"),
            (oid::OID, &u32::MAX.to_be_bytes(), "4294967295"),
            (oid::FLOAT8, &1.5f64.to_be_bytes(), "1.5"),
            (oid::TEXT, b"hi", "'hi'"),
            (oid::JSONB, b"\x01{}", "'{}'"),
            (oid::DATE, &9827i32.to_be_bytes(), "'2026-11-27'"),
            (oid::DATE, &i32::MAX.to_be_bytes(), "0x7fffffff"),
            (oid::TIMESTAMP, &1_500_000i64.to_be_bytes(), "'2000-01-01T00:00:01.5'"),
            (oid::TIMESTAMPTZ, &(-1_000_000i64).to_be_bytes(), "'1999-12-31T23:59:59Z'"),
            (oid::UUID, &[0x11; 16], "'11111111-1111-1111-1111-111111111111'"),
            // Types that are not known, and values that are none of theirs.
            (0, b"ABCD", "0x41424344"),
            (oid::INT4, b"AB", "0x4142"),
        ] {
            assert_eq!(one(kind, value), format!("? -- {shown}"), "{kind}");
        }
        let mixed = bind(&[0, 1], &[Some(b"7"), Some(&[0, 9])]);
        assert_eq!(read(&mixed, &[oid::INT2, oid::INT2]), "? -- '7', 9");
    }

    #[test]
    fn numerics_are_written_as_people_do() {
        let of = |weight: i16, sign: u16, decimals: u16, digits: &[u16]| {
            let head =
                [u16::try_from(digits.len()).unwrap(), weight.cast_unsigned(), sign, decimals];
            numeric(
                &[&head, digits].concat().iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>(),
            )
        };
        assert_eq!(of(0, 0, 2, &[12, 3400]).unwrap(), "12.34");
        assert_eq!(of(1, 0x4000, 0, &[1, 2]).unwrap(), "-10002");
        assert_eq!(of(2, 0, 1, &[5]).unwrap(), "500000000.0");
        assert_eq!(of(-1, 0, 6, &[12]).unwrap(), "0.001200");
        assert_eq!(of(0, 0, 0, &[]).unwrap(), "0");
        assert_eq!(of(0, 0xc000, 0, &[]), None);
        assert_eq!(of(i16::MAX, 0, 0, &[1]), None);
    }

    #[test]
    fn what_is_cut_or_too_much_ends_with_an_ellipsis() {
        let whole = bind(&[], &[Some(b"7"), Some(b"8")]);
        assert_eq!(read(&whole[..whole.len() - 4], &[]), "? -- '7', …");
        assert_eq!(read(&[], &[]), "? -- …");
        assert!(read(&bind(&[], &[None; 200]), &[]).ends_with("NULL, …"));
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(body in prop::collection::vec(any::<u8>(), 0..200), kinds in prop::collection::vec(0u32..4000, 0..8)) {
            prop_assert!(read(&body, &kinds).len() < 20_000);
            prop_assert!(types(&body).len() <= MOST);
            for kind in kinds {
                shown(kind, &body);
            }
        }
    }
}
