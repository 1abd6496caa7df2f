//! mosh, which only begins over SSH and would go on over UDP past the relay.

use crate::transfer::starts;

/// Whether a command is what mosh starts at its far end, by itself or in a line for a shell.
pub(crate) fn is_server(command: &str) -> bool {
    starts(command, |program, arguments| {
        program == "mosh-server" && arguments.first().is_some_and(|word| word == "new")
    })
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
