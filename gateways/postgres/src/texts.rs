//! What is known of prepared statements and of portals.

use std::collections::HashMap;

use database::Text;

use crate::sql::is_word;
use crate::track::LONGEST_TEXT;
use crate::values::Types;

/// Texts by name, some thousands at most.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub(crate) by_name: HashMap<Vec<u8>, (Text, Types)>,
    pub(crate) bytes: usize,
}

impl Texts {
    pub(crate) fn put(&mut self, name: Vec<u8>, text: Text, types: Types) {
        self.remove(&name);
        if self.by_name.len() >= NAMES {
            return;
        }
        let text = if self.bytes < ROOM { text } else { text.cut_at(CROWDED) };
        self.bytes += name.len() + text.text.len();
        self.by_name.insert(name, (text, types));
    }

    /// A message of several statements has given up or prepared some that it names, and which is not
    /// known: both texts stand for each then.
    pub(crate) fn doubt(&mut self, message: &Text) {
        let folded = message.text.to_ascii_lowercase();
        let words = folded.split(|c: char| c.is_ascii() && !is_word(c));
        let mut named: Vec<_> = words.chain(message.text.split('"')).collect();
        named.sort_unstable();
        named.dedup();
        for name in named.into_iter().filter(|name| !name.is_empty()) {
            if let Some((text, types)) = self.by_name.get(name.as_bytes()).cloned() {
                self.put(name.into(), or_by(&text, message), types);
            }
        }
    }

    /// All that have a name are given up.
    pub(crate) fn clear_named(&mut self) {
        let unnamed = self.by_name.remove_entry(&b""[..]);
        self.clear();
        if let Some((name, (text, types))) = unnamed {
            self.put(name, text, types);
        }
    }

    pub(crate) fn get(&self, name: &[u8], what: &str) -> (Text, Types) {
        let unknown = || Text::from(format!("({what} {:?})", String::from_utf8_lossy(name)));
        self.by_name.get(name).cloned().unwrap_or_else(|| (unknown(), Types::default()))
    }

    /// The server has said which types the parameters of a statement have.
    pub(crate) fn tell(&mut self, name: &[u8], told: Types) {
        if let Some((_, types)) = self.by_name.get_mut(name) {
            *types = told;
        }
    }

    pub(crate) fn remove(&mut self, name: &[u8]) {
        if let Some((name, (text, _))) = self.by_name.remove_entry(name) {
            self.bytes -= name.len() + text.text.len();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.by_name.clear();
        self.bytes = 0;
    }
}

/// A text with another one behind it, as a comment.
fn or_by(text: &Text, other: &Text) -> Text {
    let both = format!("{} -- or by: {}", text.text, other.text);
    Text { text: both.into(), cut: text.cut + other.cut }.cut_at(LONGEST_TEXT)
}

pub(crate) const NAMES: usize = 10_000;
/// Bytes of texts; beyond, each is cut at so many.
pub(crate) const ROOM: usize = 4 * 1024 * 1024;
pub(crate) const CROWDED: usize = 256;
