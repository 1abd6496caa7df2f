//! What a program has to do that has taken another's place: reach the relay.

use std::path::{Path, PathBuf};

use tokio::time::timeout;

use super::{Kept, Swapped, Updater, put_back};

/// Whether the program that starts has something to show.
#[derive(Debug)]
pub struct Gate(Option<Swapped>);

impl Gate {
    /// Counts a start. Where there were too many without reaching a relay, the program before is back,
    /// and is given.
    pub fn at_start(state: &Path) -> Result<Self, PathBuf> {
        let mut kept = Kept::read(state);
        let Some(swapped) = &mut kept.swapped else { return Ok(Self(None)) };
        if swapped.to != crate::version() {
            // It was never exchanged, or by somebody else since.
            kept.swapped = None;
            keep(&kept, state);
            return Ok(Self(None));
        }
        swapped.starts += 1;
        let swapped = swapped.clone();
        keep(&kept, state);
        if swapped.starts > MOST_STARTS
            && let Some(before) = back(state)
        {
            return Err(before);
        }
        Ok(Self(Some(swapped)))
    }

    /// Completes when the program is what it should be; or when it has not reached a relay in time,
    /// with the program before, which is back in its place.
    pub(crate) async fn pass(self, updater: &Updater) -> Option<PathBuf> {
        let swapped = self.0?;
        if timeout(updater.settings.reach, updater.links.up()).await.is_err() {
            return back(&updater.state);
        }
        tracing::info!(version = %swapped.to, from = %swapped.from, "Updated");
        let mut kept = Kept::read(&updater.state);
        kept.swapped = None;
        keep(&kept, &updater.state);
        None
    }
}

fn back(state: &Path) -> Option<PathBuf> {
    match put_back(state) {
        Ok(Some(swapped)) => {
            let (version, back) = (&swapped.to, &swapped.from);
            tracing::error!(%version, %back, "This version did not reach the relay");
            Some(swapped.program)
        }
        Ok(None) => None,
        Err(error) => {
            tracing::error!(%error, "Could not put the version before back");
            None
        }
    }
}

fn keep(kept: &Kept, state: &Path) {
    if let Err(error) = kept.write(state) {
        tracing::warn!(%error, "Could not remember the update");
    }
}

/// Starts that a new program has.
const MOST_STARTS: u32 = 3;
