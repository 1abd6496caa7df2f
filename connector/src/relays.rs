//! Relays that a connector was told of by one that it is connected to, besides those that its
//! configuration names.
//!
//! What is told adds to the configuration and takes nothing of it away. A relay is known by the CA that
//! this connector was enrolled by, wherever it is said to be: who tells of an address gains nothing but
//! that a handshake is tried there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tunnel::identity::{IdentityError, write_file};
use wire::{Control, RelayAt};

use crate::config::{Config, MOST_RELAYS, Relay, is_host_and_port};

/// What relays tell of each other. Those that are connected are believed together: a relay is gone when
/// none of them tells of it any more. While none is connected, what was told last stands.
#[derive(Debug, Default)]
pub struct Told {
    lists: BTreeMap<usize, List>,
    last: Vec<Relay>,
}

/// What one relay has told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    relays: Vec<Relay>,
    /// `host:port` of the one that told.
    here: Option<String>,
}

impl List {
    /// What of a list is an address of a relay, whose certificate has the name `domain`.
    pub fn judge(told: &[RelayAt], domain: &str) -> Self {
        let mut list = Self::default();
        for at in told.iter().take(Control::MOST_RELAYS) {
            let Some(relay) = judge(at, domain) else {
                tracing::warn!("The relay tells of a relay at what is no address");
                continue;
            };
            if at.here {
                list.here = Some(relay.https.clone());
            }
            list.relays.push(relay);
        }
        list
    }
}

impl Told {
    /// What stood when the connector ran last, from its state directory. What can not be read is
    /// nothing: the configuration is enough.
    pub fn read(state: &Path, domain: &str) -> Self {
        let text = match std::fs::read(state.join(FILE)) {
            Ok(text) => text,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::warn!(%error, "Can not read which relays there were");
                }
                return Self::default();
            }
        };
        let kept: Kept = match serde_json::from_slice(&text) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "Can not read which relays there were");
                return Self::default();
            }
        };
        Self { lists: BTreeMap::new(), last: List::judge(&kept.relays, domain).relays }
    }

    /// Keeps what stands for the next start.
    pub fn write(relays: &[Relay], state: &Path) -> Result<(), IdentityError> {
        let at = |relay: &Relay| RelayAt {
            url: relay.url.clone(),
            quic: relay.quic.clone(),
            here: false,
        };
        let kept = Kept { relays: relays.iter().map(at).collect() };
        let mut text = serde_json::to_vec_pretty(&kept).unwrap_or_default();
        text.push(b'\n');
        write_file(&state.join(FILE), &text, 0o600)
    }

    /// One that is connected tells of all there are.
    pub fn heard(&mut self, place: usize, list: List) {
        self.lists.insert(place, list);
        self.last = self.union();
    }

    /// One is not connected any more.
    pub fn left(&mut self, place: usize) {
        self.lists.remove(&place);
        if !self.lists.is_empty() {
            self.last = self.union();
        }
    }

    /// All that were told of.
    pub fn relays(&self) -> &[Relay] {
        &self.last
    }

    /// At which of them these connections are, under whatever name.
    pub fn at<'a>(&'a self, places: impl Iterator<Item = usize> + 'a) -> BTreeSet<&'a str> {
        places.filter_map(|place| self.lists.get(&place)?.here.as_deref()).collect()
    }

    fn union(&self) -> Vec<Relay> {
        let mut all = BTreeMap::new();
        for relay in self.lists.values().flat_map(|list| &list.relays) {
            all.entry(&*relay.https).or_insert(relay);
        }
        all.into_values().take(Control::MOST_RELAYS).cloned().collect()
    }
}

/// The relays that a connection is kept to: what the configuration names, and of those told what it
/// does not name and is not `reached` by what it names, as many as there may be.
pub fn wanted<'a>(
    config: &'a Config,
    told: &'a [Relay],
    reached: &BTreeSet<&str>,
) -> Vec<&'a Relay> {
    let named = |relay: &&Relay| config.relays.iter().any(|own| own.https == relay.https);
    let further = told.iter().filter(|relay| config.learn_relays && !named(relay));
    let further = further.filter(|relay| !reached.contains(&*relay.https));
    config.relays.iter().chain(further).take(MOST_RELAYS.max(config.relays.len())).collect()
}

fn judge(at: &RelayAt, domain: &str) -> Option<Relay> {
    let plain = |text: &str| {
        text.len() <= RelayAt::LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !plain(&at.url) || !plain(&at.quic) || at.url.contains('@') {
        return None;
    }
    let https = tunnel::https::address(&at.url)?;
    let real = |address: &str| is_host_and_port(address) && !address.ends_with(":0");
    (real(&https) && real(&at.quic)).then(|| Relay {
        url: at.url.clone(),
        domain: domain.to_owned(),
        quic: at.quic.clone(),
        https: https.to_ascii_lowercase(),
    })
}

#[derive(Serialize, Deserialize)]
struct Kept {
    relays: Vec<RelayAt>,
}

/// In the state directory.
const FILE: &str = "relays.json";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ProxyChoice, template};

    #[test]
    fn only_what_is_the_https_address_of_a_relay_is_taken() {
        let long = format!("https://{}.test", "x".repeat(RelayAt::LONGEST));
        let table = [
            ("https://r2.test", "r2.test:443", Some("r2.test:443")),
            ("https://R2.test:8443", "r2.test:1", Some("r2.test:8443")),
            ("https://[2001:db8::1]", "[2001:db8::1]:443", Some("[2001:db8::1]:443")),
            ("http://r2.test", "r2.test:443", None),
            ("r2.test", "r2.test:443", None),
            ("https://r2.test/path", "r2.test:443", None),
            ("https://user:secret@r2.test", "r2.test:443", None),
            ("https://r2.test:0", "r2.test:443", None),
            ("https://r2.test", "r2.test", None),
            ("https://r2.test", "r2.test:0", None),
            ("https://r2.test", "", None),
            ("https://r2.test", "r2 .test:443", None),
            ("https://r\u{fc}.test", "r2.test:443", None),
            ("https://r2.test\n", "r2.test:443", None),
            (&*long, "r2.test:443", None),
            ("https://r2.test", &*long, None),
        ];
        for (url, quic, expected) in table {
            let list = List::judge(&[at(url, quic)], "r.test");
            let taken: Vec<_> = list.relays.iter().map(|relay| &*relay.https).collect();
            assert_eq!(taken, expected.into_iter().collect::<Vec<_>>(), "{url:?} {quic:?}");
            assert!(list.relays.iter().all(|relay| relay.domain == "r.test"), "trusted as ours is");
        }
        let many: Vec<_> = (0..500).map(|n| told_at(&format!("r{n}.test"))).collect();
        assert_eq!(List::judge(&many, "r.test").relays.len(), Control::MOST_RELAYS);
    }

    #[test]
    fn a_relay_is_gone_when_none_that_is_connected_tells_of_it() {
        let mut told = Told::default();
        told.heard(0, list(&["one", "two"]));
        assert_eq!(hosts(told.relays()), ["one:443", "two:443"]);
        told.heard(1, list(&["one", "two", "three"]));
        assert_eq!(hosts(told.relays()), ["one:443", "three:443", "two:443"]);
        told.heard(0, list(&["one"]));
        assert_eq!(hosts(told.relays()), ["one:443", "three:443", "two:443"]);
        told.heard(1, list(&["one"]));
        assert_eq!(hosts(told.relays()), ["one:443"]);
        // What a relay that is lost was alone to tell is forgotten with it, but not the last of all.
        told.heard(1, list(&["one", "four"]));
        told.left(1);
        assert_eq!(hosts(told.relays()), ["one:443"]);
        told.left(0);
        assert_eq!(hosts(told.relays()), ["one:443"]);
        told.heard(2, list(&[]));
        assert_eq!(hosts(told.relays()), [""; 0]);
    }

    #[test]
    fn no_list_leaves_less_than_the_configuration_names_nor_more_than_there_may_be() {
        let config = config("");
        let nothing = BTreeSet::new();
        assert_eq!(hosts(wanted(&config, &[], &nothing)), ["r.test:443", "s.test:443"]);
        let many: Vec<_> = (0..20).map(|n| format!("t{n:02}")).collect();
        let mut names: Vec<&str> = many.iter().map(String::as_str).collect();
        names.extend(["r.test", "s.test"]);
        let told = list(&names).relays;
        let kept = hosts(wanted(&config, &told, &nothing));
        assert_eq!(kept.len(), MOST_RELAYS);
        assert_eq!(kept[..3], ["r.test:443", "s.test:443", "t00:443"]);
        let reached = BTreeSet::from(["t00:443", "r.test:443"]);
        let kept = hosts(wanted(&config, &told, &reached));
        assert_eq!(kept[..3], ["r.test:443", "s.test:443", "t01:443"], "nobody is reached twice");
        let alone = self::config("learn_relays = false\n");
        assert_eq!(hosts(wanted(&alone, &told, &nothing)), ["r.test:443", "s.test:443"]);
    }

    #[test]
    fn what_was_told_is_there_at_the_next_start_and_what_is_broken_is_nothing() {
        let state = tempfile::tempdir().unwrap();
        let read = || {
            let told = Told::read(state.path(), "r.test");
            told.relays().iter().map(|relay| relay.https.clone()).collect::<Vec<_>>()
        };
        assert_eq!(read(), [""; 0]);
        Told::write(&list(&["one", "two"]).relays, state.path()).unwrap();
        assert_eq!(read(), ["one:443", "two:443"]);
        let file = state.path().join(FILE);
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        for broken in ["", "{", "{\"relays\":7}", "{\"relays\":[{\"url\":\"x\",\"quic\":\"y\"}]}"] {
            std::fs::write(&file, broken).unwrap();
            assert_eq!(read(), [""; 0], "{broken}");
        }
    }

    fn at(url: &str, quic: &str) -> RelayAt {
        RelayAt { url: url.to_owned(), quic: quic.to_owned(), here: false }
    }

    fn told_at(host: &str) -> RelayAt {
        at(&format!("https://{host}"), &format!("{host}:443"))
    }

    fn list(hosts: &[&str]) -> List {
        let told: Vec<_> = hosts.iter().map(|host| told_at(host)).collect();
        List::judge(&told, "r.test")
    }

    fn hosts<'a>(relays: impl IntoIterator<Item = &'a Relay>) -> Vec<&'a str> {
        relays.into_iter().map(|relay| &*relay.https).collect()
    }

    fn config(line: &str) -> Config {
        let text = template("https://r.test", "r.test", "r.test:443", &ProxyChoice::None, &[]);
        let text = format!("{line}{text}\n[[also]]\nrelay = \"https://s.test\"\n");
        Config::parse(&text, Path::new("connector.toml")).unwrap()
    }
}
