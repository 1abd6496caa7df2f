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
}

pub(super) fn cluster(section: &mut Section<'_>) -> Option<Option<Cluster>> {
    if !section.is_there() {
        return Some(None);
    }
    let name = section.text("name", NAME, |text| text.parse().ok());
    let host =
        section.text("host", HOST, |text| certificate_name(text).filter(|_| !text.contains('*')));
    let (name, host) = (section.required("name", NAME, name), section.required("host", HOST, host));
    Some(Some(Cluster { name: name?, host: host? }))
}

const NAME: &str = "a name that no other relay of this database has, such as relay-1";
const HOST: &str = "the name or IP address by which the other relays reach this one";
