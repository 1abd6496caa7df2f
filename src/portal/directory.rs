//! Whose password a directory has found right, as a user of ours.

use access::Name;
use secrecy::SecretString;
use session::AuthnError;

use super::asking::Asking;
use super::linked::{NotOurs, Stranger, ours};
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
    typed: &str,
    password: &SecretString,
) -> Result<Known, AuthnError> {
    let looking = async {
        let found = state.directories.find(typed, password).await.map_err(not_found)?;
        user(state, &found).await
    };
    state.authn.by_directory(typed, asking.from, looking).await
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

/// Our user who the directory's is.
async fn user(state: &AppState, found: &Found) -> Result<Known, NotVouched> {
    let Found { directory, person } = found;
    let issuer = directory.issuer();
    let stranger = Stranger {
        issuer: &issuer,
        subject: &person.id,
        name: name_of(&person.user).ok_or("its name is none of ours"),
        link: directory.link_users,
        provision: directory.provision,
    };
    let no = |detail: &str, user: Option<Name>| NotVouched {
        told: AuthnError::NoUser,
        detail: format!("{:?} of directory {}: {detail}", person.id, directory.name),
        user,
    };
    let known = ours(state, actor(directory), stranger).await.map_err(|not| match not {
        NotOurs::NoUser(detail, user) => no(detail, user),
        NotOurs::Gone(user) => no("the user is gone", Some(user)),
        NotOurs::Disabled(user) => {
            let (told, detail) =
                (AuthnError::UserDisabled, format!("by directory {}", directory.name));
            NotVouched { told, detail, user: Some(user) }
        }
        NotOurs::Store(error) => error.into(),
        NotOurs::Failed(error) => error.into(),
    });
    let (id, name) = known?;
    let is_theirs = |theirs: &str| person.is_in(theirs);
    let groups = &directory.groups;
    api::follow_groups(state, actor(directory), (id, &name), groups, is_theirs).await?;
    Ok(Known { user: id, name, how: How::Directory(directory.name.clone()) })
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
