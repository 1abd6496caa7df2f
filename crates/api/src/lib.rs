//! The messages of the HTTPS API, as relay and agent share them.
