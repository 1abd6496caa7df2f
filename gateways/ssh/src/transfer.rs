//! Commands that are the far end of a file transfer.

/// Whether a command runs the server's side of scp or rsync, by itself or through another such as
/// sudo. Who may run commands can still print a file: this refuses the tools that are made for it,
/// and does not lock files in.
pub(crate) fn copies(command: &str) -> bool {
    starts(command, |program, arguments| match program {
        "rsync" => arguments.iter().any(|word| word == "--server"),
        "scp" => arguments.iter().any(|word| is_scp_end(word)),
        _ => false,
    })
}

/// The same of sftp's.
pub(crate) fn serves_sftp(command: &str) -> bool {
    starts(command, |program, _| matches!(program, "sftp-server" | "internal-sftp"))
}

/// Whether a command is scp's or rsync's far end and, to any shell, nothing else: for who may run
/// no command besides. Options that could run or write something else are not among the plain ones.
pub(crate) fn is_plain_copy(command: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-~ ".contains(&byte);
    let words: Vec<_> = command.split(' ').collect();
    command.bytes().all(plain)
        && match &words[..] {
            ["scp", rest @ ..] => is_plain_scp(rest),
            ["rsync", "--server", rest @ ..] => is_plain_rsync(rest),
            _ => false,
        }
}

/// Options, of which one is `-t` or `-f`, then one path.
fn is_plain_scp(words: &[&str]) -> bool {
    let options = words.iter().take_while(|word| is_scp_option(word)).count();
    let (options, rest) = words.split_at(options);
    let path = match rest {
        ["--", path] | [path] => path,
        _ => return false,
    };
    options.iter().any(|word| is_scp_end(word)) && is_path(path)
}

fn is_plain_rsync(words: &[&str]) -> bool {
    let options = words.iter().take_while(|word| word.starts_with('-')).count();
    let (options, rest) = words.split_at(options);
    let [".", paths @ ..] = rest else { return false };
    !paths.is_empty()
        && paths.iter().all(|p| is_path(p))
        && options.iter().all(|o| is_rsync_option(o))
}

fn is_rsync_option(word: &str) -> bool {
    if word.starts_with("--") {
        let name = word.split('=').next().unwrap_or_default();
        return RSYNC_OPTIONS.contains(&name);
    }
    // What is after `e.` says what the client can do.
    let flags = word.split_once("e.").map_or(word, |(flags, _)| flags);
    flags[1..].bytes().all(|flag| RSYNC_FLAGS.contains(&flag))
}

fn is_path(word: &str) -> bool {
    !word.is_empty() && !word.starts_with('-')
}

/// Whether some word of a command is a program of which `is` holds with the words after it.
pub(crate) fn starts(command: &str, is: impl Fn(&str, &[String]) -> bool) -> bool {
    let separates = |c: char| c.is_whitespace() || ";&|()`$".contains(c);
    let words: Vec<_> = command.split(separates).map(plain).filter(|w| !w.is_empty()).collect();
    (0..words.len()).any(|at| {
        let program = words[at].rsplit('/').next().unwrap_or_default();
        is(program, &words[at + 1..])
    })
}

/// `-t` and `-f`, alone or among the other options that scp gives its far end: `-prt`.
fn is_scp_end(word: &str) -> bool {
    is_scp_option(word) && word.contains(['t', 'f'])
}

fn is_scp_option(word: &str) -> bool {
    let flags = word.strip_prefix('-').unwrap_or_default();
    !flags.is_empty() && flags.chars().all(|flag| "dfpqrtv".contains(flag))
}

/// A word as the shell reads it, without its quotes.
fn plain(word: &str) -> String {
    word.replace(['"', '\'', '\\'], "")
}

/// Those that name no program and no file, and bring no more options: `-s` would.
const RSYNC_FLAGS: &[u8] = b"vqrRltgopDHAXUNuzcbnIWSxCdjkLKOJEmhiyP";
const RSYNC_OPTIONS: &[&str] = &[
    "--sender",
    "--delete",
    "--delete-before",
    "--delete-during",
    "--delete-delay",
    "--delete-after",
    "--delete-excluded",
    "--numeric-ids",
    "--inplace",
    "--partial",
    "--append",
    "--existing",
    "--ignore-existing",
    "--size-only",
    "--timeout",
    "--bwlimit",
    "--modify-window",
    "--no-r",
    "--dirs",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn is_transfer(command: &str) -> bool {
        copies(command) || serves_sftp(command)
    }

    #[test]
    fn a_plain_copy_is_one_to_any_shell() {
        for command in [
            "scp -t /tmp/x",
            "scp -v -r -p -d -t -- /srv",
            "scp -prf ~/notes",
            "rsync --server -vlogDtpre.iLsfxCIvu . /srv/",
            "rsync --server --sender -logDtpre.LsfxCIvu --numeric-ids --timeout=5 . /a /b",
        ] {
            assert!(is_plain_copy(command) && copies(command), "{command}");
        }
        for command in [
            "scp x",
            "scp -t",
            "scp -t a b",
            "scp -S id -t a",
            "scp -o ProxyCommand=id -t a",
            "scp -t -oX",
            "scp -t a;id",
            "scp -t $(id)",
            "scp -t 'a'",
            "scp -t a\nid",
            "scp -t a|id",
            "/tmp/scp -t a",
            "rsync -a a b",
            "rsync --server -logDtpre.iLsf /srv",
            "rsync --server --daemon . /",
            "rsync --server --daemon --config=/tmp/x . /",
            "rsync --server -slogDtpre.iLsf . /",
            "rsync --server --log-file=/etc/x -re.iLsf . /",
            "rsync --server -eid . /",
            "rsync --server -Mx . /",
            "",
        ] {
            assert!(!is_plain_copy(command), "{command}");
        }
    }

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
