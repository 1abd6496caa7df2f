//! What a service manager is told, where there is one: `sd_notify(3)` of systemd.

use std::convert::Infallible;

use sd_notify::NotifyState;

/// Says that the program does what it is for.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// Says that the program ends, and takes its time to.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

/// Tells a service manager that watches for it (`WatchdogSec=` of systemd) three times in its period
/// that the program's tasks are run. Without one it never ends and does nothing.
pub async fn keep_alive() -> Infallible {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(period / 3);
    loop {
        ticks.tick().await;
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "Could not tell the service manager");
    }
}
