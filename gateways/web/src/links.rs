//! Rewriting the addresses in an answer's headers, so that a client comes back to the relay.

use hyper::HeaderMap;
use hyper::header::{
    CONTENT_LOCATION, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY, SET_COOKIE,
};

use crate::token::Base;

/// By which names an application is known on both sides.
pub(crate) struct Places<'a> {
    /// The application's address at the relay: host, and port where it is not 443.
    pub(crate) public: &'a str,
    /// What the origin takes itself for: the Host it was sent.
    pub(crate) origin: &'a str,
    /// What the origin's paths begin with, and the client's do not; may be empty.
    pub(crate) under: &'a str,
    /// What paths begin with, where the token stands in them.
    pub(crate) base: Option<&'a Base>,
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

impl Places<'_> {
    /// The same place as the client must name it; `None` where it does already.
    fn link(&self, link: &str) -> Option<String> {
        let base = self.base.map(Base::as_str).unwrap_or_default();
        if let Some((authority, rest)) = absolute(link) {
            let ours = [self.public, self.origin];
            let ours = ours.iter().any(|name| same_authority(name, authority));
            let rest = self.below(rest);
            let slash = if rest.starts_with('/') { "" } else { "/" };
            return ours.then(|| format!("https://{}{base}{slash}{rest}", self.public));
        }
        if !link.starts_with('/') {
            return None;
        }
        let rest = self.below(link);
        let slash = if rest.starts_with('/') { "" } else { "/" };
        (rest != link || !base.is_empty()).then(|| format!("{base}{slash}{rest}"))
    }

    /// A path of the origin's without what clients do not see of it.
    fn below<'b>(&self, path: &'b str) -> &'b str {
        let Some(rest) = path.strip_prefix(self.under) else { return path };
        let whole = rest.is_empty() || rest.starts_with(['/', '?', '#']);
        // What is left would name another host.
        let host = rest.starts_with("//") || rest.starts_with("/\\");
        if whole && !host { rest } else { path }
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
                let link = self.link(value.trim());
                Some(link.map_or_else(|| attribute.to_owned(), |path| format!(" Path={path}")))
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
        let places = Places {
            public: "web-hq.x:8443",
            origin: "10.0.0.7:8080",
            under: "",
            base: Some(&base),
        };
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
        let places = Places { public: "web-hq.x", origin: "wiki.corp", under: "", base: None };
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
        let plain = Places { public: "web-hq.x", origin: "o:81", under: "/wiki", base: None };
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

    fn rewritten(places: &Places<'_>, name: &HeaderName, sent: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(name, sent.parse().unwrap());
        rewrite(&mut headers, places);
        headers[name].to_str().unwrap().to_owned()
    }
}
