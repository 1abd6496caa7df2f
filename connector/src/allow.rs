//! Which addresses this connector may dial, whatever the relay asks for.
//!
//! INVARIANT: nothing here resolves a name or opens a socket. The address that is checked is the
//! address that is dialled.

mod special;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use special::{canonical, range_of};

/// The connector's own list. Decides over one resolved address at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    /// `None`: no list was written, and all but the special ranges is allowed.
    entries: Option<Vec<Entry>>,
}

/// One line of the list: a network or a host, and behind a colon a port, several as in
/// `8000-8100`, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    place: Place,
    port: Port,
}

/// Why a text is not an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("an entry is CIDR:port, CIDR:*, host:port or host:*, for example 10.0.0.0/8:22")]
    Form,
    #[error("the port is a number from 1 to 65535, several such as 8000-8100, or *")]
    Port,
    #[error("the host is an address, a network such as 10.0.0.0/8 or [fd00::]/8, or a DNS name")]
    Host,
}

/// Why an address is not dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    #[error("the address is in a special range that no entry names")]
    Special,
    #[error("no entry has the address and port")]
    Unlisted,
}

impl AllowList {
    pub fn new(entries: Option<Vec<Entry>>) -> Self {
        Self { entries }
    }

    /// The hosts and ports that entries name one by one.
    pub(crate) fn targets(&self) -> impl Iterator<Item = (String, u16)> {
        self.entries.iter().flatten().filter_map(|entry| match (&entry.place, entry.port) {
            (Place::Host(host), Port::One(port)) => Some((host.clone(), port)),
            (Place::Net(net), Port::One(port)) if net.prefix_len() == net.max_prefix_len() => {
                Some((net.addr().to_string(), port))
            }
            (Place::Host(_) | Place::Net(_), Port::Any | Port::One(_) | Port::Range(..)) => None,
        })
    }

    /// The address to dial when `host` was asked for and resolved to `address`.
    pub fn check(&self, host: &str, address: IpAddr, port: u16) -> Result<SocketAddr, NotAllowed> {
        let address = canonical(address);
        let special = range_of(address);
        let listed = |entry: &Entry| entry.port.has(port) && entry.place.has(host, address);
        let allowed = match (&self.entries, special) {
            (None, None) => true,
            (None, Some(_)) => return Err(NotAllowed::Special),
            (Some(entries), None) => entries.iter().any(listed),
            (Some(entries), Some(range)) => {
                let names_it = |entry: &&Entry| entry.place.lifts(host, range);
                entries.iter().filter(names_it).any(listed)
            }
        };
        match (allowed, special) {
            (true, _) => Ok(SocketAddr::new(address, port)),
            (false, Some(_)) => Err(NotAllowed::Special),
            (false, None) => Err(NotAllowed::Unlisted),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Net(IpNet),
    Host(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Any,
    One(u16),
    /// From the one to the other, which is larger.
    Range(u16, u16),
}

impl Place {
    fn has(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Net(net) => net.contains(&address),
            Self::Host(name) => same_name(name, host),
        }
    }

    /// Whether whoever wrote this meant the special range: a network inside it, or `localhost`.
    /// Another name never does, for a name says only what DNS says today.
    fn lifts(&self, host: &str, range: IpNet) -> bool {
        match self {
            Self::Net(net) => range.contains(net),
            Self::Host(name) => {
                name == LOCALHOST && same_name(LOCALHOST, host) && range.addr().is_loopback()
            }
        }
    }
}

impl Port {
    fn has(self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::One(only) => only == port,
            Self::Range(first, last) => (first..=last).contains(&port),
        }
    }
}

impl FromStr for Port {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (first, last) = access::ports(text).ok_or(EntryError::Port)?.into_inner();
        Ok(if first == last { Self::One(first) } else { Self::Range(first, last) })
    }
}

impl FromStr for Entry {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        let (place, port) = text.rsplit_once(':').ok_or(EntryError::Form)?;
        Ok(Self { port: port.parse()?, place: place.parse()? })
    }
}

impl FromStr for Place {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        let bare = text.replace(['[', ']'], "");
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Net(canonical(address).into()));
        }
        if bare.contains('/') {
            let net: IpNet = bare.parse().map_err(|_| EntryError::Host)?;
            return Ok(Self::Net(net.trunc()));
        }
        let name_like = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let valid = !bare.is_empty() && bare.len() <= 253 && bare.chars().all(name_like);
        // A text of digits and dots is an address with a mistake in it, not a name.
        let address_like = bare.chars().all(|c| c.is_ascii_digit() || c == '.');
        if !valid || address_like || bare != text {
            return Err(EntryError::Host);
        }
        Ok(Self::Host(bare.trim_end_matches('.').to_ascii_lowercase()))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Net(net @ IpNet::V4(_)) => write!(f, "{net}")?,
            Place::Net(net @ IpNet::V6(_)) => write!(f, "[{}]/{}", net.addr(), net.prefix_len())?,
            Place::Host(name) => write!(f, "{name}")?,
        }
        match self.port {
            Port::Any => write!(f, ":*"),
            Port::One(port) => write!(f, ":{port}"),
            Port::Range(first, last) => write!(f, ":{first}-{last}"),
        }
    }
}

fn same_name(entry: &str, asked: &str) -> bool {
    entry.eq_ignore_ascii_case(asked.trim_end_matches('.'))
}

const LOCALHOST: &str = "localhost";

#[cfg(test)]
mod tests;
