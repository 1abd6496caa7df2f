//! The way of the bytes: streams that hand out what they received without a copy, and the loop that
//! joins two of them. No policy, no protocol, no framing.

mod io;
mod pump;
mod stream;
mod tcp;

pub use io::{FromIo, Io};
pub use pump::{Counters, Finish, Joined, join};
pub use stream::{BoxStream, Stream};
pub use tcp::Tcp;
