//! Networks as people write them.

use std::net::IpAddr;

use ipnet::IpNet;

/// The network that a text names: `10.0.0.0/8`, or one address alone. `None`: it names none.
pub fn network(text: &str) -> Option<IpNet> {
    let alone = || text.parse::<IpAddr>().map(IpNet::from).ok();
    text.parse().ok().or_else(alone)
}
