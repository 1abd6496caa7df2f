//! The texts of the door that an admin may word.

use access::text::is_hidden;

/// What users read at the door, where the relay's configuration says it. Words only: no control
/// characters, and no more than fits a screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// Shown before anybody signs in, to whoever connects.
    pub banner: Option<String>,
    /// The keyboard-interactive prompt for the token.
    pub token_prompt: String,
    /// Stands over the list of applications.
    pub menu_title: String,
    /// What to do or whom to ask; stands behind each refusal.
    pub help: Option<String>,
    /// Whether who has no token is led to a browser.
    pub browser: bool,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            banner: None,
            // Clients' scripts look for exactly this.
            token_prompt: "Access token:".to_owned(),
            menu_title: "Applications you can reach".to_owned(),
            help: None,
            browser: true,
        }
    }
}

impl Texts {
    /// The most bytes of a banner.
    pub const MAX_BANNER: usize = 2048;
    /// The most bytes of a text of one line.
    pub const MAX_LINE: usize = 200;

    /// A text of one line.
    pub fn line(text: &str) -> Option<String> {
        let text = text.trim_end();
        let sound = !text.is_empty() && text.len() <= Self::MAX_LINE;
        (sound && !text.chars().any(is_hidden)).then(|| text.to_owned())
    }

    /// A text of several lines, which ends with a line break.
    pub fn lines(text: &str) -> Option<String> {
        let text = text.trim_end();
        let sound = !text.is_empty() && text.len() <= Self::MAX_BANNER;
        let hidden = |c| c != '\n' && is_hidden(c);
        (sound && !text.chars().any(hidden)).then(|| format!("{text}\n"))
    }

    /// A refusal with what to do about it.
    pub(crate) fn helped(&self, refusal: String) -> String {
        match &self.help {
            Some(help) => format!("{refusal}; {help}"),
            None => refusal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_hold_words_only() {
        assert_eq!(Texts::line("Token from the portal: "), Some("Token from the portal:".into()));
        assert_eq!(
            Texts::lines("Be nice.\n\nÜber dies.\n"),
            Some("Be nice.\n\nÜber dies.\n".into())
        );
        let long = "x".repeat(Texts::MAX_BANNER + 1);
        for wrong in ["", "  ", "a\x1b[2J", "a\u{202e}b", "a\rb", "a\0", long.as_str()] {
            assert_eq!((Texts::line(wrong), Texts::lines(wrong)), (None, None), "{wrong:?}");
        }
        assert_eq!(Texts::line("two\nlines"), None);
        assert_eq!(Texts::line(&"x".repeat(Texts::MAX_LINE + 1)), None);
    }
}
