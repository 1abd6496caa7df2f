//! What a request is called, from the client to the origin's log.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The name that the client has given a request, if it is one that every log can take.
pub(crate) fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut names = headers.get_all(REQUEST_ID).iter();
    let name = names.next().filter(|name| is_sound(name.as_bytes()));
    name.filter(|_| names.next().is_none()).cloned()
}

/// The name that the relay gives one.
pub(crate) fn own(id: Uuid) -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let text = id.hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

fn is_sound(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    (1..=LONGEST).contains(&name.len()) && name.iter().all(plain)
}

const LONGEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_if_it_is_one_and_sound() {
        let cases: [(&[&str], Option<&str>); 6] = [
            (&["a1b2-c3"], Some("a1b2-c3")),
            (&["Root=1-67:a/b+c=@"], Some("Root=1-67:a/b+c=@")),
            (&[], None),
            (&["a", "b"], None),
            (&["a b"], None),
            (&["a\u{1b}"], None),
        ];
        for (sent, taken) in cases {
            let mut headers = HeaderMap::new();
            for name in sent {
                headers.append(
                    REQUEST_ID,
                    HeaderValue::from_bytes(name.as_bytes())
                        .unwrap_or(HeaderValue::from_static("(no header)")),
                );
            }
            let name = given(&headers);
            assert_eq!(name.as_ref().map(|name| name.to_str().unwrap()), taken, "{sent:?}");
        }
        assert!(!is_sound(&[b'a'; LONGEST + 1]));
        assert_eq!(own(Uuid::nil()), "00000000-0000-0000-0000-000000000000");
    }
}
