//! The values in an execution of a prepared statement, as MySQL lays them out. Pure.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_execute.html>

use std::collections::BTreeSet;

use database::{Charset, Values};

use crate::proto::Reader;

/// What is known of a statement's parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    count: usize,
    /// As they were told last: a client need not say them again.
    types: Vec<[u8; 2]>,
    /// Those whose values went ahead.
    ahead: BTreeSet<u16>,
}

impl Parameters {
    pub(crate) fn new(count: u16) -> Self {
        Self { count: count.into(), ..Self::default() }
    }

    /// A value, or a piece of it, goes ahead of the execution.
    pub(crate) fn goes_ahead(&mut self, parameter: u16) {
        if usize::from(parameter) < self.count.min(MOST) {
            self.ahead.insert(parameter);
        }
    }

    pub(crate) fn reset(&mut self) {
        self.ahead.clear();
    }

    /// The values in what follows an execution's command byte, as far as they are there.
    pub(crate) fn read(&mut self, body: &[u8], charset: Charset) -> Values {
        let mut values = Values::of(charset);
        if self.count > 0 && self.fill(body, &mut values).is_none() {
            values.rest_is_unknown();
        }
        self.reset();
        values
    }

    fn fill(&mut self, body: &[u8], values: &mut Values) -> Option<()> {
        let mut reader = Reader(body);
        // The statement, flags, and how often.
        reader.take(9)?;
        let nulls = reader.take(self.count.div_ceil(8))?;
        if reader.u8()? == 1 {
            let types = reader.take(2 * self.count)?;
            self.types = types.chunks_exact(2).take(MOST).map(|kind| [kind[0], kind[1]]).collect();
        }
        for (at, kind) in self.types.iter().enumerate() {
            let is_ahead = u16::try_from(at).is_ok_and(|at| self.ahead.contains(&at));
            match nulls[at / 8] >> (at % 8) & 1 {
                1 => values.null(),
                _ if is_ahead => values.plain("(sent ahead)"),
                _ => value(*kind, &mut reader, values)?,
            }
        }
        (self.types.len() == self.count).then_some(())
    }
}

/// Adds the next value; `None`: what it is can not be told.
fn value([kind, flags]: [u8; 2], reader: &mut Reader<'_>, values: &mut Values) -> Option<()> {
    let unsigned = flags & 0x80 != 0;
    match kind {
        0x01 => integer(reader.take(1)?, unsigned, values),
        0x02 | 0x0d => integer(reader.take(2)?, unsigned, values),
        0x03 | 0x09 => integer(reader.take(4)?, unsigned, values),
        0x08 => integer(reader.take(8)?, unsigned, values),
        0x04 => {
            let bytes = reader.take(4)?.try_into().ok()?;
            values.plain(&f32::from_le_bytes(bytes).to_string());
        }
        0x05 => {
            let bytes = reader.take(8)?.try_into().ok()?;
            values.plain(&f64::from_le_bytes(bytes).to_string());
        }
        0x06 => values.null(),
        0x07 | 0x0a | 0x0c => {
            let length = reader.u8()?.into();
            values.plain(&date(reader.take(length)?)?);
        }
        0x0b => {
            let length = reader.u8()?.into();
            values.plain(&time(reader.take(length)?)?);
        }
        0x00 | 0x0f..=0x10 | 0xf5..=0xff => values.bytes(reader.counted()?),
        _ => return None,
    }
    Some(())
}

fn integer(bytes: &[u8], unsigned: bool, values: &mut Values) {
    let negative = !unsigned && bytes.last().is_some_and(|top| top & 0x80 != 0);
    let mut wide = if negative { [0xff; 8] } else { [0; 8] };
    wide[..bytes.len()].copy_from_slice(bytes);
    let shown = match unsigned {
        true => u64::from_le_bytes(wide).to_string(),
        false => i64::from_le_bytes(wide).to_string(),
    };
    values.plain(&shown);
}

fn date(bytes: &[u8]) -> Option<String> {
    let mut reader = Reader(bytes);
    if bytes.is_empty() {
        return Some("'0000-00-00'".to_owned());
    }
    let (year, month, day) = (reader.u16()?, reader.u8()?, reader.u8()?);
    let clock = clock(&mut reader)?;
    let clock = clock.map(|clock| format!(" {clock}")).unwrap_or_default();
    Some(format!("'{year:04}-{month:02}-{day:02}{clock}'"))
}

fn time(bytes: &[u8]) -> Option<String> {
    let mut reader = Reader(bytes);
    if bytes.is_empty() {
        return Some("'00:00:00'".to_owned());
    }
    let (sign, days) = (if reader.u8()? == 1 { "-" } else { "" }, reader.u32()?);
    let days = if days == 0 { String::new() } else { format!("{days} ") };
    Some(format!("'{sign}{days}{}'", clock(&mut reader)??))
}

/// `None` within: there is none.
fn clock(reader: &mut Reader<'_>) -> Option<Option<String>> {
    if reader.0.is_empty() {
        return Some(None);
    }
    let (hours, minutes, seconds) = (reader.u8()?, reader.u8()?, reader.u8()?);
    let part = if reader.0.is_empty() { String::new() } else { format!(".{:06}", reader.u32()?) };
    Some(Some(format!("{hours:02}:{minutes:02}:{seconds:02}{part}")))
}

/// Parameters that are told of.
const MOST: usize = 128;

#[cfg(test)]
mod tests {
    use database::Text;
    use proptest::prelude::*;

    use super::*;

    fn shown(parameters: &mut Parameters, body: &[u8]) -> String {
        let values = parameters.read(body, Charset::Utf8);
        values.behind(&Text::from("?".to_owned())).text.to_string()
    }

    const HEAD: [u8; 9] = [1, 0, 0, 0, 0, 1, 0, 0, 0];

    #[test]
    fn values_are_read_by_their_types_also_where_those_are_not_said_again() {
        let mut parameters = Parameters::new(6);
        let types = [0x08, 0, 0x01, 0x80, 0xfd, 0, 0x06, 0, 0x0c, 0, 0x05, 0];
        let mut values = vec![0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 200, 2, b'h', b'i'];
        values.extend([7, 0xea, 7, 11, 27, 18, 5, 9]);
        values.extend(1.5f64.to_le_bytes());
        let first = [&HEAD[..], &[0b1000, 1], &types, &values].concat();
        let expected = "? -- -2, 200, 'hi', NULL, '2026-11-27 18:05:09', 1.5";
        assert_eq!(shown(&mut parameters, &first), expected);
        let again = [&HEAD[..], &[0b1000, 0], &values].concat();
        assert_eq!(shown(&mut parameters, &again), expected);
        for cut in HEAD.len()..again.len() {
            assert!(shown(&mut parameters.clone(), &again[..cut]).ends_with('…'), "{cut}");
        }
    }

    #[test]
    fn what_went_ahead_is_not_in_it() {
        let mut parameters = Parameters::new(2);
        parameters.goes_ahead(0);
        let body = [&HEAD[..], &[0, 1, 0xfc, 0, 0x01, 0, 5]].concat();
        assert_eq!(shown(&mut parameters, &body), "? -- (sent ahead), 5");
        assert_eq!(shown(&mut Parameters::new(0), &HEAD), "?");
    }

    proptest! {
        #[test]
        fn no_body_is_too_odd(count in 0u16..300, body in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut parameters = Parameters::new(count);
            shown(&mut parameters, &body);
            shown(&mut parameters, &body);
        }
    }
}
