//! Looking through directories, so that who is gone there is gone here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use access::text::in_full;
use store::IdentityRow;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::client::LdapError;
use super::{Directories, Person, groups, let_in, people, person};
use crate::AppState;
use crate::api::{self, Actor, ApiError, millis};
use crate::config::LdapDirectory;
use crate::owned::owned;

/// Looks through each directory as often as the file says, until `stop`.
pub(crate) async fn follow(state: AppState, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    for directory in state.directories.all.clone() {
        tasks.spawn(one(state.clone(), directory, stop.clone()));
    }
    owned(tasks, &stop, "directory").await;
}

async fn one(state: AppState, directory: LdapDirectory, stop: CancellationToken) {
    loop {
        if state.leads() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = look(&state, &directory) => {}
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(directory.sync) => {}
        }
    }
}

/// Looks through one. Where it does not answer nobody is taken for gone.
async fn look(state: &AppState, directory: &LdapDirectory) {
    let known = match state.store.identities(&directory.issuer()).await {
        Ok(known) => known,
        Err(error) => {
            tracing::warn!(%error, "Could not read who is in a directory");
            return;
        }
    };
    // Who was never signed in by it has nothing here that could end.
    if known.is_empty() {
        return;
    }
    let all: &Arc<Directories> = &state.directories;
    let looked = timeout(directory.sync.max(LEAST), read(directory, &known)).await;
    let now = millis(SystemTime::now());
    match looked.unwrap_or(Err(LdapError::Slow)) {
        Ok(there) => {
            all.note(&directory.name, |it| {
                (it.users, it.synced_ms, it.error) = (known.len() as u64, Some(now), None);
            });
            for row in known {
                settle(state, directory, &row, there.get(&row.subject)).await;
            }
        }
        Err(error) => {
            let error = in_full(&error);
            tracing::warn!(directory = %directory.name, error, "Could not look through a directory");
            all.note(&directory.name, |it| (it.failed_ms, it.error) = (Some(now), Some(error)));
        }
    }
}

/// Everybody of the directory's whom we know, by what stays theirs.
async fn read(
    directory: &LdapDirectory,
    known: &[IdentityRow],
) -> Result<BTreeMap<String, Person>, LdapError> {
    let mut line = let_in(directory).await?;
    let found = people(&mut line, directory, None, MOST_PEOPLE).await?;
    // A base that was mistyped, or rights that were taken away, must not end everybody's work.
    if found.is_empty() {
        return Err(LdapError::Nobody);
    }
    let mut there = BTreeMap::new();
    for entry in found {
        let Some(somebody) = person(directory, &entry, Vec::new()) else { continue };
        if known.iter().any(|row| row.subject == somebody.id) {
            let groups = groups(&mut line, directory, &entry).await?;
            there.insert(somebody.id.clone(), Person { groups, ..somebody });
        }
    }
    Ok(there)
}

/// Has one user be here what they are there.
async fn settle(
    state: &AppState,
    directory: &LdapDirectory,
    row: &IdentityRow,
    there: Option<&Person>,
) {
    let settled = match there {
        Some(person) if !person.disabled => present(state, directory, row, person).await,
        Some(_) | None => absent(state, directory, row).await,
    };
    if let Err(error) = settled {
        tracing::warn!(?error, user = %row.name, "Could not have a user be as a directory has them");
    }
}

async fn present(
    state: &AppState,
    directory: &LdapDirectory,
    row: &IdentityRow,
    person: &Person,
) -> Result<(), ApiError> {
    // Whom an admin has disabled stays so.
    if row.gone {
        api::set_enabled(state, actor(directory), &row.name, true).await?;
        state.store.set_gone(row.user, &directory.issuer(), false).await?;
    }
    let is_theirs = |theirs: &str| person.is_in(theirs);
    let user = (row.user, &row.name);
    api::follow_groups(state, actor(directory), user, &directory.groups, is_theirs).await
}

/// Ends whatever is open in the name of somebody who is gone.
async fn absent(
    state: &AppState,
    directory: &LdapDirectory,
    row: &IdentityRow,
) -> Result<(), ApiError> {
    if !row.enabled {
        return Ok(());
    }
    // First, so that a relay that dies here knows whom to let in again.
    state.store.set_gone(row.user, &directory.issuer(), true).await?;
    api::set_enabled(state, actor(directory), &row.name, false).await
}

pub(crate) fn actor(directory: &LdapDirectory) -> Actor {
    Actor::relay(&format!("directory {}", directory.name))
}

/// A relay knows fewer.
const MOST_PEOPLE: usize = 200_000;
const LEAST: std::time::Duration = std::time::Duration::from_secs(60);
