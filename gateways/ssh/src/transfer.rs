//! Commands that are the far end of a file transfer.

use std::borrow::Cow;

use access::{Code, Explain};

/// A file transfer under a grant that allows none.
pub(crate) struct Refused;

impl Explain for Refused {
    fn code(&self) -> Code {
        Code("access.file_transfer")
    }

    fn public(&self) -> Cow<'static, str> {
        Cow::Borrowed("your access to this application allows no file transfer")
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed("ask your administrator"))
    }
}

/// Whether a command runs the server's side of scp, rsync or sftp, by itself or through another
/// such as sudo. Who may run commands can still print a file: this refuses the tools that are made
/// for it, and does not lock files in.
pub(crate) fn is_transfer(command: &str) -> bool {
    let separates = |c: char| c.is_whitespace() || ";&|()`$".contains(c);
    let words: Vec<_> = command.split(separates).map(plain).filter(|w| !w.is_empty()).collect();
    (0..words.len()).any(|at| starts_transfer(words[at].as_str(), &words[at + 1..]))
}

fn starts_transfer(program: &str, arguments: &[String]) -> bool {
    match program.rsplit('/').next().unwrap_or_default() {
        "sftp-server" | "internal-sftp" => true,
        "rsync" => arguments.iter().any(|word| word == "--server"),
        "scp" => arguments.iter().any(|word| is_scp_end(word)),
        _ => false,
    }
}

/// `-t` and `-f`, alone or among the other options that scp gives its far end: `-prt`.
fn is_scp_end(word: &str) -> bool {
    let flags = word.strip_prefix('-').unwrap_or_default();
    flags.contains(['t', 'f']) && flags.chars().all(|flag| "dfpqrtv".contains(flag))
}

/// A word as the shell reads it, without its quotes.
fn plain(word: &str) -> String {
    word.replace(['"', '\'', '\\'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_far_end_of_a_transfer_is_recognised() {
        for command in [
            "scp -t /tmp/x",
            "scp -f -- /etc/hosts",
            "scp -r -p -d -t .",
            "scp -prt .",
            "/usr/bin/scp -v -f x",
            "'scp' -t x",
            "cd /srv && \"scp\" -t x",
            "s\\cp -t x",
            "rsync --server -vlogDtpre.iLsfxCIvu . /srv",
            "sudo -n rsync --server --sender -e.LsfxCIvu . /srv/",
            "/usr/lib/openssh/sftp-server",
            "exec /usr/libexec/openssh/sftp-server -R",
            "sh -c $(scp -t x)",
        ] {
            assert!(is_transfer(command), "{command}");
        }
    }

    #[test]
    fn other_commands_are_left_alone() {
        for command in [
            "",
            "uptime",
            "ls -tf",
            "grep -f patterns scp.log",
            "rsync -a /srv/a /srv/b",
            "man scp",
            "tail -f /var/log/rsync",
            "scpt -t",
            "scp --help",
            "echo --server",
        ] {
            assert!(!is_transfer(command), "{command}");
        }
    }
}
