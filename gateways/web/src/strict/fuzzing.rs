//! The state machine, for fuzzing.

use bytes::BytesMut;

use super::machine::{Machine, Next};

/// What passes of bytes that come in pieces of this size, and whether all of them were sound.
pub fn passed(bytes: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let (mut machine, mut input, mut passed) = Default::default();
    for piece in bytes.chunks(piece.max(1)) {
        BytesMut::extend_from_slice(&mut input, piece);
        loop {
            match Machine::next(&mut machine, &mut input) {
                Ok(Next::Pass(bytes)) => Vec::extend_from_slice(&mut passed, &bytes),
                Ok(Next::More) => break,
                Ok(Next::Hold) => machine.decide(false),
                Ok(Next::Discard) => return (passed, true),
                Err(_) => return (passed, false),
            }
        }
    }
    (passed, true)
}
