//! What people type and documents say.

use std::fmt::Display;
use std::str::FromStr;

use access::{Address, HostName, Hours, Name, TokenText};
use gateway_ssh::proto::{MAX_USER, UserName, destination, looks_like_token, plain};

use crate::text;

/// A token that is taken is the text that was read, and one changed character makes it none.
pub(crate) fn token(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(token) = text.parse::<TokenText>() else { return };
    assert_eq!(token.expose(), text);
    assert!(!format!("{token:?}").contains(text), "a token shows itself");
    let (start, last) = text.split_at(text.len() - 1);
    let other = if last == "0" { "1" } else { "0" };
    assert!(format!("{start}{other}").parse::<TokenText>().is_err());
}

/// A user name is the login and the application that stand in it, and nothing else.
pub(crate) fn ssh_user_name(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(UserName { login, application }) = UserName::parse(text) else { return };
    assert!(text.len() <= MAX_USER && !text.chars().any(char::is_control));
    match application {
        Some(application) => assert_eq!(format!("{login}+{application}"), text),
        None => assert_eq!(login, text.strip_suffix('+').unwrap_or(text)),
    }
    let _ = looks_like_token(login);
    let named = destination(text, "relay.example.com");
    assert!(named.len() <= text.len());
}

/// Text of a target shows nothing that acts on a terminal.
pub(crate) fn ssh_shown_text(bytes: &[u8]) {
    let shown = plain(&String::from_utf8_lossy(bytes), 200);
    assert!(shown.chars().count() <= 200);
    assert!(shown.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')), "{shown:?}");
}

/// A name, an address or a host name that is taken says the same when it is read again.
pub(crate) fn names(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    reads_back::<Name>(text);
    reads_back::<Address>(text);
    reads_back::<HostName>(text);
}

/// Hours that are taken say the same when they are read again.
pub(crate) fn hours(bytes: &[u8]) {
    let Ok(hours) = serde_json::from_slice::<Hours>(bytes) else { return };
    let written = serde_json::to_vec(&hours).unwrap_or_default();
    assert!(serde_json::from_slice::<Hours>(&written).is_ok_and(|again| again == hours));
}

fn reads_back<T: FromStr + Display + PartialEq>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let written = value.to_string();
    let again = written.parse::<T>();
    assert!(again.is_ok_and(|again| again == value), "{text:?} became {written:?}");
}
