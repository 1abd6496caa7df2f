//! Whether a key's parts are all there and it is strong enough to sign somebody in.

use super::{KeyError, field};

/// Refuses a blob that is not a whole key of its algorithm (RFC 4253 section 6.6, RFC 5656 section
/// 3.1, RFC 8709 section 4, OpenSSH's PROTOCOL.u2f), or is an RSA key of less than 3072 bits.
pub(super) fn check(algorithm: &str, blob: &[u8]) -> Result<(), KeyError> {
    let parts = parts(blob).ok_or(KeyError::Base64)?;
    let whole = match (algorithm, parts.as_slice()) {
        ("ssh-ed25519", [_, key]) => key.len() == 32,
        ("sk-ssh-ed25519@openssh.com", [_, key, application]) => {
            key.len() == 32 && !application.is_empty()
        }
        ("ecdsa-sha2-nistp256", [_, b"nistp256", point]) => is_point(point, 32),
        ("ecdsa-sha2-nistp384", [_, b"nistp384", point]) => is_point(point, 48),
        ("ecdsa-sha2-nistp521", [_, b"nistp521", point]) => is_point(point, 66),
        ("sk-ecdsa-sha2-nistp256@openssh.com", [_, b"nistp256", point, application]) => {
            is_point(point, 32) && !application.is_empty()
        }
        ("ssh-rsa", [_, exponent, modulus]) => match (bits(exponent), bits(modulus)) {
            (_, size) if size < LEAST_RSA => return Err(KeyError::Weak(size)),
            (exponent, size) => exponent >= 2 && size <= MOST_RSA,
        },
        _ => false,
    };
    if whole { Ok(()) } else { Err(KeyError::Base64) }
}

/// The length-prefixed fields of a blob, if there is nothing else in it.
fn parts(mut blob: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while !blob.is_empty() {
        let (part, rest) = field(blob)?;
        parts.push(part);
        blob = rest;
    }
    Some(parts)
}

/// An uncompressed point, with coordinates of so many bytes.
fn is_point(point: &[u8], size: usize) -> bool {
    point.len() == 1 + 2 * size && point.first() == Some(&4)
}

/// How long a number is.
fn bits(number: &[u8]) -> usize {
    let digits = number.iter().skip_while(|byte| **byte == 0);
    let first = digits.clone().next().map_or(0, |byte| byte.leading_zeros() as usize);
    digits.count() * 8 - first
}

const LEAST_RSA: usize = 3072;
/// Checking a signature by a longer one costs more than it protects.
const MOST_RSA: usize = 16384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_keys_of_each_algorithm_are_taken_and_cut_ones_are_not() {
        let point = |size: usize| [&[4], vec![7; 2 * size].as_slice()].concat();
        let keys: [(&str, Vec<Vec<u8>>); 7] = [
            ("ssh-ed25519", vec![vec![1; 32]]),
            ("ecdsa-sha2-nistp256", vec![b"nistp256".to_vec(), point(32)]),
            ("ecdsa-sha2-nistp384", vec![b"nistp384".to_vec(), point(48)]),
            ("ecdsa-sha2-nistp521", vec![b"nistp521".to_vec(), point(66)]),
            ("ssh-rsa", vec![vec![1, 0, 1], rsa(3072)]),
            ("sk-ssh-ed25519@openssh.com", vec![vec![1; 32], b"ssh:".to_vec()]),
            (
                "sk-ecdsa-sha2-nistp256@openssh.com",
                vec![b"nistp256".to_vec(), point(32), b"ssh:".to_vec()],
            ),
        ];
        for (algorithm, parts) in &keys {
            let whole = blob(algorithm, parts);
            assert_eq!(check(algorithm, &whole), Ok(()), "{algorithm}");
            for cut in [&whole[..whole.len() - 1], &[whole.as_slice(), &[0]].concat()] {
                assert_eq!(check(algorithm, cut), Err(KeyError::Base64), "{algorithm}");
            }
            let more = blob(algorithm, &[parts.as_slice(), &[vec![1]]].concat());
            assert_eq!(check(algorithm, &more), Err(KeyError::Base64), "{algorithm}");
        }
    }

    #[test]
    fn a_short_rsa_key_is_told_its_length() {
        for (size, answer) in [
            (1024, Err(KeyError::Weak(1024))),
            (2048, Err(KeyError::Weak(2048))),
            (3071, Err(KeyError::Weak(3071))),
            (3072, Ok(())),
            (4096, Ok(())),
            (16385, Err(KeyError::Base64)),
        ] {
            let key = blob("ssh-rsa", &[vec![1, 0, 1], rsa(size)]);
            assert_eq!(check("ssh-rsa", &key), answer, "{size}");
        }
    }

    fn blob(algorithm: &str, parts: &[Vec<u8>]) -> Vec<u8> {
        let all = std::iter::once(algorithm.as_bytes()).chain(parts.iter().map(Vec::as_slice));
        let field =
            |part: &[u8]| [&u32::try_from(part.len()).unwrap().to_be_bytes(), part].concat();
        all.flat_map(field).collect()
    }

    /// A number of so many bits, as SSH writes it: with a zero before a set first bit.
    fn rsa(bits: usize) -> Vec<u8> {
        let mut number = vec![0; bits / 8 + 1];
        number[usize::from(bits.is_multiple_of(8))] = 1 << ((bits + 7) % 8);
        number
    }
}
