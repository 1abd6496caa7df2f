//! Secrets and keys out of files: never out of the command line, which every user of the machine
//! can read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::exit::Failure;

/// The file's text without its last line break; `-` is stdin.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let unread =
        |error: io::Error| Failure::usage(format!("{} can not be read: {error}", path.display()));
    let text = read_capped(path).map_err(unread)?;
    Ok(text.strip_suffix('\n').map_or(&*text, |line| line.trim_end_matches('\r')).to_owned())
}

/// A private key in PEM form, whose last line break belongs to it.
pub(super) fn read_key(path: &Path) -> Result<String, Failure> {
    let mut text = read(path)?;
    if !text.contains("PRIVATE KEY") {
        return Err(Failure::usage(format!("{} is no private key in PEM form", path.display())));
    }
    text.push('\n');
    Ok(text)
}

/// The public key of a file that holds one.
pub(in crate::commands) fn public_key(path: &Path) -> Result<String, Failure> {
    match <[String; 1]>::try_from(public_keys(path)?) {
        Ok([key]) => Ok(key),
        Err(keys) => Err(Failure::usage(format!("{} holds {} keys", path.display(), keys.len()))
            .hint("give one at a time")),
    }
}

/// The public keys of a file, one a line, as `authorized_keys` and `id_*.pub` hold them.
pub(super) fn public_keys(path: &Path) -> Result<Vec<String>, Failure> {
    let text = read(path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys: Vec<_> = lines.filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    if text.contains("PRIVATE KEY") {
        return Err(Failure::usage(format!("{} is a private key", path.display()))
            .hint("give the public one, which ends in .pub"));
    }
    match keys.is_empty() {
        true => Err(Failure::usage(format!("{} holds no key", path.display()))),
        false => Ok(keys),
    }
}

fn read_capped(path: &Path) -> io::Result<String> {
    let source: Box<dyn Read> = match path {
        stdin if stdin == Path::new("-") => Box::new(io::stdin()),
        file => Box::new(File::open(file)?),
    };
    let mut text = String::new();
    source.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("it is longer than {} KiB", LONGEST / 1024)));
    }
    Ok(text)
}

/// Longer than every key and every list of keys that makes sense.
const LONGEST: u64 = 512 * 1024;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_secret_loses_its_line_break_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        for (written, read_back) in
            [("hunter2", "hunter2"), ("hunter2\n", "hunter2"), (" a b \r\n", " a b ")]
        {
            fs::write(&file, written).unwrap();
            assert_eq!(read(&file).unwrap(), read_back);
        }
        assert!(read(&dir.path().join("absent")).unwrap_err().to_string().contains("absent"));
    }

    #[test]
    fn a_private_key_is_never_sent_as_a_public_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("id");
        fs::write(&file, "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
        assert!(public_keys(&file).is_err());
        fs::write(&file, "# mine\nssh-ed25519 AAAA me\n\nssh-rsa BBBB\n").unwrap();
        assert_eq!(public_keys(&file).unwrap(), ["ssh-ed25519 AAAA me", "ssh-rsa BBBB"]);
    }
}
