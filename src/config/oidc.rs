//! Who else vouches for users: OpenID providers.

use std::path::{Path, PathBuf};

use access::Name;
use axum::http::Uri;

use super::document::Section;

/// `[[oidc]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcProvider {
    /// In addresses and records.
    pub name: Name,
    /// What its button says.
    pub title: String,
    /// As the provider writes it, to the last slash.
    pub issuer: String,
    pub client_id: String,
    /// Absent: a public client, which has PKCE alone.
    pub client_secret_file: Option<PathBuf>,
    /// Who vouches for its web server; absent: the CAs this machine trusts.
    pub ca_file: Option<PathBuf>,
    /// Besides `openid`.
    pub scopes: Vec<String>,
    /// The claim that has the user's name.
    pub user_claim: String,
    /// Whether its user of a name is ours of that name, from their first sign-in on.
    pub link_users: bool,
    /// Whether users that are not there are made.
    pub provision: bool,
    pub groups_claim: String,
    /// Its groups, and ours that their members are in.
    pub groups: Vec<(String, Name)>,
}

pub(super) fn oidc(root: &mut Section<'_>, folder: &Path) -> Option<Vec<OidcProvider>> {
    root.named("oidc", MOST, |section| provider(section, folder), |provider| &provider.name)
}

fn provider(section: &mut Section<'_>, folder: &Path) -> Option<OidcProvider> {
    let name = section.text("name", NAME, |text| text.parse::<Name>().ok());
    let title = section.text("title", TITLE, |text| short(text, 64));
    let issuer = section.text("issuer", ISSUER, issuer);
    let client_id = section.text("client_id", CLIENT, |text| short(text, 256));
    let secret = section.text("client_secret_file", FILE, file);
    let ca_file = section.text("ca_file", FILE, file);
    let scopes = section.texts("scopes", SCOPE, scope);
    let user_claim = section.text("user_claim", CLAIM, |text| short(text, 128));
    let link_users = section.flag("link_users");
    let provision = section.flag("provision");
    let groups_claim = section.text("groups_claim", CLAIM, |text| short(text, 128));
    let groups = section.texts("groups", GROUPS, mapped);
    let name = section.required("name", NAME, name);
    let issuer = section.required("issuer", ISSUER, issuer);
    let client_id = section.required("client_id", CLIENT, client_id);
    let name = name?;
    Some(OidcProvider {
        title: title?.unwrap_or_else(|| format!("Sign in with {name}")),
        name,
        issuer: issuer?,
        client_id: client_id?,
        client_secret_file: secret?.map(|file| folder.join(file)),
        ca_file: ca_file?.map(|file| folder.join(file)),
        scopes: scopes?.unwrap_or_else(|| vec!["profile".to_owned()]),
        user_claim: user_claim?.unwrap_or_else(|| "preferred_username".to_owned()),
        link_users: link_users?.unwrap_or(false),
        provision: provision?.unwrap_or(false),
        groups_claim: groups_claim?.unwrap_or_else(|| "groups".to_owned()),
        groups: groups?.unwrap_or_default(),
    })
}

fn issuer(text: &str) -> Option<String> {
    let url: Uri = text.parse().ok()?;
    let bare = url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    let good = url.scheme_str() == Some("https") && url.query().is_none() && bare;
    (good && !text.contains('#')).then(|| text.to_owned())
}

fn scope(text: &str) -> Option<String> {
    let good = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    (!text.is_empty() && text.bytes().all(good)).then(|| text.to_owned())
}

pub(super) fn mapped(text: &str) -> Option<(String, Name)> {
    let (theirs, ours) = text.rsplit_once('=')?;
    Some((short(theirs.trim(), 256)?, ours.trim().parse().ok()?))
}

pub(super) fn short(text: &str, most: usize) -> Option<String> {
    let fits = !text.is_empty() && text.chars().count() <= most;
    (fits && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

fn file(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

const MOST: usize = 16;
const NAME: &str = "a name of lower-case letters, digits and dashes";
const TITLE: &str = "what the button says, 64 characters at most";
const ISSUER: &str = "the issuer's URL as it writes it itself, such as https://login.example.com";
const CLIENT: &str = "the relay's client id at the provider";
const FILE: &str = "the path of a file";
const SCOPE: &str = "a scope such as profile";
const CLAIM: &str = "the name of a claim";
const GROUPS: &str = "\"theirs=ours\": a group of the provider's and one of the relay's";
