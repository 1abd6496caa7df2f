//! Asking for a secret on the terminal, without showing it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};
use crate::os::Hidden;

/// Asks at the terminal this process belongs to; `None` where there is none.
pub fn secret(question: &str) -> Result<Option<SecretString>, Failure> {
    let Ok(mut terminal) = File::options().read(true).write(true).open("/dev/tty") else {
        return Ok(None);
    };
    let keys = terminal.try_clone()?;
    let hidden = Hidden::new(keys.as_fd())?;
    terminal.write_all(question.as_bytes())?;
    let answer = read_line(&keys);
    drop(hidden);
    terminal.write_all(b"\n")?;
    match answer? {
        Some(answer) => Ok(Some(answer)),
        None => Err(Failure::new(Exit::Failed, "nothing was entered")),
    }
}

/// Reads keys until Enter; `None` where they end or are given up with Ctrl-C or Ctrl-D.
fn read_line(mut keys: impl Read) -> io::Result<Option<SecretString>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut key = Zeroizing::new([0u8]);
    loop {
        if keys.read(&mut *key)? == 0 {
            return Ok(None);
        }
        match key[0] {
            b'\r' | b'\n' => break,
            CTRL_C | CTRL_D => return Ok(None),
            BACKSPACE | DELETE => drop(line.pop()),
            CTRL_U => line.clear(),
            byte if line.len() < LONGEST => line.push(byte),
            _ => {}
        }
    }
    match String::from_utf8_lossy(&line).trim() {
        "" => Ok(None),
        text => Ok(Some(text.to_owned().into())),
    }
}

const LONGEST: usize = 1024;
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 21;
const DELETE: u8 = 127;

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn keys_edit_the_line_as_in_a_shell() {
        let read =
            |keys: &[u8]| read_line(keys).unwrap().map(|secret| secret.expose_secret().to_owned());
        assert_eq!(read(b"adit_x\r").as_deref(), Some("adit_x"));
        assert_eq!(read(b"wrong\x15ab\x7fc\nrest").as_deref(), Some("ac"));
        assert_eq!(read(b" pasted \n").as_deref(), Some("pasted"));
        for given_up in [&b"abc\x03\n"[..], b"\x04", b"\n", b"cut off"] {
            assert_eq!(read(given_up), None);
        }
        assert_eq!(
            read(&[&[b'a'; 5000][..], b"\n"].concat()).map(|text| text.len()),
            Some(LONGEST)
        );
    }
}
