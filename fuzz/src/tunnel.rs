//! What connectors, agents and the relay say to each other.

use std::fmt::Debug;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::{Control, Header, Inbox, encode};

/// The first message of a session's stream.
pub(crate) fn header(bytes: &[u8]) {
    reads_the_same_however_it_is_cut::<Header>(bytes);
}

/// The messages of a control stream.
pub(crate) fn control(bytes: &[u8]) {
    reads_the_same_however_it_is_cut::<Control>(bytes);
}

/// The same messages and the same rest, whether bytes come at once or one by one; and each message
/// is read again from how it is written.
fn reads_the_same_however_it_is_cut<T>(bytes: &[u8])
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let whole = messages::<T>(bytes, bytes.len());
    for piece in [1, 3] {
        let cut = messages::<T>(bytes, piece);
        assert_eq!(cut, whole, "in pieces of {piece}");
    }
    for message in whole.0 {
        let Ok(written) = encode(&message) else { continue };
        let again = messages::<T>(&written, written.len()).0;
        assert_eq!(again, [message]);
    }
}

/// The messages before anything is wrong, and whether nothing is.
fn messages<T: DeserializeOwned>(bytes: &[u8], piece: usize) -> (Vec<T>, bool) {
    let (mut inbox, mut taken) = (Inbox::default(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        inbox.push(Bytes::copy_from_slice(piece));
        loop {
            match inbox.message::<T>() {
                Ok(Some(message)) => taken.push(message),
                Ok(None) => break,
                Err(_) => return (taken, false),
            }
        }
    }
    (taken, true)
}
