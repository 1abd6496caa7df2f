//! Who else knows people's passwords: directories that speak LDAP.

use std::path::{Path, PathBuf};
use std::time::Duration;

use access::Name;
use axum::http::Uri;

use super::audit::{FILE, TlsFiles, a_path, server, tls_files};
use super::document::Section;
use super::oidc::{mapped, short};

/// `[[ldap]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapDirectory {
    /// In records, and by which its users are remembered.
    pub name: Name,
    pub host: String,
    pub port: u16,
    /// By StartTLS, without which nothing is said; else TLS from the first byte on.
    pub start_tls: bool,
    pub tls: TlsFiles,
    /// As whom the relay looks people up.
    pub bind_dn: String,
    pub bind_password_file: PathBuf,
    /// Below which people are.
    pub base: String,
    /// Which of them count.
    pub object_class: String,
    /// The attribute that has what they type for their name.
    pub user_attribute: String,
    /// The attribute that stays theirs, whatever they are called.
    pub id_attribute: String,
    /// Below which groups are that list their members; absent: people list their groups (`memberOf`).
    pub group_base: Option<String>,
    /// Its groups, and ours that their members are in.
    pub groups: Vec<(String, Name)>,
    /// Whether its user of a name is ours of that name, from their first sign-in on.
    pub link_users: bool,
    /// Whether users that are not there are made.
    pub provision: bool,
    /// How long somebody who is gone there may still be here.
    pub sync: Duration,
}

pub(super) fn ldap(root: &mut Section<'_>, folder: &Path) -> Option<Vec<LdapDirectory>> {
    root.named("ldap", MOST, |section| directory(section, folder), |directory| &directory.name)
}

fn directory(section: &mut Section<'_>, folder: &Path) -> Option<LdapDirectory> {
    let name = section.text("name", NAME, |text| text.parse::<Name>().ok());
    let name = section.required("name", NAME, name);
    let kind = section.text("kind", KIND, |text| KINDS.iter().find(|kind| kind.0 == text));
    let url = section.secret("url", URL, |text| server(text, scheme));
    let url = section.required("url", URL, url);
    let tls = tls_files(section, folder);
    let bind_dn = section.text("bind_dn", DN, |text| short(text, 1024));
    let bind_dn = section.required("bind_dn", DN, bind_dn);
    let password = section.text("bind_password_file", FILE, |text| a_path(text, folder));
    let password = section.required("bind_password_file", FILE, password);
    let base = section.text("base", DN, |text| short(text, 1024));
    let base = section.required("base", DN, base);
    let object_class = section.text("object_class", ATTRIBUTE, attribute);
    let user_attribute = section.text("user_attribute", ATTRIBUTE, attribute);
    let id_attribute = section.text("id_attribute", ATTRIBUTE, attribute);
    let group_base = section.text("group_base", DN, |text| short(text, 1024));
    let groups = section.texts("groups", GROUPS, mapped);
    let link_users = section.flag("link_users");
    let provision = section.flag("provision");
    let sync = section.count("sync_minutes", 1..=1440);
    let (_, usual_class, usual_user, usual_id) = kind?.unwrap_or(&KINDS[0]);
    let (host, port, start_tls) = url?;
    Some(LdapDirectory {
        name: name?,
        host,
        port,
        start_tls,
        tls: tls?,
        bind_dn: bind_dn?,
        bind_password_file: password?,
        base: base?,
        object_class: object_class?.unwrap_or_else(|| (*usual_class).to_owned()),
        user_attribute: user_attribute?.unwrap_or_else(|| (*usual_user).to_owned()),
        id_attribute: id_attribute?.unwrap_or_else(|| (*usual_id).to_owned()),
        group_base: group_base?,
        groups: groups?.unwrap_or_default(),
        link_users: link_users?.unwrap_or(false),
        provision: provision?.unwrap_or(false),
        sync: Duration::from_secs(60 * sync?.map_or(5, |minutes| minutes as u64)),
    })
}

/// Whether it is StartTLS.
fn scheme(url: &Uri) -> Option<(bool, u16)> {
    match url.scheme_str()? {
        "ldaps" => Some((false, 636)),
        "ldap" => Some((true, 389)),
        _ => None,
    }
}

fn attribute(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-;.".contains(c);
    ((1..=128).contains(&text.len()) && text.chars().all(plain)).then(|| text.to_owned())
}

/// What is usual where: the class of people, the attributes of what they type and of what stays theirs.
const KINDS: [(&str, &str, &str, &str); 2] = [
    ("ldap", "person", "uid", "entryUUID"),
    ("active-directory", "user", "sAMAccountName", "objectGUID"),
];
const MOST: usize = 4;
const NAME: &str = "a name of lower-case letters, digits and dashes";
const KIND: &str = "ldap or active-directory";
const URL: &str = "ldaps://host or ldap://host (StartTLS), without a password";
const DN: &str = "a distinguished name such as ou=people,dc=example,dc=com";
const ATTRIBUTE: &str = "a name of the directory's schema such as uid";
const GROUPS: &str = "\"theirs=ours\": a group of the directory's and one of the relay's";
