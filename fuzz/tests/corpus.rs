//! Every target with what is known to be interesting, and with changes of that.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use fuzz::{TARGETS, Target};

#[test]
fn every_target_has_a_corpus_and_keeps_its_promises_on_it() {
    for target in TARGETS {
        let known = corpus(target);
        assert!(!known.is_empty(), "{} has no corpus", target.name);
        for bytes in known {
            (target.run)(&bytes);
        }
    }
}

#[test]
fn no_change_of_a_known_input_breaks_a_promise() {
    for target in TARGETS {
        let (known, mut random) = (corpus(target), Random(0x9e37_79b9_7f4a_7c15));
        for round in 0..CHANGES {
            let bytes = random.changed(&known[round % known.len()], &known);
            (target.run)(&bytes);
        }
    }
}

#[test]
fn each_folder_of_the_corpus_is_of_a_target() {
    let folders = fs::read_dir(Path::new(CORPUS)).unwrap();
    for folder in folders {
        let name = folder.unwrap().file_name();
        assert!(fuzz::target(&name.to_string_lossy()).is_some(), "{name:?}");
    }
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(CORPUS).join(target.name);
    let files = fs::read_dir(folder).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let mut paths: Vec<_> = files.into_iter().map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// xorshift64: the same changes in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap()
    }

    /// Some bytes set, left out, doubled, or taken from another input.
    fn changed(&mut self, bytes: &[u8], known: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.insert(at, *SPECIAL.get(self.below(SPECIAL.len())).unwrap()),
                3 => bytes.truncate(at),
                _ => {
                    let other = &known[self.below(known.len())];
                    let from = self.below(other.len() + 1);
                    bytes.splice(at..at, other[from..].iter().copied().take(64));
                }
            }
        }
        bytes
    }
}

/// Bytes that mean something to some parser.
const SPECIAL: &[u8] = b"\0\t\n\r\x1b\x7f\x80\xc3\xff +:;,.\"'\\/[]{}()0-9aZ";
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
const CHANGES: usize = 4000;
