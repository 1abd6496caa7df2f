//! The messages of the HTTPS API, as relay and agent share them. Pure data.

mod document;

pub use document::{ApplicationSpec, Change, Document, GrantSpec, GroupSpec, SiteSpec, UserSpec};
