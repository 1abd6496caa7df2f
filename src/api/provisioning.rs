//! Users and groups as others say: made and changed in the name of who vouches for them, not of a
//! caller.

use std::net::IpAddr;
use std::time::SystemTime;

use access::{Name, UserId};
use api::Document;
use store::{Apply, Expected};

use super::change::{Actor, Intent, change, done};
use super::error::ApiError;
use crate::AppState;

/// Makes what a document describes, nothing of which may be there.
pub(crate) async fn provision(
    state: &AppState,
    by: &Name,
    from: IpAddr,
    object: String,
    document: &Document,
) -> Result<(), ApiError> {
    let how = Apply { create_only: true, ..Apply::default() };
    let act = async {
        let now = SystemTime::now();
        let changes = state.store.apply_to(&Expected::Anything, document, how, now).await?;
        Ok(((), changes))
    };
    let intent = Intent { action: "add", object };
    change(state, provider(by, from), intent, act).await.map(drop)
}

/// Puts a user in some groups and takes them out of others.
pub(crate) async fn set_groups(
    state: &AppState,
    by: &Name,
    from: IpAddr,
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
    change(state, provider(by, from), intent.clone(), act).await.map(drop)
}

fn provider(by: &Name, from: IpAddr) -> Actor {
    Actor::other(format!("provider {by}"), from)
}
