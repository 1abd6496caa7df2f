//! Memory: what a crowd has left behind goes back to the kernel, and near the limit nothing new
//! begins.
//!
//! The allocator keeps what is freed between pieces that are still in use. After two thousand
//! strangers at a door that is a hundred megabytes, for as long as the relay runs.

mod room;

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use room::Room;

/// Tells `changed` when memory becomes short, and when it no longer is. The kernel ends a process
/// at its limit, with every session in it, so nothing new may begin before that.
pub(crate) async fn keep_room(changed: impl Fn(bool)) -> Infallible {
    let mut short = false;
    loop {
        let room = Room::here();
        let now = room.is_some_and(|room| room.is_short(short));
        if now != short {
            short = now;
            let (limit, used) = room.map_or((0, 0), |room| (room.limit, room.used));
            tracing::warn!(short, used, limit, "Memory");
            changed(short);
        }
        if short {
            drop(tokio::task::spawn_blocking(trim).await);
        }
        sleep(LOOK).await;
    }
}

/// Looks now and then whether much was freed, and gives it back.
pub(crate) async fn give_back() -> Infallible {
    let mut kept = Kept::default();
    loop {
        sleep(EVERY).await;
        if kept.grew_to(free()) {
            // It holds each of the allocator's locks for a moment; no connection waits for us here.
            drop(tokio::task::spawn_blocking(trim).await);
        }
    }
}

/// The least that was free since memory was last given back. The allocator goes on calling it free
/// then, so only what is freed beyond it is worth another look.
#[derive(Default)]
struct Kept(Option<usize>);

impl Kept {
    fn grew_to(&mut self, free: usize) -> bool {
        let least = self.0.unwrap_or(free).min(free);
        let much = free - least >= MUCH;
        self.0 = Some(if much { free } else { least });
        much
    }
}

/// Bytes the allocator holds that nobody uses.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the standard library does not know the allocator")]
fn free() -> usize {
    // SAFETY: takes nothing and returns numbers; the allocator locks itself.
    unsafe { libc::mallinfo2() }.fordblks
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the standard library does not know the allocator")]
fn trim() {
    // SAFETY: gives back only pages in which nothing is allocated; the allocator locks itself.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn free() -> usize {
    0
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

const EVERY: Duration = Duration::from_secs(2);
/// A look costs some files of the kernel's; between two, a crowd takes less than the reserve.
const LOOK: Duration = Duration::from_millis(250);
const MUCH: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_for_each_crowd() {
        let mut kept = Kept::default();
        let mib = |n: usize| n << 20;
        let seen = [20, 23, 100, 100, 101, 5, 6, 100].map(|free| kept.grew_to(mib(free)));
        assert_eq!(seen, [false, false, true, false, false, false, false, true]);
    }
}
