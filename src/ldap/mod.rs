//! Directories that speak LDAP: people sign in with their passwords there, and what they are there is
//! looked at again and again, so that who is gone there is gone here within a bound.
//!
//! INVARIANT: a password is shown to a directory whose certificate was checked, and to no other. While
//! a directory does not answer its users do not sign in; those who have a password here do.

mod ber;
mod client;
mod sync;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::Name;
use api::DirectoryRow;
use client::{Connection, Entry, Filter, LdapError, Search};
use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub(crate) use sync::{actor, follow};

use crate::config::LdapDirectory;
use crate::deliver;

/// The directories of the relay's file.
pub struct Directories {
    all: Vec<LdapDirectory>,
    /// Sign-ins under way, at all of them.
    at_once: Arc<Semaphore>,
    standings: Mutex<BTreeMap<Name, Standing>>,
}

/// How a directory was when it was last looked through.
#[derive(Clone, Debug, Default)]
struct Standing {
    users: u64,
    synced_ms: Option<u64>,
    failed_ms: Option<u64>,
    error: Option<String>,
}

/// Somebody whose password a directory has found right.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) directory: LdapDirectory,
    pub(crate) person: Person,
}

/// Somebody as a directory has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// What stays theirs.
    pub(crate) id: String,
    pub(crate) user: String,
    /// Whether the directory says that they are not to be let in.
    pub(crate) disabled: bool,
    /// The groups of the directory's, by their distinguished names.
    pub(crate) groups: Vec<String>,
}

/// Why nobody was found.
#[derive(Debug)]
pub(crate) enum NotFound {
    /// For the auditor; who tries is told what everybody is.
    Wrong(String),
    Disabled(String),
    /// No directory has said no, and one has not answered.
    Away(LdapError),
    Busy,
}

impl Directories {
    pub(crate) fn new(all: Vec<LdapDirectory>) -> Arc<Self> {
        let at_once = Arc::new(Semaphore::new(AT_ONCE));
        Arc::new(Self { all, at_once, standings: Mutex::default() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whose password this is, by the first directory that knows the name.
    pub(crate) async fn find(
        &self,
        typed: &str,
        password: &SecretString,
    ) -> Result<Found, NotFound> {
        let typed = typed.trim();
        let fits = (1..=LONGEST_NAME).contains(&typed.len());
        if !fits || typed.chars().any(char::is_control) {
            return Err(NotFound::Wrong("no name of a directory's".to_owned()));
        }
        let length = password.expose_secret().len();
        if !(1..=LONGEST_PASSWORD).contains(&length) {
            return Err(NotFound::Wrong("no password of a directory's".to_owned()));
        }
        let Ok(Ok(_permit)) = timeout(DEADLINE, self.at_once.acquire()).await else {
            return Err(NotFound::Busy);
        };
        for directory in &self.all {
            let looked = timeout(DEADLINE, check(directory, typed, password)).await;
            match looked.unwrap_or(Err(LdapError::Slow)) {
                Ok(Checked::Unknown) => {}
                Ok(Checked::Right(person)) if person.disabled => {
                    return Err(NotFound::Disabled(format!("by directory {}", directory.name)));
                }
                Ok(Checked::Right(person)) => {
                    return Ok(Found { directory: directory.clone(), person });
                }
                Ok(Checked::Wrong(detail)) => {
                    return Err(NotFound::Wrong(format!("directory {}: {detail}", directory.name)));
                }
                // Whoever is there and not here must not be taken for somebody of the next.
                Err(error) => return Err(NotFound::Away(error)),
            }
        }
        Err(NotFound::Wrong("no directory knows the name".to_owned()))
    }

    /// How each is, and was when it was last looked through.
    pub(crate) fn list(&self) -> Vec<DirectoryRow> {
        let standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        let each = self.all.iter().map(|directory| {
            let it = standings.get(&directory.name).cloned().unwrap_or_default();
            let scheme = if directory.start_tls { "ldap" } else { "ldaps" };
            DirectoryRow {
                name: directory.name.clone(),
                url: format!("{scheme}://{}:{}", directory.host, directory.port),
                users: it.users,
                synced_ms: it.synced_ms,
                failed_ms: it.failed_ms,
                error: it.error,
            }
        });
        each.collect()
    }

    fn note(&self, directory: &Name, how: impl FnOnce(&mut Standing)) {
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        how(standings.entry(directory.clone()).or_default());
    }
}

/// What a directory says of a name and a password.
enum Checked {
    Right(Person),
    Wrong(String),
    Unknown,
}

async fn check(
    directory: &LdapDirectory,
    typed: &str,
    password: &SecretString,
) -> Result<Checked, LdapError> {
    let mut line = let_in(directory).await?;
    let named = Filter::Equal(&directory.user_attribute, typed.as_bytes());
    let mut found = people(&mut line, directory, Some(named), 2).await?;
    let Some(entry) = found.pop() else { return Ok(Checked::Unknown) };
    if !found.is_empty() {
        return Ok(Checked::Wrong("several have that name".to_owned()));
    }
    let groups = groups(&mut line, directory, &entry).await?;
    let Some(person) = person(directory, &entry, groups) else {
        let missing = &directory.id_attribute;
        return Ok(Checked::Wrong(format!("{:?} has no {missing}", entry.dn)));
    };
    match line.bind(&entry.dn, password.expose_secret()).await? {
        Ok(()) => Ok(Checked::Right(person)),
        Err(told) => Ok(Checked::Wrong(told.to_string())),
    }
}

/// A connection that may look people up.
async fn let_in(directory: &LdapDirectory) -> Result<Connection, LdapError> {
    let mut line = Connection::open(directory).await?;
    let password = deliver::read(&directory.bind_password_file);
    let password = password.map_err(|source| LdapError::Line { source })?;
    let bound = line.bind(&directory.bind_dn, password.trim()).await?;
    bound.map_err(LdapError::NotLetIn)?;
    Ok(line)
}

async fn people(
    line: &mut Connection,
    directory: &LdapDirectory,
    named: Option<Filter<'_>>,
    most: usize,
) -> Result<Vec<Entry>, LdapError> {
    let class = Filter::Equal("objectClass", directory.object_class.as_bytes());
    let LdapDirectory { user_attribute, id_attribute, .. } = directory;
    let attributes: Vec<&str> =
        [user_attribute.as_str(), id_attribute].into_iter().chain(STATES).collect();
    let filter = Filter::All([class].into_iter().chain(named).collect());
    let search = Search { base: &directory.base, filter, attributes: &attributes };
    line.search(&search, most).await
}

/// The groups that somebody is in, as far as any matter.
async fn groups(
    line: &mut Connection,
    directory: &LdapDirectory,
    entry: &Entry,
) -> Result<Vec<String>, LdapError> {
    let Some(base) = directory.group_base.as_ref().filter(|_| !directory.groups.is_empty()) else {
        let listed = entry.values("memberOf").iter();
        return Ok(listed.map(|dn| String::from_utf8_lossy(dn).into_owned()).collect());
    };
    let user = entry.text(&directory.user_attribute).unwrap_or_default();
    let filter = Filter::Any(vec![
        Filter::Equal("member", entry.dn.as_bytes()),
        Filter::Equal("uniqueMember", entry.dn.as_bytes()),
        Filter::Equal("memberUid", user.as_bytes()),
    ]);
    let found = line.search(&Search { base, filter, attributes: &["cn"] }, MOST_GROUPS).await?;
    Ok(found.into_iter().map(|group| group.dn).collect())
}

fn person(directory: &LdapDirectory, entry: &Entry, groups: Vec<String>) -> Option<Person> {
    let id = entry.values(&directory.id_attribute).first().filter(|id| !id.is_empty())?;
    // Active Directory's are bytes.
    let id = match std::str::from_utf8(id) {
        Ok(text) if text.chars().all(|c| c.is_ascii_graphic()) => text.to_owned(),
        Ok(_) | Err(_) => HEXLOWER.encode(id),
    };
    let user = entry.text(&directory.user_attribute)?.to_owned();
    Some(Person { id, user, disabled: is_disabled(entry), groups })
}

/// Whether an account is switched off: in Active Directory, in 389 Directory Server, or by a
/// password policy of OpenLDAP's.
fn is_disabled(entry: &Entry) -> bool {
    let control = entry.text("userAccountControl").and_then(|text| text.parse::<u32>().ok());
    let locked = entry.text("nsAccountLock").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let for_ever = entry.text("pwdAccountLockedTime") == Some("000001010000Z");
    control.is_some_and(|control| control & ACCOUNT_DISABLE != 0) || locked || for_ever
}

impl LdapDirectory {
    /// By which its users are remembered.
    pub(crate) fn issuer(&self) -> String {
        format!("ldap:{}", self.name)
    }
}

impl Person {
    /// By a group's distinguished name, or by the value of its first part.
    pub(crate) fn is_in(&self, theirs: &str) -> bool {
        let first = |dn: &str| {
            let part = dn.split(',').next().unwrap_or_default();
            part.split_once('=').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let same =
            |dn: &String| dn.eq_ignore_ascii_case(theirs) || first(dn).eq_ignore_ascii_case(theirs);
        self.groups.iter().any(same)
    }
}

/// What says how an account is, whichever directory it is in.
const STATES: [&str; 4] =
    ["memberOf", "userAccountControl", "nsAccountLock", "pwdAccountLockedTime"];
const ACCOUNT_DISABLE: u32 = 2;
const AT_ONCE: usize = 16;
/// For one directory, from the first byte to its word on a password.
const DEADLINE: Duration = Duration::from_secs(10);
const LONGEST_NAME: usize = 256;
const LONGEST_PASSWORD: usize = 1024;
/// Of one person's.
const MOST_GROUPS: usize = 1000;
