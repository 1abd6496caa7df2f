//! The messages. Fields may be added: readers ignore those they do not know. Kinds may be added:
//! readers see `Unknown` and refuse politely.

use std::borrow::Cow;

use access::{ApplicationId, Name, SessionId};
use serde::{Deserialize, Serialize};

use crate::VersionRange;

/// What is said on the control stream: the first stream the dialling side opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Control {
    /// First word of the dialling side.
    Hello {
        versions: VersionRange,
        /// Program and version, for people.
        #[serde(default)]
        software: String,
        #[serde(default)]
        capabilities: Vec<String>,
        /// Drawn when the dialling process began: several connections with one are one process's.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        instance: String,
        /// The versions of who only asks whether it would be welcome. It says
        /// [`VersionRange::NONE`] in `versions`, so that a relay that does not know the question
        /// refuses it, and does not take it for a connection.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        speaks: Option<VersionRange>,
    },
    /// The relay's answer to a hello it accepts. To who only asks, version 0 says that they have
    /// none in common.
    Welcome {
        version: u16,
        /// Program and version of the relay, for people.
        #[serde(default)]
        relay: String,
        /// The certificate has expired: no session is carried until it is renewed.
        #[serde(default)]
        renew_now: bool,
    },
    /// The relay's answer to a hello or a renewal it does not accept.
    Refused(Refusal),
    Ping {
        n: u64,
    },
    Pong {
        n: u64,
    },
    /// Asks for a new certificate for the same key.
    Renew {
        csr_pem: String,
    },
    Renewed {
        certificate_pem: String,
    },
    /// The relay tells a connector which relays of its database it may connect to: all of them, each
    /// time. Who does not know the kind goes by its configuration alone.
    Relays {
        /// At most [`MOST_RELAYS`](Self::MOST_RELAYS).
        relays: Vec<RelayAt>,
    },
    /// The relay tells an agent that an admin has ended one of its sessions, and what they had to say to
    /// its user. The session's stream ends by itself, before or after; who does not know the kind knows
    /// the reason from there.
    Killed {
        session: SessionId,
        /// At most [`LONGEST_WORDS`](Self::LONGEST_WORDS) characters; empty: nothing.
        #[serde(default)]
        words: String,
    },
    /// The sender takes no more sessions; those under way go on.
    Drain,
    /// The sender is about to close.
    Goodbye,
    /// A kind this build does not know.
    #[serde(other)]
    Unknown,
}

impl Control {
    /// The longest list of relays.
    pub const MOST_RELAYS: usize = 64;
    /// The longest words to the user of a session, in characters.
    pub const LONGEST_WORDS: usize = 300;
}

/// Where connectors reach one of several relays, which their own relay's CA vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayAt {
    /// `https://host` or `https://host:port`, of [`LONGEST`](Self::LONGEST) bytes at most.
    pub url: String,
    /// `host:port` for QUIC, no longer either.
    pub quic: String,
    /// Whether it is the relay that says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub here: bool,
}

impl RelayAt {
    pub const LONGEST: usize = 300;
}

/// The first message of a session's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Header {
    Dial(Dial),
    /// As `Dial`, but the connector closes the connection as soon as it stands: no byte reaches the
    /// target, and none comes back. Its `session` is the check's own number.
    Check(Dial),
    /// The relay asks a connector what is wrong on its ways; [`Examined`] follows the answer.
    Examine,
    Open(Open),
    /// A relay asks another one for a target that a connector of that one reaches.
    Forward(Forward),
    /// A relay that does not reach the store asks another one whether it does. No more is said.
    Reaching,
    /// A connector asks its relay for something of the update that is published; in version 2 and
    /// later.
    Fetch(Fetch),
    #[serde(other)]
    Unknown,
}

/// The relay asks a connector for a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dial {
    pub session: SessionId,
    pub application: Name,
    /// A host name or an IP address without brackets, as the site understands it.
    pub host: String,
    pub port: u16,
}

/// What a relay asks another one for: an address of an application, as both know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    pub session: SessionId,
    pub application: ApplicationId,
    pub host: String,
    pub port: u16,
}

/// What a connector has looked at, and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examined {
    /// At most [`MOST_FINDINGS`](Self::MOST_FINDINGS).
    #[serde(default)]
    pub findings: Vec<Finding>,
}

impl Examined {
    pub const MOST_FINDINGS: usize = 32;
    /// The longest text of a finding, in characters.
    pub const LONGEST: usize = 300;
}

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at: `name`, `quic`, a target.
    pub check: String,
    /// `good`, `warning` (it works without) or `bad`.
    pub outcome: String,
    pub found: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// What a connector asks for. After `Opened` comes one frame, the signed manifest, or the bytes of the
/// file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Fetch {
    Manifest,
    /// One of the files that the manifest names, by its SHA-256 in hexadecimal.
    File {
        sha256: String,
    },
    #[serde(other)]
    Unknown,
}

/// An agent asks the relay for an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// `app`, `app.site` or `app-site`.
    pub application: String,
    /// Bytes straight to the target, past any door that speaks the application's protocol.
    #[serde(default)]
    pub raw: bool,
}

/// The one answer to a [`Header`]; after `Opened` the stream carries raw bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reply {
    Opened {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
        #[serde(default)]
        mode: Mode,
        /// Of a door: the relay's own SSH host keys as they are now, as OpenSSH lines.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        host_keys: Vec<String>,
    },
    Refused(Refusal),
    #[serde(other)]
    Unknown,
}

/// What is at the other end of an opened stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The target itself.
    #[default]
    Raw,
    /// A door of the relay that speaks the application's protocol.
    Door,
}

/// Why something was refused, in words for the person who asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message} ({code})")]
pub struct Refusal {
    /// Stable, such as `access.denied`.
    pub code: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Refusal {
    /// What `error` says to the person who met it.
    pub fn of(error: &impl access::Explain) -> Self {
        Self {
            code: error.code().to_string(),
            message: error.public().into_owned(),
            hint: error.hint().map(Cow::into_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::{Inbox, VERSIONS, encode};

    #[test]
    fn each_message_reads_as_it_was_written() {
        let refusal = Refusal { code: "a.b".into(), message: "no".into(), hint: Some("go".into()) };
        let control = [
            Control::Hello {
                versions: VERSIONS,
                software: "adit-connector 0.1.0".into(),
                capabilities: vec!["drain".into()],
                instance: String::new(),
                speaks: None,
            },
            Control::Killed { session: SessionId(uuid::Uuid::nil()), words: "back at five".into() },
            Control::Welcome { version: 1, relay: "adit-relay 0.1.0".into(), renew_now: true },
            Control::Refused(refusal.clone()),
            Control::Ping { n: u64::MAX },
            Control::Pong { n: 0 },
            Control::Renew { csr_pem: "-----BEGIN".into() },
            Control::Renewed { certificate_pem: "-----BEGIN".into() },
            Control::Relays { relays: vec![relay_at(true), relay_at(false)] },
            Control::Drain,
            Control::Goodbye,
            Control::Unknown,
        ];
        for message in control {
            assert_eq!(round_trip(&message), message);
        }
        let session = Some(SessionId(uuid::Uuid::from_u128(7)));
        let replies = [
            Reply::Opened {
                session,
                mode: Mode::Door,
                host_keys: vec!["ssh-ed25519 AAAA".to_owned()],
            },
            Reply::Opened { session: None, mode: Mode::Raw, host_keys: Vec::new() },
            Reply::Refused(refusal),
        ];
        for message in replies {
            assert_eq!(round_trip(&message), message);
        }
    }

    #[test]
    fn messages_stand_on_the_wire_as_documented() {
        let dial = Header::Dial(Dial {
            session: SessionId(uuid::Uuid::nil()),
            application: "web1".parse().unwrap(),
            host: "10.0.0.7".into(),
            port: 22,
        });
        let Header::Dial(asked) = &dial else { panic!("it is a dial") };
        let check = Header::Check(asked.clone());
        let opened = Reply::Opened { session: None, mode: Mode::Raw, host_keys: Vec::new() };
        let written = [
            (
                serde_json::to_string(&dial).unwrap(),
                r#"{"kind":"dial","session":"00000000-0000-0000-0000-000000000000","application":"web1","host":"10.0.0.7","port":22}"#,
            ),
            (
                serde_json::to_string(&check).unwrap(),
                r#"{"kind":"check","session":"00000000-0000-0000-0000-000000000000","application":"web1","host":"10.0.0.7","port":22}"#,
            ),
            (serde_json::to_string(&opened).unwrap(), r#"{"kind":"opened","mode":"raw"}"#),
            (
                serde_json::to_string(&Header::Fetch(Fetch::File { sha256: "00".into() })).unwrap(),
                r#"{"kind":"fetch","what":"file","sha256":"00"}"#,
            ),
            (serde_json::to_string(&Control::Drain).unwrap(), r#"{"kind":"drain"}"#),
            (
                serde_json::to_string(&Control::Relays { relays: vec![relay_at(true)] }).unwrap(),
                r#"{"kind":"relays","relays":[{"url":"https://r2.example","quic":"r2.example:443","here":true}]}"#,
            ),
            (
                serde_json::to_string(&Header::Forward(Forward {
                    session: SessionId(uuid::Uuid::nil()),
                    application: ApplicationId(uuid::Uuid::nil()),
                    host: "10.0.0.7".into(),
                    port: 22,
                }))
                .unwrap(),
                r#"{"kind":"forward","session":"00000000-0000-0000-0000-000000000000","application":"00000000-0000-0000-0000-000000000000","host":"10.0.0.7","port":22}"#,
            ),
            (serde_json::to_string(&Header::Reaching).unwrap(), r#"{"kind":"reaching"}"#),
        ];
        for (text, expected) in written {
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn what_a_newer_peer_adds_is_not_an_error() {
        let table = [
            (r#"{"kind":"ping","n":1,"colour":"red"}"#, Control::Ping { n: 1 }),
            (r#"{"kind":"teleport","to":[1,2]}"#, Control::Unknown),
        ];
        for (text, expected) in table {
            assert_eq!(serde_json::from_str::<Control>(text).unwrap(), expected);
        }
        let header: Header = serde_json::from_str(r#"{"kind":"bind","port":1}"#).unwrap();
        assert_eq!(header, Header::Unknown);
        let fetch: Header = serde_json::from_str(r#"{"kind":"fetch","what":"map"}"#).unwrap();
        assert_eq!(fetch, Header::Fetch(Fetch::Unknown));
        let open: Header =
            serde_json::from_str(r#"{"kind":"open","application":"db","via":"x"}"#).unwrap();
        assert_eq!(open, Header::Open(Open { application: "db".into(), raw: false }));
    }

    proptest! {
        #[test]
        fn any_dial_and_open_read_as_they_were_written(
            session: u128, host in "\\PC{0,200}", port: u16, application in "\\PC*", raw: bool,
        ) {
            let dial = Header::Dial(Dial {
                session: SessionId(uuid::Uuid::from_u128(session)),
                application: "db".parse().unwrap(),
                host,
                port,
            });
            prop_assert_eq!(round_trip(&dial), dial);
            let open = Header::Open(Open { application, raw });
            prop_assert_eq!(round_trip(&open), open);
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in "\\PC*") {
            drop(serde_json::from_str::<Control>(&text));
            drop(serde_json::from_str::<Header>(&format!("{{\"kind\":\"dial\",{text}}}")));
            drop(serde_json::from_str::<Reply>(&format!("{{\"kind\":{text}}}")));
        }
    }

    fn relay_at(here: bool) -> RelayAt {
        RelayAt { url: "https://r2.example".into(), quic: "r2.example:443".into(), here }
    }

    fn round_trip<T: Serialize + DeserializeOwned>(message: &T) -> T {
        let mut inbox = Inbox::default();
        inbox.push(encode(message).unwrap());
        inbox.message().unwrap().expect("one whole frame")
    }
}
