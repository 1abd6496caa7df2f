//! The audit log: rows that are only ever added, each chained to the one before, and reading them
//! back.

mod abandoned;
mod adopt;
mod deliver;
mod end;
mod ended;
mod log;
mod read;
mod table;
mod verify;

pub(crate) use abandoned::Opened;
pub(crate) use adopt::adopt;
pub(crate) use deliver::free_deliveries;
pub use deliver::{Claimed, Delivery, DeliveryRow};
pub(crate) use end::{End, append, append_at_once, first_ends, vouch_anew, without_second_ends};
pub use ended::{EndedQuery, EndedRow, RecordingRow};
pub use read::AuditQuery;
pub(crate) use table::Row;
pub use verify::{AuditCheck, AuditPart};
