//! Issued tokens: their digests, their uses, their end.

mod issue;
mod list;
mod spend;

pub use issue::{NewToken, REMEMBERED};
pub use list::TokenQuery;
pub(crate) use list::one;
pub(crate) use spend::Spend;
pub use spend::UsedToken;
