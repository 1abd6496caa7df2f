//! The one type of name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A name of a user, group, site or application: 1 to 31 characters of `a-z`, `0-9` and `-`, beginning
/// and ending with a letter or digit, without `--`.
///
/// Such a name is safe in a URL, in an SSH user name (`login+app`) and as part of a DNS label
/// (RFC 1035 section 2.3.1: two of them and a dash stay within 63 characters, and none begins with
/// `xn--`). What records and documents write beside names has a character that no name has: `the
/// relay`, `token 1a2b`, `group dba`, `app.site`, `key=value`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name has 1 to {max} characters", max = Name::MAX)]
    Length,
    #[error("a name has only a-z, 0-9 and -, not {0:?}")]
    Character(char),
    #[error("a name begins and ends with a letter or digit and has no --")]
    Dash,
}

impl Name {
    /// The longest name, in characters.
    pub const MAX: usize = 31;

    /// What no site is called: `web1.adit` is how SSH clients write the application web1 of any site.
    pub const NO_SITE: [&str; 1] = ["adit"];

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > Self::MAX {
            return Err(NameError::Length);
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if let Some(c) = text.chars().find(|&c| !allowed(c)) {
            return Err(NameError::Character(c));
        }
        if text.starts_with('-') || text.ends_with('-') || text.contains("--") {
            return Err(NameError::Dash);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_a_name_where_its_letters_stand_between_single_dashes(text in "[a-z0-9-]{0,34}|\\PC*") {
            let word = |word: &str| {
                !word.is_empty() && word.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9'))
            };
            let is_one = text.len() <= Name::MAX && text.split('-').all(word);
            let read = text.parse::<Name>();
            prop_assert_eq!(read.is_ok(), is_one);
            if let Ok(name) = read {
                prop_assert_eq!(name.to_string(), text);
            }
        }

        #[test]
        fn a_label_of_two_names_is_one_of_dns_and_no_other_alphabet(app in NAME, site in NAME) {
            let (app, site): (Name, Name) = (app.parse().unwrap(), site.parse().unwrap());
            let label = format!("{app}-{site}");
            prop_assert!(label.len() <= 63, "{}", label);
            prop_assert!(!label.starts_with('-') && !label.ends_with('-'));
            // Neither `xn--` nor whatever IDNA may reserve.
            prop_assert!(!label.contains("--"));
            prop_assert!(label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
        }

        #[test]
        fn app_and_site_are_found_again_in_what_is_written_of_them(app in NAME, site in NAME) {
            let text = format!("{app}.{site}");
            prop_assert_eq!(text.split_once('.'), Some((app.as_str(), site.as_str())));
            for other in [' ', '.', '=', '+', ':', '/'] {
                prop_assert!(!app.as_str().contains(other));
            }
        }
    }

    /// Every name, up to its longest.
    const NAME: &str = "[a-z0-9]{1,10}(-[a-z0-9]{1,9}){0,2}";

    #[test]
    fn a_name_is_safe_wherever_it_is_written() {
        for good in ["a", "web1", "orders-db", "0", &"a".repeat(31)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        let bad = [
            ("", NameError::Length),
            (&"a".repeat(32), NameError::Length),
            ("Web", NameError::Character('W')),
            ("a.b", NameError::Character('.')),
            ("a+b", NameError::Character('+')),
            ("ä", NameError::Character('ä')),
            ("a\n", NameError::Character('\n')),
            ("-a", NameError::Dash),
            ("a-", NameError::Dash),
            ("a--b", NameError::Dash),
        ];
        for (text, error) in bad {
            assert_eq!(text.parse::<Name>(), Err(error), "{text:?}");
        }
    }
}
