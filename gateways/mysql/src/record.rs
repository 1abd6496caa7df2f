//! How a session's statements are shown.

use database::Transcript;

pub(crate) const TRANSCRIPT: Transcript =
    Transcript { program: "mysql", prompt: ">", rows: "rows" };
