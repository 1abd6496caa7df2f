//! How a command ends: its exit code, and the one line that says what went wrong.

use std::fmt;
use std::io;
use std::process::ExitCode;

use access::Explain;

/// The exit codes, as `adit --help` documents them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// It failed for a reason that has no code of its own.
    Failed = 1,
    /// The command line or a file it names is wrong.
    Usage = 2,
    /// Denied, or not signed in.
    Denied = 3,
    /// There is no such thing.
    NotFound = 4,
    /// The relay does not answer.
    Unreachable = 5,
    /// The audit log is not as it was written.
    Damaged = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The exit code that fits one of the relay's stable error codes.
    pub fn for_code(code: &str) -> Self {
        match code {
            "relay.unreachable" => Self::Unreachable,
            "audit.damaged" => Self::Damaged,
            code if code.ends_with(".not_found") || code.ends_with(".unknown") => Self::NotFound,
            code if ["access.", "authn.", "machine.", "token."]
                .iter()
                .any(|part| code.starts_with(part)) =>
            {
                Self::Denied
            }
            _ => Self::Failed,
        }
    }
}

/// Why a command failed, in words for the person who ran it.
#[derive(Clone, Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
    code: Option<String>,
    details: Vec<String>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, code: None, details: Vec::new() }
    }

    /// A mistake in the command line or in a file it names.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// What an [`Explain`] tells its user.
    pub fn explained(what: &impl Explain) -> Self {
        let failure = Self::coded(what.code().0, what.public());
        match what.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// A failure with one of the stable codes, which decides the exit code too.
    pub fn coded(code: impl Into<String>, message: impl Into<String>) -> Self {
        let code = code.into();
        let exit = Exit::for_code(&code);
        Self { code: Some(code), ..Self::new(exit, message) }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds what stands below it, one line each: every mistake of several.
    #[must_use]
    pub fn details(self, details: impl IntoIterator<Item = String>) -> Self {
        Self { details: details.into_iter().map(|detail| one_line(&detail)).collect(), ..self }
    }

    /// Names what it was about: `orders-db: the application does not answer`.
    #[must_use]
    pub fn about(self, subject: &str) -> Self {
        Self { message: format!("{subject}: {}", self.message), ..self }
    }

    /// Sets the exit code.
    #[must_use]
    pub fn exiting(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    pub fn all_details(&self) -> &[String] {
        &self.details
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }

    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

/// One line: `message — hint [code]`.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.message))?;
        if let Some(hint) = &self.hint {
            write!(f, " — {}", one_line(hint))?;
        }
        if let Some(code) = &self.code {
            write!(f, " [{}]", one_line(code))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(failure) => failure,
            Err(error) => Self::new(Exit::Failed, format!("{error:#}")),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Whoever read our output has read enough: `adit ls | head -1`.
            io::ErrorKind::BrokenPipe => Self::new(Exit::Ok, "nobody reads on"),
            _ => Self::new(Exit::Failed, error.to_string()),
        }
    }
}

/// Words from the other side of the network reach the terminal as text only: no line breaks and no
/// escape sequences.
fn one_line(text: &str) -> String {
    access::text::visible(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_with_hint_and_code() {
        let failure = Failure::coded("dial.refused", "the application refused the connection")
            .hint("check that the service is running")
            .about("orders-db");
        assert_eq!(
            failure.to_string(),
            "orders-db: the application refused the connection — check that the service is \
             running [dial.refused]"
        );
        assert_eq!(Failure::new(Exit::Failed, "a\x1b[2J\nb").to_string(), r"a\u{1b}[2J\nb");
    }

    #[test]
    fn stable_codes_decide_the_exit_code() {
        let cases = [
            ("access.denied", Exit::Denied),
            ("token.revoked", Exit::Denied),
            ("authn.failed", Exit::Denied),
            ("site.not_found", Exit::NotFound),
            ("relay.unreachable", Exit::Unreachable),
            ("connector.offline", Exit::Failed),
        ];
        for (code, exit) in cases {
            assert_eq!(Failure::coded(code, "no").exit(), exit, "{code}");
        }
    }

    #[test]
    fn a_failure_keeps_its_exit_code_on_its_way_through_anyhow() {
        let error = anyhow::Error::from(Failure::new(Exit::NotFound, "no such site"));
        assert_eq!(Failure::from(error).exit(), Exit::NotFound);
    }
}
