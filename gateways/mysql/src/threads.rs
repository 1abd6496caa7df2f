//! The numbers by which `KILL` knows connections: each has one of ours, which its client was given
//! before its server was known, and the server's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::{ApplicationId, Name};

use crate::accounts::Own;

/// The connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    given: AtomicU32,
    open: Mutex<HashMap<u32, Thread>>,
}

/// Who has a connection, and to what.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) user: Name,
    pub(crate) application: ApplicationId,
    /// The server's number for it.
    pub(crate) server: u32,
    /// The account that this connection has to itself, if it has.
    pub(crate) own: Option<Arc<Own>>,
}

/// A connection that is known to others, as long as this is held.
#[derive(Debug)]
pub(crate) struct Known {
    threads: Arc<Threads>,
    ours: u32,
    thread: Thread,
}

impl Threads {
    /// A number for a client that has just come.
    pub(crate) fn give(&self) -> u32 {
        FIRST | self.given.fetch_add(1, Relaxed) & LAST
    }

    pub(crate) fn know(self: &Arc<Self>, ours: u32, thread: Thread) -> Known {
        self.lock().insert(ours, thread.clone());
        Known { threads: self.clone(), ours, thread }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Thread>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// A connection that the same user has to the same application, by our number or the server's own;
    /// `None`: it is somebody else's, or none.
    pub(crate) fn sibling(&self, number: u64) -> Option<Thread> {
        let number = u32::try_from(number).ok()?;
        let Thread { user, application, .. } = &self.thread;
        let mine = |thread: &&Thread| thread.user == *user && thread.application == *application;
        let open = self.threads.lock();
        match open.get(&number) {
            Some(thread) => Some(thread).filter(mine).cloned(),
            None => {
                let mut all = open.values().filter(mine);
                all.find(|thread| thread.server == number).cloned()
            }
        }
    }

    /// Whether this is the connection itself.
    pub(crate) fn is(&self, thread: &Thread) -> bool {
        self.thread.server == thread.server
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.threads.lock().remove(&self.ours);
    }
}

/// Ours are far from a server's, which counts from one.
const FIRST: u32 = 1 << 30;
const LAST: u32 = FIRST - 1;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_number_means_a_connection_of_the_same_user_to_the_same_application_only() {
        let threads = Arc::<Threads>::default();
        let (orders, other) =
            (ApplicationId(Uuid::from_u128(1)), ApplicationId(Uuid::from_u128(2)));
        let know = |user: &str, application, server| {
            let user = user.parse().unwrap();
            threads.know(threads.give(), Thread { user, application, server, own: None })
        };
        let one = know("alice", orders, 7);
        let (two, bobs) = (know("alice", orders, 8), know("bob", orders, 9));
        let elsewhere = know("alice", other, 8);
        let number = |number| one.sibling(number).map(|thread| thread.server);
        let meant = |known: &Known| number(known.ours.into());
        assert_eq!((meant(&one), meant(&two)), (Some(7), Some(8)));
        assert_eq!((meant(&bobs), meant(&elsewhere)), (None, None));
        assert_eq!((number(8), number(9), number(1)), (Some(8), None, None));
        assert_eq!(number(u64::from(u32::MAX) + 9), None);
        let gone = two.ours;
        drop(two);
        assert_eq!((number(gone.into()), number(8)), (None, None));
    }
}
