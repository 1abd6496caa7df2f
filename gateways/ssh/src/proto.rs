//! What people write in an SSH user name and as the destination of a forward. Pure.

use access::text::is_hidden;
use access::{TokenError, TokenText};

/// An SSH user name: `login`, `login+app` or `login+app.site`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserName<'a> {
    /// The account at the target; may be empty.
    pub login: &'a str,
    /// The application as written, after the last `+`.
    pub application: Option<&'a str>,
}

/// Why a text is not an SSH user name we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserNameError {
    #[error("a user name has at most {MAX_USER} bytes")]
    Length,
    #[error("a user name has no control characters")]
    Control,
}

/// The longest user name, in bytes.
pub const MAX_USER: usize = 255;

impl<'a> UserName<'a> {
    /// Splits at the last `+`, so that a login may itself contain one.
    pub fn parse(text: &'a str) -> Result<Self, UserNameError> {
        if text.len() > MAX_USER {
            return Err(UserNameError::Length);
        }
        if text.chars().any(char::is_control) {
            return Err(UserNameError::Control);
        }
        Ok(match text.rsplit_once('+') {
            Some((login, application)) if !application.is_empty() => {
                Self { login, application: Some(application) }
            }
            Some((login, _)) => Self { login, application: None },
            None => Self { login: text, application: None },
        })
    }
}

/// The application that a forward's host names: without `.adit` or the relay's own domain.
pub fn destination(host: &str, domain: &str) -> String {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    let own = [".adit".to_owned(), format!(".{domain}")];
    for suffix in own.iter().filter(|suffix| suffix.len() > 1) {
        if let Some(name) = host.strip_suffix(suffix.as_str()) {
            return name.to_owned();
        }
    }
    host
}

/// Whether a text looks like one of our tokens, which no target may ever be shown.
pub fn looks_like_token(text: &str) -> bool {
    !matches!(text.trim().parse::<TokenText>(), Err(TokenError::Form))
}

/// Text from a target, made safe to show: no control characters but line breaks, and not longer
/// than `max` characters.
pub fn plain(text: &str, max: usize) -> String {
    text.chars().filter(|c| !is_hidden(*c) || matches!(c, '\n' | '\t')).take(max).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_user_name_is_split_at_its_last_plus() {
        let table = [
            ("ubuntu", "ubuntu", None),
            ("ubuntu+web1", "ubuntu", Some("web1")),
            ("ubuntu+web1.hq", "ubuntu", Some("web1.hq")),
            ("odd+login+web1", "odd+login", Some("web1")),
            ("+web1", "", Some("web1")),
            ("ubuntu+", "ubuntu", None),
            ("", "", None),
            ("+", "", None),
        ];
        for (text, login, application) in table {
            assert_eq!(UserName::parse(text), Ok(UserName { login, application }), "{text:?}");
        }
    }

    #[test]
    fn a_user_name_that_could_harm_a_log_or_a_terminal_is_refused() {
        assert_eq!(UserName::parse(&"a".repeat(256)), Err(UserNameError::Length));
        for text in ["a\0b", "a\nb", "a\x1b]0;x\x07"] {
            assert_eq!(UserName::parse(text), Err(UserNameError::Control), "{text:?}");
        }
    }

    #[test]
    fn a_destination_loses_only_our_own_domains() {
        let table = [
            ("web1", "web1"),
            ("web1.adit", "web1"),
            ("WEB1.hq.adit", "web1.hq"),
            ("web1-hq.relay.example", "web1-hq"),
            ("web1-hq.relay.example.", "web1-hq"),
            ("db.corp", "db.corp"),
            ("relay.example", "relay.example"),
        ];
        for (host, name) in table {
            assert_eq!(destination(host, "relay.example"), name, "{host}");
        }
        assert_eq!(destination("web1.", ""), "web1");
    }

    #[test]
    fn what_a_target_says_can_not_drive_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\x07\r\nc", 100), "a[2Jb\nc");
        assert_eq!(plain("aaaa", 2), "aa");
    }

    proptest! {
        #[test]
        fn an_application_is_found_behind_any_login(
            login in "[^\\p{Cc}]{0,40}", app in "[a-z0-9]{1,10}(-[a-z0-9]{1,9}){0,2}",
            site in "[a-z0-9]{1,10}",
        ) {
            for application in [app.clone(), format!("{app}.{site}"), format!("{app}-{site}")] {
                let text = format!("{login}+{application}");
                let read = UserName::parse(&text);
                let (login, application) = (login.as_str(), Some(application.as_str()));
                prop_assert_eq!(read, Ok(UserName { login, application }));
            }
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC*", domain in "\\PC*") {
            let _ = UserName::parse(&text);
            drop(destination(&text, &domain));
        }
    }
}
