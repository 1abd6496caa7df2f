//! What is known of prepared statements and of portals.

use std::collections::HashMap;

use database::Text;

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

pub(crate) const NAMES: usize = 10_000;
/// Bytes of texts; beyond, each is cut at so many.
pub(crate) const ROOM: usize = 4 * 1024 * 1024;
pub(crate) const CROWDED: usize = 256;
