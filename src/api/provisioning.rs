//! Users and groups as others say: made and changed in the name of a provider or a provisioner, not of
//! a caller.

use std::time::SystemTime;

use access::{Name, UserId};
use api::Document;
use store::{Apply, Expected, Object};

use super::change::{Actor, Intent, change, done};
use super::error::ApiError;
use crate::AppState;

/// Makes what a document describes, nothing of which may be there.
pub(crate) async fn provision(
    state: &AppState,
    actor: Actor,
    object: String,
    document: &Document,
) -> Result<(), ApiError> {
    let how = Apply { create_only: true, ..Apply::default() };
    let act = async {
        let now = SystemTime::now();
        let changes = state.store.apply_to(&Expected::Anything, document, how, now).await?;
        Ok(((), changes))
    };
    change(state, actor, Intent { action: "add", object }, act).await.map(drop)
}

/// Has a user be in those of our groups that a map names for theirs elsewhere, and in none of the others
/// that it names. Without a map nothing changes.
pub(crate) async fn follow_groups(
    state: &AppState,
    actor: Actor,
    user: (UserId, &Name),
    map: &[(String, Name)],
    is_theirs: impl Fn(&str) -> bool,
) -> Result<(), ApiError> {
    if map.is_empty() {
        return Ok(());
    }
    let is_in = |ours: &Name| map.iter().any(|(theirs, our)| our == ours && is_theirs(theirs));
    let (within, without): (Vec<Name>, Vec<Name>) =
        map.iter().map(|(_, ours)| ours.clone()).partition(is_in);
    set_groups(state, actor, user, (&within, &without)).await
}

/// Puts a user in some groups and takes them out of others.
pub(crate) async fn set_groups(
    state: &AppState,
    actor: Actor,
    (user, name): (UserId, &Name),
    (within, without): (&[Name], &[Name]),
) -> Result<(), ApiError> {
    let intent = Intent { action: "set_groups", object: format!("user {name}") };
    let act = async {
        let (joined, left) = state.store.set_memberships(user, within, without).await?;
        let told = |names: &[Name], sign: &str| {
            names.iter().map(|name| format!("{sign}{name}")).collect::<Vec<_>>()
        };
        let all = [told(&joined, "+"), told(&left, "-")].concat().join(" ");
        let changes = if all.is_empty() { Vec::new() } else { vec![done(&intent, all)] };
        Ok(((), changes))
    };
    change(state, actor, intent.clone(), act).await.map(drop)
}

/// Enables or disables a user; with the latter all that is open in their name ends.
pub(crate) async fn set_enabled(
    state: &AppState,
    actor: Actor,
    name: &Name,
    enabled: bool,
) -> Result<(), ApiError> {
    let action = if enabled { "enable" } else { "disable" };
    let intent = Intent { action, object: format!("user {name}") };
    let act = async {
        state.store.set_enabled(name, enabled).await?;
        Ok(((), vec![done(&intent, "")]))
    };
    change(state, actor, intent.clone(), act).await.map(drop)
}

/// Removes a user or a group.
pub(crate) async fn remove(
    state: &AppState,
    actor: Actor,
    object: String,
    what: Object,
) -> Result<(), ApiError> {
    let act = async { Ok(((), state.store.remove(what).await?)) };
    change(state, actor, Intent { action: "remove", object }, act).await.map(drop)
}
