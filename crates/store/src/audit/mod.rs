//! The audit log: a bounded queue, one writer that stores all that waits in one transaction, and
//! reading it back.

mod abandoned;
mod queue;
mod read;
mod table;
mod writer;

pub(crate) use queue::{Queue, queue};
pub use read::AuditQuery;
