//! What is known of prepared statements.

use std::collections::HashMap;

use database::Text;

use crate::values::Parameters;

/// Texts of prepared statements by their numbers, some thousands at most.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    by_id: HashMap<u32, (Text, Parameters)>,
    pub(crate) bytes: usize,
    last: Option<u32>,
}

impl Texts {
    pub(crate) fn put(&mut self, id: u32, text: Text, parameters: Parameters) {
        self.remove(id);
        self.last = Some(id);
        if self.by_id.len() >= STATEMENTS {
            return;
        }
        let text = if self.bytes < ROOM { text } else { text.cut_at(CROWDED) };
        self.bytes += text.text.len();
        self.by_id.insert(id, (text, parameters));
    }

    pub(crate) fn get(&self, id: u32) -> Text {
        let id = self.meant(id);
        let unknown = || Text::from(format!("(prepared statement {id})"));
        self.by_id.get(&id).map(|(text, _)| text.clone()).unwrap_or_else(unknown)
    }

    pub(crate) fn parameters(&mut self, id: u32) -> Option<&mut Parameters> {
        let id = self.meant(id);
        self.by_id.get_mut(&id).map(|(_, parameters)| parameters)
    }

    /// MariaDB has a way to mean the last one.
    fn meant(&self, id: u32) -> u32 {
        if id == u32::MAX { self.last.unwrap_or(id) } else { id }
    }

    pub(crate) fn remove(&mut self, id: u32) {
        if let Some((text, _)) = self.by_id.remove(&id) {
            self.bytes -= text.text.len();
        }
    }
}

const STATEMENTS: usize = 20_000;
/// Bytes of texts; beyond, each is cut at so many.
pub(crate) const ROOM: usize = 4 * 1024 * 1024;
pub(crate) const CROWDED: usize = 256;
