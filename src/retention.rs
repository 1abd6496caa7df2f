//! Deletes recordings once they were kept for as long as the settings `recording_days` and
//! `desktop_recording_days` say.

use std::time::{Duration, SystemTime};

use record::Since;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::AppState;

/// Looks once an hour, until `stop`.
pub(crate) async fn follow(state: AppState, stop: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = look(&state, SystemTime::now()) => {}
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(LOOK) => {}
        }
    }
}

/// What fails is tried again at the next look.
pub(crate) async fn look(state: &AppState, now: SystemTime) {
    let kept = match state.store.settings().await {
        Ok(settings) => settings,
        Err(error) => {
            tracing::warn!(%error, "Could not read for how long recordings are kept");
            return;
        }
    };
    let since = |life: Option<Duration>| life.and_then(|life| now.checked_sub(life));
    let desktops = since(kept.desktop_recording_life());
    let since = Since { desktops, others: since(kept.recording_life()) };
    match state.recordings.remove_before(since).await {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "Deleted recordings that were kept long enough"),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "Could not delete recordings that were kept long enough");
        }
    }
}

const LOOK: Duration = Duration::from_secs(3600);
