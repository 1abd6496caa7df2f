//! Addresses that mean the connector's own machine, its link, or the cloud it runs in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The address as the kernel would dial it: IPv4 in IPv6 clothes is IPv4.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The special range an address is in.
pub(super) fn range_of(address: IpAddr) -> Option<IpNet> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => {
            let own = V6.iter().find(|net| net.contains(&v6)).map(|net| IpNet::V6(*net));
            own.or_else(|| carried_v4(v6).and_then(special_v4))
        }
    }
}

fn special_v4(address: Ipv4Addr) -> Option<IpNet> {
    V4.iter().find(|net| net.contains(&address)).map(|net| IpNet::V4(*net))
}

/// The IPv4 address that a translator on the way (NAT64, 6to4) would dial for this one.
fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match [a, b, c, d, e, f] {
        // RFC 6052 and the deprecated IPv4-compatible form of RFC 4291.
        [0x64, 0xff9b, 0, 0, 0, 0] | [0, 0, 0, 0, 0, 0] => Some(v4(g, h)),
        // RFC 3056.
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

const V4: [Ipv4Net; 7] = [
    v4(0, 0, 0, 0, 8),          // "this host": Linux dials loopback for 0.0.0.0
    v4(127, 0, 0, 0, 8),        // loopback
    v4(169, 254, 0, 0, 16),     // link-local, and most clouds' metadata
    v4(100, 100, 100, 200, 32), // metadata (Alibaba)
    v4(168, 63, 129, 16, 32),   // metadata (Azure)
    v4(224, 0, 0, 0, 4),        // multicast
    v4(240, 0, 0, 0, 4),        // reserved, and broadcast
];

const V6: [Ipv6Net; 5] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128),               // unspecified
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128),               // loopback
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),           // link-local
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),            // multicast
    v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254], 128), // metadata (AWS)
];
