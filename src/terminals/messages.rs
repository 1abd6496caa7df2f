//! What browsers and the relay tell each other about a terminal: text frames of JSON. What is typed
//! and shown are binary frames.

use access::{Code, SessionId};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// The first frame: what the line is for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Asked {
    Open(Open),
    Resume(Resume),
    Files(Files),
}

/// A new terminal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    /// `app` or `app.site`.
    pub(super) application: String,
    /// The account there; empty where the application has one.
    #[serde(default)]
    pub(super) login: String,
    pub(super) columns: u32,
    pub(super) rows: u32,
    /// With this the browser comes back after its line broke, once.
    #[serde(deserialize_with = "secret")]
    pub(super) next: SecretString,
}

/// A terminal whose line broke, or whose page was loaded anew.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resume {
    pub(super) terminal: Uuid,
    /// What was `next` before. It is spent with this.
    #[serde(deserialize_with = "secret")]
    pub(super) secret: SecretString,
    #[serde(deserialize_with = "secret")]
    pub(super) next: SecretString,
    /// How many bytes the browser has shown.
    pub(super) seen: u64,
    pub(super) columns: u32,
    pub(super) rows: u32,
}

/// A line for files beside a terminal: the SSH file transfer protocol in binary frames.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Files {
    pub(super) terminal: Uuid,
    /// What was announced on the terminal's own line. It is spent with this.
    #[serde(deserialize_with = "secret")]
    pub(super) secret: SecretString,
}

/// What a browser says later.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Order {
    Resize {
        columns: u32,
        rows: u32,
    },
    /// Comes back as it is, so that the browser sees how long that took.
    Ping(f64),
    /// How many bytes the browser has shown. It is sent no more than it is about to show.
    Seen(u64),
    /// Announces the secret of a line for files.
    Files {
        #[serde(deserialize_with = "secret")]
        secret: SecretString,
    },
    /// The person is done.
    Close {},
}

/// What the relay says.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Told {
    Opened {
        terminal: Uuid,
        session: SessionId,
        /// Seconds that it waits for a browser whose line broke.
        grace: u64,
        /// The number of the first byte that follows.
        from: u64,
        /// Bytes before this one were said before the browser came.
        until: u64,
        /// What the browser shows already is not what came before that.
        reset: bool,
    },
    Pong(f64),
    /// The line for files may be opened.
    Files {},
    End {
        code: &'static str,
        reason: String,
        /// Of the program, where it ended by itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u32>,
    },
}

/// Why a line is not served.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) reason: String,
}

impl Refusal {
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self { code: Code("request.invalid"), reason: reason.into() }
    }

    /// Whoever asks for what never was, is over, or is another's: all get this answer.
    pub(super) fn gone() -> Self {
        let reason = "this terminal is over; open it again".to_owned();
        Self { code: Code("terminal.gone"), reason }
    }

    pub(super) fn too_many() -> Self {
        let reason = "too many terminals are open in this browser; close one".to_owned();
        Self { code: Code("terminal.too_many"), reason }
    }
}

/// A secret that a browser has made.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

/// A terminal's size, as far as one may be asked for.
pub(super) fn sized(columns: u32, rows: u32) -> (u32, u32) {
    (columns.clamp(1, MOST_COLUMNS), rows.clamp(1, MOST_ROWS))
}

const MOST_COLUMNS: u32 = 1000;
const MOST_ROWS: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_are_documented() {
        let open = r#"{"open":{"application":"web1.hq","login":"deploy","columns":80,"rows":24,"next":"s"}}"#;
        assert!(matches!(serde_json::from_str(open), Ok(Asked::Open(_))));
        let id = Uuid::nil();
        let resume = format!(
            r#"{{"resume":{{"terminal":"{id}","secret":"a","next":"b","seen":7,"columns":1,"rows":1}}}}"#
        );
        assert!(matches!(serde_json::from_str(&resume), Ok(Asked::Resume(_))));
        for order in [
            r#"{"resize":{"columns":1,"rows":2}}"#,
            r#"{"ping":1.5}"#,
            r#"{"seen":7}"#,
            r#"{"close":{}}"#,
        ] {
            assert!(serde_json::from_str::<Order>(order).is_ok(), "{order}");
        }
        for wrong in [r#"{"close":{"now":true}}"#, r#"{"open":{}}"#, "{}", "[]", "7"] {
            assert!(serde_json::from_str::<Order>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_told_has_one_key() {
        let told = Told::End { code: "session.closed", reason: "over".to_owned(), status: Some(3) };
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(text, r#"{"end":{"code":"session.closed","reason":"over","status":3}}"#);
        assert_eq!(serde_json::to_string(&Told::Files {}).unwrap(), r#"{"files":{}}"#);
    }
}
