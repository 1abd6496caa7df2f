//! What a client and an sftp server say to each other.

use gateway_ssh::fuzzing::sftp_seen;

/// The same is seen wherever the bytes are cut, no more of files than went by, and nothing after
/// what is not understood. The input is parts: a byte that says the way and the length, and the part.
pub(crate) fn seen(bytes: &[u8]) {
    let talk = talk(bytes);
    let whole = sftp_seen(&talk, usize::MAX);
    for piece in [1, 5] {
        assert_eq!(sftp_seen(&talk, piece), whole, "in pieces of {piece}");
    }
    let carried: u64 = whole.iter().map(|(_, carried, _)| carried).sum();
    assert!(carried <= bytes.len() as u64, "{whole:?}");
    let lost = whole.iter().position(|(_, _, lost)| *lost);
    assert!(lost.is_none_or(|at| at + 1 == whole.len()), "{whole:?}");
}

fn talk(mut bytes: &[u8]) -> Vec<(bool, &[u8])> {
    let mut talk = Vec::new();
    while let Some((&first, rest)) = bytes.split_first() {
        let (part, rest) = rest.split_at(usize::from(first & 0x7f).min(rest.len()));
        talk.push((first & 0x80 != 0, part));
        bytes = rest;
    }
    talk
}
