//! Stable error codes and what a person is told.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// A stable error code such as `access.denied`. Every code stands once in `docs/errors.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Code(pub &'static str);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What a failure says to the person who met it. Details for the operator are in the error's own
/// text and its sources, and are never shown to users.
pub trait Explain {
    /// The stable code.
    fn code(&self) -> Code;
    /// One sentence for the user. Absent and forbidden things are described alike.
    fn public(&self) -> Cow<'static, str>;
    /// What the user can do next.
    fn hint(&self) -> Option<Cow<'static, str>> {
        None
    }
}
