//! What NTLM is made of and nobody else uses any more: MD4 (RFC 1320), RC4 and HMAC-MD5 (RFC 2104).
//!
//! They protect nothing here that TLS around them does not.

use md5::{Digest as _, Md5};
use zeroize::Zeroize;

pub(crate) fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

pub(crate) fn hmac_md5(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    let (mut inner, mut outer) = ([0x36; 64], [0x5c; 64]);
    for (at, byte) in key.iter().enumerate() {
        inner[at] ^= byte;
        outer[at] ^= byte;
    }
    let first = md5(&[&[&inner[..]], parts].concat());
    let made = md5(&[&outer, &first]);
    inner.zeroize();
    outer.zeroize();
    made
}

pub(crate) fn md4(message: &[u8]) -> [u8; 16] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - message.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let bits = (message.len() as u64).wrapping_mul(8).to_le_bytes();
    let end = padded.len() - 8;
    padded[end..].copy_from_slice(&bits);
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded.chunks_exact(64) {
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        rounds(&mut state, &words);
        words.zeroize();
    }
    padded.zeroize();
    let mut made = [0; 16];
    for (bytes, word) in made.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    made
}

fn rounds(state: &mut [u32; 4], words: &[u32; 16]) {
    let [mut a, mut b, mut c, mut d] = *state;
    for (order, shifts, add, mix) in ROUNDS {
        for (step, word) in order.into_iter().enumerate() {
            let sum = a.wrapping_add(mix(b, c, d)).wrapping_add(words[word]).wrapping_add(add);
            (a, d, c, b) = (d, c, b, sum.rotate_left(shifts[step % 4]));
        }
    }
    for (word, more) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(more);
    }
}

type Round = ([usize; 16], [u32; 4], u32, fn(u32, u32, u32) -> u32);

const ROUNDS: [Round; 3] = [
    ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], [3, 7, 11, 19], 0, |x, y, z| {
        (x & y) | (!x & z)
    }),
    (
        [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15],
        [3, 5, 9, 13],
        0x5a82_7999,
        |x, y, z| (x & y) | (x & z) | (y & z),
    ),
    (
        [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15],
        [3, 9, 11, 15],
        0x6ed9_eba1,
        |x, y, z| x ^ y ^ z,
    ),
];

/// A stream of RC4.
pub(crate) struct Rc4 {
    state: [u8; 256],
    i: u8,
    j: u8,
}

impl Rc4 {
    pub(crate) fn new(key: &[u8]) -> Self {
        let mut state = [0; 256];
        for (at, byte) in (0..=255_u8).enumerate() {
            state[at] = byte;
        }
        let mut j = 0_u8;
        for at in 0..256 {
            j = j.wrapping_add(state[at]).wrapping_add(key[at % key.len()]);
            state.swap(at, j.into());
        }
        Self { state, i: 0, j: 0 }
    }

    pub(crate) fn apply(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.i = self.i.wrapping_add(1);
            let found = self.state[usize::from(self.i)];
            self.j = self.j.wrapping_add(found);
            self.state.swap(self.i.into(), self.j.into());
            let sum = found.wrapping_add(self.state[usize::from(self.i)]);
            *byte ^= self.state[usize::from(sum)];
        }
    }
}

impl Drop for Rc4 {
    fn drop(&mut self) {
        self.state.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn md4_is_that_of_rfc_1320() {
        let cases = [
            ("", "31d6cfe0d16ae931b73c59d7e0c089c0"),
            ("abc", "a448017aaf21d8525fc10ae87aa6729d"),
            (
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                "043f8582f241db351ce627e153e7f0e4",
            ),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "e33b4ddc9c38f2199c3e7b164fcc0536",
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(HEXLOWER.encode(&md4(text.as_bytes())), wanted, "{text}");
        }
    }

    #[test]
    fn hmac_is_that_of_rfc_2202() {
        let made = hmac_md5(&[0x0b; 16], &[b"Hi ", b"There"]);
        assert_eq!(HEXLOWER.encode(&made), "9294727a3638bb1c13f48ef8158bfc9d");
    }

    #[test]
    fn rc4_is_that_of_rfc_6229() {
        let mut bytes = [0; 16];
        Rc4::new(&[1, 2, 3, 4, 5]).apply(&mut bytes);
        assert_eq!(HEXLOWER.encode(&bytes), "b2396305f03dc027ccc3524a0a1118a8");
    }
}
