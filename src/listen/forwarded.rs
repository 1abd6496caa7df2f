//! Where a request comes from that a reverse proxy has handed on.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The address a request comes from: the peer's, or, where that is a proxy, the last one in
/// `X-Forwarded-For` that is none. What stands before that anybody may have written.
pub(super) fn origin(peer: SocketAddr, headers: &HeaderMap, proxies: &[IpNet]) -> SocketAddr {
    let is_proxy =
        |address: IpAddr| proxies.iter().any(|net| net.contains(&address.to_canonical()));
    if !is_proxy(peer.ip()) {
        return peer;
    }
    let mut from = peer;
    let values = headers.get_all(FORWARDED).into_iter().map(|value| value.to_str().unwrap_or("?"));
    let all: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    for named in all.iter().rev() {
        let Some(address) = address(named) else { break };
        from.set_ip(address);
        if !is_proxy(address) {
            break;
        }
    }
    from
}

/// `192.0.2.1`, `2001:db8::1`, or either with a port, as some proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip()).ok();
    bare.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_is_believed_and_only_what_it_wrote_itself() {
        let proxies = ["127.0.0.1/32", "10.0.0.0/8"].map(|net| net.parse().unwrap());
        let cases: [(&str, &[&str], &str); 10] = [
            ("192.0.2.9:1", &["198.51.100.1"], "192.0.2.9"),
            ("127.0.0.1:1", &[], "127.0.0.1"),
            ("127.0.0.1:1", &["198.51.100.1"], "198.51.100.1"),
            ("[::ffff:127.0.0.1]:1", &["198.51.100.1"], "198.51.100.1"),
            ("127.0.0.1:1", &["203.0.113.7, 198.51.100.1"], "198.51.100.1"),
            ("127.0.0.1:1", &["203.0.113.7", "198.51.100.1, 10.1.1.1"], "198.51.100.1"),
            ("127.0.0.1:1", &["10.1.1.2, 10.1.1.1"], "10.1.1.2"),
            ("127.0.0.1:1", &["198.51.100.1, nonsense"], "127.0.0.1"),
            ("127.0.0.1:1", &["2001:db8::1"], "2001:db8::1"),
            ("127.0.0.1:1", &["[2001:db8::1]:443"], "2001:db8::1"),
        ];
        for (peer, said, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append(FORWARDED, value.parse().unwrap());
            }
            let from = origin(peer.parse().unwrap(), &headers, &proxies);
            assert_eq!(from.ip().to_canonical().to_string(), expected, "{peer} {said:?}");
            assert_eq!(from.port(), 1);
        }
    }
}
