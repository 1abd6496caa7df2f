//! The values that are bound to a statement's parameters, as they stand behind its text in the log.

use crate::{Charset, Text};

/// A list of values, for people to read.
#[derive(Debug, Default)]
pub struct Values {
    out: String,
    is_cut: bool,
    charset: Charset,
}

impl Values {
    /// Those of a client of this charset.
    #[must_use]
    pub fn of(charset: Charset) -> Self {
        Self { charset, ..Self::default() }
    }

    /// Adds one that is shown so: a number, a date, NULL.
    pub fn plain(&mut self, shown: &str) {
        if self.out.len() + shown.len() > MOST {
            self.rest_is_unknown();
        }
        if self.is_cut {
            return;
        }
        if !self.out.is_empty() {
            self.out.push_str(", ");
        }
        self.out.push_str(shown);
    }

    pub fn null(&mut self) {
        self.plain("NULL");
    }

    /// Adds a text in quotes, or its bytes where it is none.
    pub fn bytes(&mut self, value: &[u8]) {
        let kept = &value[..value.len().min(LONGEST)];
        let more = if kept.len() < value.len() { "…" } else { "" };
        let shown = self.charset.decode(kept, !more.is_empty());
        match shown.filter(|text| !text.contains('\0')) {
            Some(text) => {
                let text = access::text::visible_lines(&text).replace('\'', "''");
                self.plain(&format!("'{text}{more}'"));
            }
            None => self.raw(value),
        }
    }

    /// Adds bytes that are no text, the first of them.
    pub fn raw(&mut self, value: &[u8]) {
        let kept = &value[..value.len().min(LONGEST / 8)];
        let more = if kept.len() < value.len() { "…" } else { "" };
        let hex: String = kept.iter().map(|byte| format!("{byte:02x}")).collect();
        self.plain(&format!("0x{hex}{more}"));
    }

    /// What follows can not be told.
    pub fn rest_is_unknown(&mut self) {
        if !self.is_cut {
            self.is_cut = true;
            self.out.push_str(if self.out.is_empty() { "…" } else { ", …" });
        }
    }

    /// A statement's text with its values behind it.
    #[must_use]
    pub fn behind(self, text: &Text) -> Text {
        if self.out.is_empty() {
            return text.clone();
        }
        Text { text: format!("{} -- {}", text.text, self.out).into(), cut: text.cut }
    }
}

/// The most that is kept of all, and of one of them, in bytes.
const MOST: usize = 16 * 1024;
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(fill: impl FnOnce(&mut Values)) -> String {
        let mut values = Values::default();
        fill(&mut values);
        values.behind(&Text::from("select ?".to_owned())).text.to_string()
    }

    #[test]
    fn values_stand_behind_the_text() {
        assert_eq!(shown(|_| {}), "select ?");
        let some = shown(|values| {
            values.plain("7");
            values.null();
            values.bytes("it's ü".as_bytes());
            values.bytes(&[0, 255]);
        });
        assert_eq!(some, "select ? -- 7, NULL, 'it''s ü', 0x00ff");
    }

    #[test]
    fn what_is_long_is_cut() {
        let long = shown(|values| values.bytes("ü".repeat(1000).as_bytes()));
        assert!(long.ends_with("ü…'") && long.len() < 1100, "{long}");
        let binary = shown(|values| values.bytes(&[200; 1000]));
        assert!(binary.ends_with("c8…") && binary.len() < 300, "{binary}");
        let many = shown(|values| (0..100_000).for_each(|n| values.plain(&n.to_string())));
        assert!(many.ends_with(", …") && many.len() <= MOST + 40, "{}", many.len());
    }
}
