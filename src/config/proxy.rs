//! A reverse proxy in front of the HTTPS port.

use axum::http::uri::Authority;
use ipnet::IpNet;

use super::document::Section;

/// What is known of reverse proxies; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// Where browsers reach the relay; absent: at its own port, without a path.
    pub url: Option<PublicUrl>,
    /// Whose `X-Forwarded-For` counts.
    pub addresses: Vec<IpNet>,
}

/// `https://adit.example.com:8443/adit`: an address for people, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    host: String,
    port: u16,
    base: String,
}

impl PublicUrl {
    /// An https address with a path of plain names, the first of which is none of the relay's own.
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("https://")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority: Authority = authority.parse().ok()?;
        let plain = |segment: &str| {
            let bytes = segment.bytes();
            let all = bytes.into_iter().all(|b| b.is_ascii_alphanumeric() || b"-_~.".contains(&b));
            !segment.is_empty() && all && !segment.starts_with('.')
        };
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let ours = segments.first().is_some_and(|first| OURS.contains(first));
        let fits = segments.iter().all(|segment| plain(segment)) && path.len() <= LONGEST && !ours;
        if !fits || authority.as_str().contains('@') {
            return None;
        }
        let port = match authority.port() {
            Some(port) => Some(port.as_u16()).filter(|port| *port != 0)?,
            None if authority.as_str().contains(':') => return None,
            None => 443,
        };
        let host = authority.host().to_ascii_lowercase();
        Some(Self { host, port, base: path.to_owned() })
    }

    /// Below which path the relay's pages are: empty, or `/adit`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Without `https://`.
    pub fn place(&self) -> String {
        let Self { host, port, base } = self;
        match port {
            443 => format!("{host}{base}"),
            port => format!("{host}:{port}{base}"),
        }
    }
}

pub(super) fn proxy(section: &mut Section<'_>, domain: Option<&str>) -> Option<Proxy> {
    let url = section.text("url", URL, |text| {
        // One host has the cookies, and passkeys are of it.
        PublicUrl::parse(text).filter(|url| domain.is_none_or(|domain| url.host == domain))
    });
    let addresses =
        section.texts("addresses", "an IP address or a network such as 10.0.0.0/24", |text| {
            access::network(text)
        });
    Some(Proxy { url: url?, addresses: addresses?.unwrap_or_default() })
}

/// What the relay's own paths begin with: a request must say which of the two it means.
const OURS: &[&str] = &[
    "api",
    "ask",
    "assets",
    "desktop",
    "device",
    "go",
    "remoteDesktopGateway",
    "rpc",
    "scim",
    "sign-in",
    "sign-out",
    "signed-in",
    "ssh",
];
const LONGEST: usize = 128;
const URL: &str = "https:// and the relay's domain, with the proxy's port and path, such as \
    https://adit.example.com/adit; the path begins with no name of the relay's own (api, sign-in, …)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_host_and_a_plain_path() {
        let read = |text: &str| PublicUrl::parse(text).map(|url| (url.place(), url.base));
        let cases = [
            ("https://X.test", "x.test", ""),
            ("https://x.test/", "x.test", ""),
            ("https://x.test/adit/", "x.test/adit", "/adit"),
            ("https://x.test:443/a/b-c.d", "x.test/a/b-c.d", "/a/b-c.d"),
            ("https://x.test:8443/adit", "x.test:8443/adit", "/adit"),
        ];
        for (text, place, base) in cases {
            assert_eq!(read(text), Some((place.to_owned(), base.to_owned())), "{text}");
        }
        let wrong = [
            "http://x.test/",
            "x.test/adit",
            "https://",
            "https://a@x.test/",
            "https://x.test:/",
            "https://x.test:0/",
            "https://x.test//",
            "https://x.test/a//b",
            "https://x.test/../a",
            "https://x.test/a?b",
            "https://x.test/a#b",
            "https://x.test/a b",
            "https://x.test/\"a",
            "https://x.test/%61",
            "https://x.test/api",
            "https://x.test/sign-in/adit",
            "https://x.test/.adit",
        ];
        for text in wrong {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
