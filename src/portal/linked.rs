//! Users of ours as others know them: providers and directories, which vouch for somebody by an id of
//! their own.

use std::time::SystemTime;

use ::api::{Document, UserSpec};
use access::{Name, UserId};
use store::StoreError;

use crate::AppState;
use crate::api::{self, Actor, ApiError};

/// Somebody who is vouched for.
pub(super) struct Stranger<'a> {
    pub(super) issuer: &'a str,
    /// What stays theirs there.
    pub(super) subject: &'a str,
    /// What they are called, as a name of ours; else why that is none.
    pub(super) name: Result<Name, &'static str>,
    /// Whether our user of that name is them.
    pub(super) link: bool,
    /// Whether a user is made where there is none.
    pub(super) provision: bool,
}

/// Why no user of ours comes in by them.
pub(super) enum NotOurs {
    /// For the auditor, with the user that it is about.
    NoUser(&'static str, Option<Name>),
    /// One was made, and is gone already.
    Gone(Name),
    Disabled(Name),
    Store(StoreError),
    Failed(ApiError),
}

impl From<StoreError> for NotOurs {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ApiError> for NotOurs {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

/// Our user who a stranger is: by their own id. At the first time by name, or made, where the relay's
/// file says so.
pub(super) async fn ours(
    state: &AppState,
    actor: Actor,
    stranger: Stranger<'_>,
) -> Result<(UserId, Name), NotOurs> {
    let known = state.store.user_by_identity(stranger.issuer, stranger.subject).await?;
    let id = match known {
        Some(id) => id,
        // Once for each of them.
        None => Box::pin(linked(state, actor, stranger)).await?,
    };
    state.policy.refresh().await;
    let policy = state.policy.current();
    match policy.user(id) {
        Some(user) if user.machine => {
            Err(NotOurs::NoUser("the user is a machine", Some(user.name.clone())))
        }
        Some(user) if !user.enabled => Err(NotOurs::Disabled(user.name.clone())),
        Some(user) => Ok((user.id, user.name.clone())),
        None => Err(NotOurs::NoUser("its user is gone", None)),
    }
}

async fn linked(state: &AppState, actor: Actor, stranger: Stranger<'_>) -> Result<UserId, NotOurs> {
    let Stranger { issuer, subject, name, link, provision } = stranger;
    let name = name.map_err(|why| NotOurs::NoUser(why, None))?;
    let id = match state.store.user(&name).await? {
        Some(user) if link => user.id,
        Some(_) => return Err(NotOurs::NoUser("a user of that name is not linked", Some(name))),
        None if provision => made(state, actor, &name).await?,
        None => return Err(NotOurs::NoUser("there is no such user, and none is made", None)),
    };
    match state.store.link_identity((issuer, subject), id, SystemTime::now()).await? {
        true => Ok(id),
        false => Err(NotOurs::NoUser("the user is somebody else there", Some(name))),
    }
}

async fn made(state: &AppState, actor: Actor, name: &Name) -> Result<UserId, NotOurs> {
    let document = Document { users: vec![UserSpec::named(name.clone())], ..Document::default() };
    api::provision(state, actor, format!("user {name}"), &document).await?;
    let made = state.store.user(name).await?;
    made.map(|user| user.id).ok_or_else(|| NotOurs::Gone(name.clone()))
}
