//! The audit log: rows that are only ever added, and reading them back.

mod abandoned;
mod log;
mod read;
mod table;

pub use read::AuditQuery;
pub(crate) use table::{AT_ONCE, Row, insert};
