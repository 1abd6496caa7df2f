//! Whose password a directory has found right, as a user of ours.

use ::api::{Document, UserSpec};
use access::Name;
use secrecy::SecretString;
use session::AuthnError;

use super::asking::Asking;
use super::oidc::name_of;
use crate::AppState;
use crate::api::{self, ApiError};
use crate::authn::{How, Known, NotVouched};
use crate::ldap::{Found, NotFound, actor};

/// Asks the directories about a name and a password. All that is wrong with either is told alike, and
/// as slowly as of passwords that are kept here.
pub(super) async fn ask(
    state: &AppState,
    asking: &Asking,
    user: &str,
    password: &SecretString,
) -> Result<Known, AuthnError> {
    let looking = async {
        let found = state.directories.find(user, password).await.map_err(not_found)?;
        ours(state, &found).await
    };
    state.authn.by_directory(user, asking.from, looking).await
}

fn not_found(why: NotFound) -> NotVouched {
    let (told, detail) = match why {
        NotFound::Wrong(detail) => (AuthnError::Password, detail),
        NotFound::Disabled(detail) => (AuthnError::UserDisabled, detail),
        NotFound::Away(error) => (AuthnError::Unavailable, access::text::in_full(&error)),
        NotFound::Busy => (AuthnError::Unavailable, "too many sign in at directories".to_owned()),
    };
    NotVouched { told, detail, user: None }
}

/// Our user who the directory's is: by what stays theirs there. At the first time by name, or made,
/// where the relay's file says so.
async fn ours(state: &AppState, found: &Found) -> Result<Known, NotVouched> {
    let Found { directory, person } = found;
    let no = |detail: &str, user: Option<&Name>| NotVouched {
        told: AuthnError::NoUser,
        detail: format!("{:?} of directory {}: {detail}", person.id, directory.name),
        user: user.cloned(),
    };
    let issuer = directory.issuer();
    let id = match state.store.user_by_identity(&issuer, &person.id).await? {
        Some(id) => id,
        None => {
            let name = name_of(&person.user).ok_or_else(|| no("its name is none of ours", None))?;
            let id = match state.store.user(&name).await? {
                Some(user) if directory.link_users => user.id,
                Some(_) => return Err(no("a user of that name is not linked", Some(&name))),
                None if directory.provision => {
                    let users = vec![UserSpec::named(name.clone())];
                    let document = Document { users, ..Document::default() };
                    let object = format!("user {name}");
                    api::provision(state, actor(directory), object, &document).await?;
                    let made = state.store.user(&name).await?;
                    made.ok_or_else(|| no("the user is gone", Some(&name)))?.id
                }
                None => return Err(no("there is no such user, and none is made", None)),
            };
            let (pair, now) = ((issuer.as_str(), person.id.as_str()), std::time::SystemTime::now());
            match state.store.link_identity(pair, id, now).await? {
                true => id,
                false => return Err(no("the user is somebody else there", Some(&name))),
            }
        }
    };
    state.policy.refresh().await;
    let policy = state.policy.current();
    let user = policy.user(id).ok_or_else(|| no("its user is gone", None))?;
    if user.machine {
        return Err(no("the user is a machine", Some(&user.name)));
    }
    if !user.enabled {
        let detail = format!("by directory {}", directory.name);
        let (told, user) = (AuthnError::UserDisabled, Some(user.name.clone()));
        return Err(NotVouched { told, detail, user });
    }
    if !directory.groups.is_empty() {
        let (within, without) = directory.ours(person);
        let groups = (within.as_slice(), without.as_slice());
        api::set_groups(state, actor(directory), (id, &user.name), groups).await?;
    }
    let how = How::Directory(directory.name.clone());
    Ok(Known { user: id, name: user.name.clone(), how })
}

impl From<store::StoreError> for NotVouched {
    fn from(error: store::StoreError) -> Self {
        let (told, detail) = (AuthnError::Unavailable, access::text::in_full(&error));
        Self { told, detail, user: None }
    }
}

impl From<ApiError> for NotVouched {
    fn from(error: ApiError) -> Self {
        let (told, detail) = (AuthnError::Unavailable, format!("{error:?}"));
        Self { told, detail, user: None }
    }
}
