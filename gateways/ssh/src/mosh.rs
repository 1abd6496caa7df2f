//! mosh, which only begins over SSH.

use std::borrow::Cow;

use access::{Code, Explain};

/// A session of mosh, which would go on over UDP past the relay.
pub(crate) struct Refused;

impl Explain for Refused {
    fn code(&self) -> Code {
        Code("ssh.mosh")
    }

    fn public(&self) -> Cow<'static, str> {
        Cow::Borrowed("mosh goes on over UDP, which does not pass this door")
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed("use ssh; in tmux or screen at the target, work outlives a connection"))
    }
}

/// Whether a command is what mosh starts at its far end, by itself or in a line for a shell.
pub(crate) fn is_server(command: &str) -> bool {
    let separates = |c: char| c.is_whitespace() || ";&|()'\"\\".contains(c);
    let mut words = command.split(separates).filter(|word| !word.is_empty());
    let server = |word: &str| word.rsplit('/').next() == Some("mosh-server");
    words.any(server) && words.next() == Some("new")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What mosh runs to learn the target's address too.
    const SCRIPT: &str = r#"sh -c '[ -n "$SSH_CONNECTION" ] && printf "%s" "$SSH_CONNECTION" ;
        mosh-server '\''new'\'' '\''-s'\'''"#;

    #[test]
    fn what_mosh_starts_is_recognised_and_nothing_else() {
        for command in [
            "mosh-server new -c 256 -s -l LANG=C.UTF-8",
            "'/usr/local/bin/mosh-server' new",
            SCRIPT,
        ] {
            assert!(is_server(command), "{command}");
        }
        for command in
            ["", "mosh-server --version", "mosh-servers new", "which mosh-server", "mosh"]
        {
            assert!(!is_server(command), "{command}");
        }
    }
}
