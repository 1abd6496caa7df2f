//! Rewriting the addresses in an answer's headers, so that a client comes back to the relay.

use std::borrow::Cow;

use access::HostName;
use hyper::HeaderMap;
use hyper::header::{
    CONTENT_LOCATION, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY, SET_COOKIE,
};

use crate::host::without_port;
use crate::token::Base;

/// By which names an application is known on both sides.
pub(crate) struct Places<'a> {
    /// The application's address at the relay: host, and port where it is not 443.
    pub(crate) public: &'a str,
    /// The origin that answers.
    pub(crate) own: &'a Side,
    /// All origins of the application, where it has several.
    pub(crate) all: Vec<&'a Side>,
    /// What paths begin with, where the token stands in them.
    pub(crate) base: Option<&'a Base>,
}

/// By which names an origin is known on both sides.
pub(crate) struct Side {
    /// What it takes itself for: the Host it is sent.
    pub(crate) host: String,
    /// What its paths begin with where clients have `prefix`; without a slash at its end.
    pub(crate) base: String,
    pub(crate) prefix: String,
    /// The application's host name that it has to itself.
    host_name: Option<HostName>,
}

/// Rewrites `Location`, `Content-Location`, `Refresh` and `Set-Cookie`.
pub(crate) fn rewrite(headers: &mut HeaderMap, places: &Places<'_>) {
    for name in [LOCATION, CONTENT_LOCATION] {
        each(headers, &name, |value| places.link(value));
    }
    each(headers, &REFRESH, |value| places.refresh(value));
    each(headers, &SET_COOKIE, |value| Some(places.cookie(value)));
    if places.base.is_some() {
        // The address of each page holds the token.
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
}

impl Side {
    pub(crate) fn new(
        host: String,
        base: &str,
        prefix: &str,
        host_name: Option<&HostName>,
    ) -> Self {
        let (base, prefix) = (base.trim_end_matches('/').to_owned(), prefix.to_owned());
        Self { host, base, prefix, host_name: host_name.cloned() }
    }

    /// A path of the origin's as clients see it.
    fn seen(&self, path: &str) -> String {
        let Self { base, prefix, .. } = self;
        let rest = path.strip_prefix(base.as_str()).filter(|rest| {
            let whole = rest.is_empty() || rest.starts_with(['/', '?', '#']);
            // What is left would name another host.
            let host = prefix.is_empty() && (rest.starts_with("//") || rest.starts_with("/\\"));
            whole && !host
        });
        let Some(rest) = rest else { return path.to_owned() };
        let is_root = prefix.is_empty() || base.is_empty();
        let slash = if is_root && !rest.starts_with('/') { "/" } else { "" };
        format!("{prefix}{slash}{rest}")
    }
}

impl Places<'_> {
    /// The same place as the client must name it; `None` where it does already.
    fn link(&self, link: &str) -> Option<String> {
        let base = self.base.map(Base::as_str).unwrap_or_default();
        if let Some((authority, rest)) = absolute(link) {
            let (public, side) = self.whose(authority)?;
            return Some(format!("https://{public}{base}{}", side.seen(rest)));
        }
        if !link.starts_with('/') {
            return None;
        }
        let seen = self.own.seen(link);
        (seen != link || !base.is_empty()).then(|| format!("{base}{seen}"))
    }

    /// The origin that an authority names, and its address at the relay.
    fn whose(&self, authority: &str) -> Option<(Cow<'_, str>, &Side)> {
        if [self.public, &self.own.host].iter().any(|name| same_authority(name, authority)) {
            return Some((self.public.into(), self.own));
        }
        let side = self.all.iter().find(|side| same_authority(&side.host, authority))?;
        let port = self.public.strip_prefix(without_port(self.public)).unwrap_or_default();
        let public = match &side.host_name {
            Some(name) => format!("{}{port}", name.as_str()).into(),
            None => self.public.into(),
        };
        Some((public, side))
    }

    /// `5; url=/next`
    fn refresh(&self, value: &str) -> Option<String> {
        let at = value.to_ascii_lowercase().find("url=")? + "url=".len();
        let (head, link) = value.split_at(at);
        let bare = link.trim().trim_matches(['"', '\'']);
        self.link(bare).map(|link| format!("{head}{link}"))
    }

    /// A cookie that its own host gets back, at the path where the client has it.
    fn cookie(&self, value: &str) -> String {
        let mut parts = value.split(';');
        let pair = parts.next().unwrap_or_default();
        let bound = pair.trim_start().starts_with("__Host-");
        let attributes = parts.filter_map(|attribute| self.attribute(attribute, bound));
        attributes.fold(pair.to_owned(), |cookie, attribute| format!("{cookie};{attribute}"))
    }

    fn attribute(&self, attribute: &str, bound: bool) -> Option<String> {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "domain" => None,
            "path" if value.trim().starts_with('/') && !bound => {
                let Some(mut path) = self.link(value.trim()) else {
                    return Some(attribute.to_owned());
                };
                // All of the origin is the service's own path too, and not only what is below it.
                if value.trim() == "/" && !self.own.prefix.is_empty() {
                    path.truncate(path.trim_end_matches('/').len());
                }
                Some(format!(" Path={path}"))
            }
            _ => Some(attribute.to_owned()),
        }
    }
}

/// Authority and rest of an absolute or scheme-relative link.
fn absolute(link: &str) -> Option<(&str, &str)> {
    let lower = link.to_ascii_lowercase();
    let scheme = ["https://", "http://", "//"].into_iter().find(|s| lower.starts_with(s))?;
    let rest = &link[scheme.len()..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some(rest.split_at(end))
}

fn same_authority(a: &str, b: &str) -> bool {
    let plain = |text: &str| {
        let text = text.to_ascii_lowercase();
        let bare = text.strip_suffix(":443").or_else(|| text.strip_suffix(":80"));
        bare.map(str::to_owned).unwrap_or(text)
    };
    plain(a) == plain(b)
}

fn each(headers: &mut HeaderMap, name: &HeaderName, change: impl Fn(&str) -> Option<String>) {
    let values: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    headers.remove(name);
    for value in values {
        let changed = value.to_str().ok().and_then(&change);
        let changed = changed.and_then(|text| HeaderValue::from_str(&text).ok());
        headers.append(name, changed.unwrap_or(value));
    }
}

const REFRESH: HeaderName = HeaderName::from_static("refresh");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_knows_only_its_base_address_comes_back_to_it() {
        let base = Base::new("/odoapi/T");
        let own = side("10.0.0.7:8080", "", "");
        let places =
            Places { public: "web-hq.x:8443", own: &own, all: Vec::new(), base: Some(&base) };
        let cases = [
            (LOCATION, "/login?a=b", "/odoapi/T/login?a=b"),
            (LOCATION, "next", "next"),
            (LOCATION, "?page=2", "?page=2"),
            (LOCATION, "http://10.0.0.7:8080/a", "https://web-hq.x:8443/odoapi/T/a"),
            (LOCATION, "HTTPS://Web-HQ.x:8443?q", "https://web-hq.x:8443/odoapi/T/?q"),
            (LOCATION, "//10.0.0.7:8080/a", "https://web-hq.x:8443/odoapi/T/a"),
            (LOCATION, "https://elsewhere.example/a", "https://elsewhere.example/a"),
            (CONTENT_LOCATION, "/a.json", "/odoapi/T/a.json"),
            (REFRESH, "5; url=/next", "5; url=/odoapi/T/next"),
            (REFRESH, "5; URL='/next'", "5; URL=/odoapi/T/next"),
            (REFRESH, "5", "5"),
            (SET_COOKIE, "a=b; Path=/; HttpOnly", "a=b; Path=/odoapi/T/; HttpOnly"),
            (SET_COOKIE, "a=b; domain=corp; path=/x", "a=b; Path=/odoapi/T/x"),
            (SET_COOKIE, "__Host-a=b; Secure; Path=/", "__Host-a=b; Secure; Path=/"),
            (SET_COOKIE, "a=b=c", "a=b=c"),
        ];
        for (name, sent, got) in cases {
            assert_eq!(rewritten(&places, &name, sent), got, "{name}");
        }
    }

    #[test]
    fn without_a_base_only_the_host_changes() {
        let own = side("wiki.corp", "", "");
        let places = Places { public: "web-hq.x", own: &own, all: Vec::new(), base: None };
        let cases = [
            (LOCATION, "/login", "/login"),
            (LOCATION, "https://wiki.corp:443/a", "https://web-hq.x/a"),
            (LOCATION, "http://wiki.corp", "https://web-hq.x/"),
            (SET_COOKIE, "a=b; Domain=.corp; Path=/x", "a=b; Path=/x"),
        ];
        for (name, sent, got) in cases {
            assert_eq!(rewritten(&places, &name, sent), got, "{name}");
        }
    }

    #[test]
    fn what_the_origin_puts_before_its_paths_is_taken_away_on_whole_segments() {
        let base = Base::new("/odoapi/T");
        let own = side("o:81", "/wiki", "");
        let plain = Places { public: "web-hq.x", own: &own, all: Vec::new(), base: None };
        let cases = [
            (LOCATION, "/wiki/login", "/login"),
            (LOCATION, "/wiki", "/"),
            (LOCATION, "/wiki?a", "/?a"),
            (LOCATION, "/wikis/a", "/wikis/a"),
            (LOCATION, "/other", "/other"),
            (LOCATION, "/wiki//evil.example/a", "/wiki//evil.example/a"),
            (LOCATION, "/wiki/\\evil.example", "/wiki/\\evil.example"),
            (LOCATION, "http://o:81/wiki/a", "https://web-hq.x/a"),
            (LOCATION, "http://o:81/wiki", "https://web-hq.x/"),
            (REFRESH, "5; url=/wiki/next", "5; url=/next"),
            (SET_COOKIE, "a=b; Path=/wiki; Secure", "a=b; Path=/; Secure"),
            (SET_COOKIE, "a=b; Path=/wiki/x", "a=b; Path=/x"),
            (SET_COOKIE, "a=b; Path=/", "a=b; Path=/"),
        ];
        for (name, sent, got) in cases {
            assert_eq!(rewritten(&plain, &name, sent), got, "{name}");
        }
        let both = Places { base: Some(&base), ..plain };
        assert_eq!(rewritten(&both, &LOCATION, "/wiki/a"), "/odoapi/T/a");
        assert_eq!(rewritten(&both, &SET_COOKIE, "a=b; Path=/wiki"), "a=b; Path=/odoapi/T/");
    }

    #[test]
    fn a_services_paths_come_back_below_its_own_and_links_lead_to_the_service_they_mean() {
        let docs: HostName = "docs.example.com".parse().unwrap();
        let (main, moved) = (side("o:80", "", ""), side("o:81", "/v1", "/api"));
        let (whole, kept) = (side("o:82", "", "/auth"), side("o:83", "/static", "/static"));
        let named = Side::new("o:84".to_owned(), "", "", Some(&docs));
        let all = || vec![&main, &moved, &whole, &kept, &named];
        let cases = [
            (&moved, LOCATION, "/v1/a", "/api/a"),
            (&moved, LOCATION, "/v1", "/api"),
            (&moved, LOCATION, "/v1?a", "/api?a"),
            (&moved, LOCATION, "/v10", "/v10"),
            (&moved, LOCATION, "http://o:81/v1//a", "https://web-hq.x:8443/api//a"),
            (&moved, SET_COOKIE, "a=b; Path=/v1", "a=b; Path=/api"),
            (&whole, LOCATION, "/login?a", "/auth/login?a"),
            (&whole, LOCATION, "/\\a", "/auth/\\a"),
            (&whole, LOCATION, "http://o:82", "https://web-hq.x:8443/auth/"),
            (&whole, REFRESH, "5; url=/next", "5; url=/auth/next"),
            (&whole, SET_COOKIE, "a=b; Path=/; Secure", "a=b; Path=/auth; Secure"),
            (&kept, LOCATION, "/static/a", "/static/a"),
            (&kept, LOCATION, "/other", "/other"),
            (&kept, SET_COOKIE, "a=b; Path=/", "a=b; Path=/"),
            (&main, LOCATION, "/static/a", "/static/a"),
            (&main, LOCATION, "http://o:82/login", "https://web-hq.x:8443/auth/login"),
            (&main, LOCATION, "http://o:84/a", "https://docs.example.com:8443/a"),
            (&named, LOCATION, "http://o/a", "https://web-hq.x:8443/a"),
        ];
        for (own, name, sent, got) in cases {
            let places = Places { public: "web-hq.x:8443", own, all: all(), base: None };
            assert_eq!(rewritten(&places, &name, sent), got, "{name}");
        }
    }

    fn side(host: &str, base: &str, prefix: &str) -> Side {
        Side::new(host.to_owned(), base, prefix, None)
    }

    fn rewritten(places: &Places<'_>, name: &HeaderName, sent: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(name, sent.parse().unwrap());
        rewrite(&mut headers, places);
        headers[name].to_str().unwrap().to_owned()
    }
}
