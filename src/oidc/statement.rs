//! What a provider says of somebody: the ID token (OpenID Connect Core, 3.1.3.7).

use std::time::SystemTime;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::Value;

use super::keys::Key;
use super::seconds;

/// Whom a provider vouches for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vouched {
    pub(crate) issuer: String,
    /// Who it is at the provider, for ever; names may pass to others.
    pub(crate) subject: String,
    /// All claims.
    pub(crate) claims: Value,
}

/// What the statement has to be about.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now: SystemTime,
}

/// Why it proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StatementError {
    #[error("it is no signed JWT")]
    Form,
    #[error("no key of the provider's has signed it")]
    Signature,
    #[error("it is by another issuer")]
    Issuer,
    #[error("it is for another client")]
    Audience,
    #[error("it is over, or not good yet; are the clocks right?")]
    Time,
    #[error("it answers another sign-in: the nonce is another")]
    Nonce,
    #[error("it names nobody")]
    Subject,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    /// What has to be understood (RFC 7515, 4.1.11): nothing is.
    crit: Option<Value>,
}

/// The key id that a token names, if it is one.
pub(super) fn kid(token: &str) -> Option<String> {
    parts(token).ok().and_then(|parts| parts.head.kid)
}

/// Checks a token against keys and what is expected of it.
pub(super) fn check(
    token: &str,
    keys: &[Key],
    expected: &Expected<'_>,
) -> Result<Vouched, StatementError> {
    let Parts { head, signed, signature, payload } = parts(token)?;
    let named = |key: &&Key| head.kid.is_none() || key.kid == head.kid;
    let mut keys = keys.iter().filter(named);
    if !keys.any(|key| key.verifies(&head.alg, signed.as_bytes(), &signature)) {
        return Err(StatementError::Signature);
    }
    let claims: Value = serde_json::from_slice(&payload).map_err(|_| StatementError::Form)?;
    let text = |claim: &str| claims[claim].as_str();
    if text("iss") != Some(expected.issuer) {
        return Err(StatementError::Issuer);
    }
    if !is_for(&claims, expected.client_id) {
        return Err(StatementError::Audience);
    }
    let now = seconds(expected.now);
    let end = claims["exp"].as_u64().ok_or(StatementError::Time)?;
    let issued = claims["iat"].as_u64().ok_or(StatementError::Time)?;
    if now >= end.saturating_add(LEEWAY) || issued > now + LEEWAY {
        return Err(StatementError::Time);
    }
    if text("nonce") != Some(expected.nonce) {
        return Err(StatementError::Nonce);
    }
    let subject = text("sub").filter(|sub| !sub.is_empty() && sub.len() <= LONGEST_SUBJECT);
    let subject = subject.ok_or(StatementError::Subject)?.to_owned();
    Ok(Vouched { issuer: expected.issuer.to_owned(), subject, claims })
}

/// For this client; where for others too, it has to be the one that asked.
fn is_for(claims: &Value, client: &str) -> bool {
    let among = match &claims["aud"] {
        Value::String(only) => only == client,
        Value::Array(all) => all.iter().any(|one| one.as_str() == Some(client)),
        _ => false,
    };
    let several = claims["aud"].as_array().is_some_and(|all| all.len() > 1);
    let asked = claims.get("azp").map(|azp| azp.as_str() == Some(client));
    among && asked.unwrap_or(!several)
}

struct Parts<'a> {
    head: Head,
    signed: &'a str,
    signature: Vec<u8>,
    payload: Vec<u8>,
}

fn parts(token: &str) -> Result<Parts<'_>, StatementError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(StatementError::Form)?;
    let (head, payload) = signed.split_once('.').ok_or(StatementError::Form)?;
    let bytes =
        |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| StatementError::Form);
    let head: Head = serde_json::from_slice(&bytes(head)?).map_err(|_| StatementError::Form)?;
    if head.crit.is_some() {
        return Err(StatementError::Form);
    }
    Ok(Parts { head, signed, signature: bytes(signature)?, payload: bytes(payload)? })
}

/// Clocks differ.
const LEEWAY: u64 = 60;
/// OpenID Connect Core, section 2.
const LONGEST_SUBJECT: usize = 255;
