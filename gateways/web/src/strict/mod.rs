//! Strict HTTP/1.1: what a client sends is checked byte by byte before the HTTP library sees it.
//!
//! Libraries forgive what their authors met in the wild, and two that forgive differently can be
//! played against each other: one request for the first is two for the second. Here every byte
//! belongs to exactly one request, or the connection ends.

mod chunked;
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod io;
mod machine;

pub use io::{Asking, Guarded, Ledger};
pub(crate) use machine::Malformed;
