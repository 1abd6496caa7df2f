//! The section `cluster`: this relay is one of several that serve one database.

use access::Name;

use super::certificate_name;
use super::document::Section;

/// How a relay is known to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    pub name: Name,
    /// By which others reach this relay's HTTPS and QUIC ports: a name or an IP address.
    pub host: String,
    /// Where connectors are told that they reach it; nowhere where it is absent.
    pub connectors: Option<OutsideUrl>,
}

/// `https://relay-2.example.com:8443`: the HTTPS port of a relay, as it is reached from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsideUrl {
    host: String,
    port: u16,
}

impl OutsideUrl {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let address = tunnel::https::address(text)?;
        let (host, port) = address.rsplit_once(':')?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let host = certificate_name(bare).filter(|name| !name.contains('*'))?;
        let url = Self { host: host.to_ascii_lowercase(), port: port.parse().ok()? };
        // Nothing that was left out: a name to sign in by, or a port that is none.
        let written = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
        let whole = written == url.to_string() || written == format!("{url}:443");
        (whole && url.port != 0).then_some(url)
    }

    /// `host:port` of another of its ports.
    fn beside(&self, port: u16) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{port}", self.host),
            false => format!("{}:{port}", self.host),
        }
    }

    /// `host:port` for QUIC, from the ports that this machine listens on: at the port of the URL where
    /// both are one, else at QUIC's own.
    pub fn quic(&self, quic: u16, https: u16) -> String {
        self.beside(if quic == https { self.port } else { quic })
    }
}

impl std::fmt::Display for OutsideUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = self.beside(self.port);
        write!(f, "https://{}", address.strip_suffix(":443").unwrap_or(&address))
    }
}

pub(super) fn cluster(section: &mut Section<'_>) -> Option<Option<Cluster>> {
    if !section.is_there() {
        return Some(None);
    }
    let name = section.text("name", NAME, |text| text.parse().ok());
    let host =
        section.text("host", HOST, |text| certificate_name(text).filter(|_| !text.contains('*')));
    let connectors = section.text("connectors", CONNECTORS, OutsideUrl::parse);
    let (name, host) = (section.required("name", NAME, name), section.required("host", HOST, host));
    Some(Some(Cluster { name: name?, host: host?, connectors: connectors? }))
}

const NAME: &str = "a name that no other relay of this database has, such as relay-1";
const CONNECTORS: &str = "where connectors reach this relay's HTTPS port, https:// and a name or IP \
                          address, with its port where that is not 443, such as \
                          https://relay-1.example.com";
const HOST: &str = "the name or IP address by which the other relays reach this one";
