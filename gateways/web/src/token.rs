//! Finding the token of a request, and taking it out, so that nothing of it goes on.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue, REFERER};
use hyper::http::uri::PathAndQuery;
use secrecy::{ExposeSecret, SecretString};

/// A token as a request showed it.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) text: SecretString,
    /// Where it stood in the path: what every path of an answer must begin with.
    pub(crate) base: Option<Base>,
}

/// `/odoapi/T` or `/adit-key/T`. Prints nothing of the token.
#[derive(Clone)]
pub(crate) struct Base(String);

/// Why a request shows no token that could be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenFault {
    #[error("the request shows no token")]
    None,
    #[error("the request shows two tokens")]
    Two,
    #[error("the token stands in the query too")]
    InQuery,
}

impl Base {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Takes the one token out of the headers and the target.
pub(crate) fn take(
    headers: &mut HeaderMap,
    target: &mut PathAndQuery,
) -> Result<Shown, TokenFault> {
    let (found, base) = (of_headers(headers), of_path(target));
    let in_path = base.as_ref().map(|(_, text, _)| text.clone());
    let mut all = found.iter().chain(&in_path);
    let text = all.next().ok_or(TokenFault::None)?.clone();
    if all.any(|other| *other != text) {
        return Err(TokenFault::Two);
    }
    let base = match base {
        Some((base, _, rest)) => {
            *target = rest;
            Some(base)
        }
        None => None,
    };
    // What is none of ours may be any word, or nothing: a variable that is not set.
    if text.starts_with(OURS) && target.as_str().contains(&text) {
        return Err(TokenFault::InQuery);
    }
    strip(headers, &text);
    Ok(Shown { text: text.into(), base })
}

/// A path without a token that may stand in it, for records.
pub(crate) fn shown_path(path: &str) -> &str {
    match split(path) {
        Some((_, _, "")) => "/",
        Some((_, _, rest)) => rest,
        None => path,
    }
}

impl Shown {
    pub(crate) fn text(&self) -> &str {
        self.text.expose_secret()
    }
}

/// Tokens in headers. A Bearer that is none of ours is the application's own, unless nothing else
/// is shown.
fn of_headers(headers: &HeaderMap) -> Vec<String> {
    let keys = KEYS.into_iter().flat_map(|name| headers.get_all(name));
    let mut found: Vec<String> = keys.map(text).collect();
    let bearer = headers.get_all(AUTHORIZATION).iter().filter_map(bearer);
    found.extend(bearer.filter(|token| token.starts_with(OURS)));
    found
}

fn bearer(value: &HeaderValue) -> Option<String> {
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn text(value: &HeaderValue) -> String {
    match value.to_str() {
        Ok(text) => text.trim().to_owned(),
        Err(_) => String::from_utf8_lossy(value.as_bytes()).trim().to_owned(),
    }
}

type InPath = (Base, String, PathAndQuery);

fn of_path(target: &PathAndQuery) -> Option<InPath> {
    let (word, token, rest) = split(target.path())?;
    let query = target.query().map(|query| format!("?{query}")).unwrap_or_default();
    let rest = if rest.is_empty() { "/" } else { rest };
    let rest = format!("{rest}{query}").parse().ok()?;
    Some((Base(format!("/{word}/{token}")), token.to_owned(), rest))
}

/// The word, the token and the rest of a path with a token in it.
fn split(path: &str) -> Option<(&str, &str, &str)> {
    let path = path.strip_prefix('/')?;
    let (word, rest) = path.split_once('/').filter(|(word, _)| WORDS.contains(word))?;
    let end = rest.find('/').unwrap_or(rest.len());
    Some((word, &rest[..end], &rest[end..]))
}

/// Takes away every header that holds the token, in any spelling of its name.
fn strip(headers: &mut HeaderMap, token: &str) {
    let holds = |value: &HeaderValue| !token.is_empty() && contains(value.as_bytes(), token);
    let holding = headers.iter().filter(|(name, value)| is_key(name.as_str()) || holds(value));
    let mut names: Vec<HeaderName> = holding.map(|(name, _)| name.clone()).collect();
    // An older page's address, with a token that was replaced since.
    let referer = headers.get(REFERER).map(HeaderValue::as_bytes);
    if referer
        .is_some_and(|referer| WORDS.iter().any(|word| contains(referer, &format!("/{word}/"))))
    {
        names.push(REFERER);
    }
    for name in names {
        headers.remove(name);
    }
}

/// Whether a header is one of the keys', in any spelling.
fn is_key(name: &str) -> bool {
    let dashed = |byte: u8| if byte == b'_' { b'-' } else { byte };
    KEYS.iter().any(|key| key.len() == name.len() && name.bytes().map(dashed).eq(key.bytes()))
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    let needle = needle.as_bytes();
    // Few begin alike: the whole is seldom compared.
    bytes.windows(needle.len()).any(|window| window.first() == needle.first() && window == needle)
}

const KEYS: [&str; 2] = ["x-adit-key", "x-checkpoint-key"];
const WORDS: [&str; 2] = ["odoapi", "adit-key"];
const OURS: &str = "adit_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_wherever_it_may_stand_and_nothing_of_it_goes_on() {
        let cases: [(Fields, &str, &str, Option<&str>); 7] = [
            (&[("X-ADIT-KEY", "T")], "/a?b=c", "/a?b=c", None),
            (&[("x-checkpoint-key", " T ")], "/", "/", None),
            (&[("x-adit-key", "T"), ("x-checkpoint-key", "T")], "/", "/", None),
            (&[("x-adit-key", "T"), ("x_adit_key", "other")], "/", "/", None),
            (&[], "/odoapi/T/rest/?q=1", "/rest/?q=1", Some("/odoapi/T")),
            (&[("x-adit-key", "T")], "/adit-key/T", "/", Some("/adit-key/T")),
            (&[("referer", "https://h/odoapi/OLD/x")], "/odoapi/T?q", "/?q", Some("/odoapi/T")),
        ];
        for (shown, path, rest, base) in cases {
            let mut headers = map(shown);
            let mut target = path.parse().unwrap();
            let found = take(&mut headers, &mut target).unwrap();
            assert_eq!(found.text(), "T", "{path}");
            assert_eq!(target.as_str(), rest);
            assert_eq!(found.base.as_ref().map(Base::as_str), base);
            assert!(headers.is_empty(), "{headers:?}");
        }
    }

    #[test]
    fn a_bearer_of_another_kind_is_the_applications_own() {
        let mut headers = map(&[("authorization", "bearer adit_api_1"), ("cookie", "a=1")]);
        let mut target: PathAndQuery = "/".parse().unwrap();
        assert_eq!(take(&mut headers, &mut target).unwrap().text(), "adit_api_1");
        assert_eq!(headers, map(&[("cookie", "a=1")]));
        let own = [("authorization", "Bearer eyJ"), ("x-adit-key", "T")];
        let mut headers = map(&own);
        assert_eq!(take(&mut headers, &mut target).unwrap().text(), "T");
        assert_eq!(headers, map(&own[..1]));
    }

    #[test]
    fn no_token_and_two_tokens_are_told_apart() {
        let cases: [(Fields, &str, TokenFault); 7] = [
            (&[], "/odoapix/T/", TokenFault::None),
            (&[("authorization", "Basic eDp5")], "/", TokenFault::None),
            (&[("x-adit-key", "T"), ("x-checkpoint-key", "U")], "/", TokenFault::Two),
            (&[("x-adit-key", "T"), ("X-Adit-Key", "U")], "/", TokenFault::Two),
            (&[("x-adit-key", "T")], "/odoapi/U/", TokenFault::Two),
            (&[("x-adit-key", "adit_T")], "/a?next=/odoapi/adit_T/b", TokenFault::InQuery),
            (&[("x-adit-key", ""), ("x-checkpoint-key", "T")], "/", TokenFault::Two),
        ];
        for (shown, path, fault) in cases {
            let taken = take(&mut map(shown), &mut path.parse().unwrap());
            assert_eq!(taken.unwrap_err(), fault, "{shown:?} {path}");
        }
    }

    #[test]
    fn a_token_that_is_empty_or_any_word_is_shown_and_stands_nowhere_else() {
        let cases: [(Fields, &str, &str, &str); 5] = [
            (&[("x-adit-key", "")], "/a?b=c", "", "/a?b=c"),
            (&[("x-adit-key", " ")], "/", "", "/"),
            (&[], "/adit-key//x?y", "", "/x?y"),
            (&[], "/odoapi/", "", "/"),
            (&[("x-adit-key", "a")], "/a?a=a", "a", "/a?a=a"),
        ];
        for (shown, path, token, rest) in cases {
            let mut headers = map(&[shown, &[("accept", "a")]].concat());
            let mut target = path.parse().unwrap();
            let found = take(&mut headers, &mut target).unwrap();
            assert_eq!((found.text(), target.as_str()), (token, rest), "{path}");
        }
    }

    #[test]
    fn a_header_that_repeats_the_token_stays_behind() {
        let all =
            [("x-adit-key", "adit_T"), ("destination", "https://h/odoapi/adit_T/b"), ("a", "b")];
        let mut headers = map(&all);
        take(&mut headers, &mut "/".parse().unwrap()).unwrap();
        assert_eq!(headers, map(&all[2..]));
    }

    type Fields = &'static [(&'static str, &'static str)];

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        headers.iter().map(pair).collect()
    }
}
