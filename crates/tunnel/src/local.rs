//! Names below `localhost` are this machine (RFC 6761, section 6.3). Not every resolver knows.

/// The host to connect to for a name; certificates are still checked for the name itself.
pub(crate) fn host(name: &str) -> &str {
    let bare = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if bare.ends_with(".localhost") { "localhost" } else { name }
}

/// As [`host`], for `host:port`.
pub(crate) fn address(text: &str) -> String {
    match text.rsplit_once(':') {
        Some((name, port)) => format!("{}:{port}", host(name)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_below_localhost_are_this_machine() {
        let cases = [
            ("relay.localhost:443", "localhost:443"),
            ("a.b.LOCALHOST.:1", "localhost:1"),
            ("localhost:1", "localhost:1"),
            ("notlocalhost:1", "notlocalhost:1"),
            ("relay.localhost.example.com:1", "relay.localhost.example.com:1"),
            ("[::1]:1", "[::1]:1"),
        ];
        for (text, expected) in cases {
            assert_eq!(address(text), expected);
        }
    }
}
