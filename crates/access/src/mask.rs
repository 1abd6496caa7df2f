//! What of statements is not kept: what these patterns find.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

/// Patterns whose matches are left out of texts that are kept.
#[derive(Clone, Debug, Default)]
pub struct Mask(Vec<Regex>);

impl Mask {
    /// # Errors
    ///
    /// What is wrong with the patterns, in one sentence.
    pub fn new(patterns: &[String]) -> Result<Self, String> {
        if patterns.len() > MOST {
            return Err(format!("there are at most {MOST} patterns"));
        }
        let built = |pattern: &String| {
            if pattern.is_empty() || pattern.len() > LONGEST {
                return Err(format!("a pattern has 1 to {LONGEST} bytes"));
            }
            // What takes time in the length of the text, and no more room than this.
            let regex = RegexBuilder::new(pattern).size_limit(ROOM).dfa_size_limit(ROOM).build();
            regex.map_err(|_| format!("{pattern:?} is no pattern, or too large a one"))
        };
        Ok(Self(patterns.iter().map(built).collect::<Result<_, _>>()?))
    }

    /// The text with `***` for what the patterns find; of a match with groups, for the groups.
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for pattern in &self.0 {
            if let Some(masked) = masked(pattern, &text) {
                text = Cow::Owned(masked);
            }
        }
        text
    }
}

/// `None`: it finds nothing.
fn masked(pattern: &Regex, text: &str) -> Option<String> {
    let (mut out, mut at) = (String::new(), 0);
    for found in pattern.captures_iter(text) {
        let groups: Vec<_> = found.iter().skip(1).flatten().collect();
        let whole = found.get(0).filter(|_| groups.is_empty());
        for part in whole.into_iter().chain(groups).filter(|part| !part.is_empty()) {
            // One group may lie in another.
            if part.start() >= at {
                out.push_str(&text[at..part.start()]);
                out.push_str("***");
                at = part.end();
            }
        }
    }
    (at > 0).then(|| out + &text[at..])
}

const MOST: usize = 16;
const LONGEST: usize = 256;
const ROOM: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(patterns: &[&str]) -> Mask {
        Mask::new(&patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn what_is_found_is_left_out() {
        let card = mask(&[r"\b\d{16}\b", r"(?i)password\s+'([^']*)'"]);
        let table = [
            ("select 1", "select 1"),
            ("insert into t values (4111111111111111, 2)", "insert into t values (***, 2)"),
            ("alter role x PASSWORD 'geheim'", "alter role x PASSWORD '***'"),
            ("alter role x password ''", "alter role x password ''"),
            ("4111111111111111 4111111111111112", "*** ***"),
            ("'ü' 4111111111111111 'ü'", "'ü' *** 'ü'"),
        ];
        for (text, kept) in table {
            assert_eq!(card.apply(text), kept);
        }
        assert_eq!(mask(&["a(b(c)?)(d)?"]).apply("abcd abc ab a"), "a****** a*** a*** a");
    }

    #[test]
    fn a_pattern_that_would_cost_too_much_is_refused() {
        for bad in ["(", "", &"a".repeat(257), "(a{1000}){1000}"] {
            assert!(Mask::new(&[bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(Mask::new(&vec!["a".to_owned(); 17]).is_err());
    }
}
