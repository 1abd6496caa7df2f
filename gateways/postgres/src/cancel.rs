//! Who may cancel what runs: each connection has a secret of our own, which leads to the server's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use tokio::sync::mpsc;

use crate::proto::Key;

/// The keys of the connections that are open. Servers choose process numbers, so several may have
/// the same.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    open: Mutex<HashMap<u32, Vec<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    secret: Vec<u8>,
    asked: mpsc::Sender<()>,
}

/// A connection's key, good for as long as it is held.
#[derive(Debug)]
pub(crate) struct Cancellable {
    keys: Arc<Keys>,
    pub(crate) key: Key,
    asked: mpsc::Receiver<()>,
}

impl Keys {
    /// A key for a new connection, which is told when somebody shows it. Clients know the server's
    /// process by it, as tools expect that look for it in `pg_stat_activity`. `None`: no randomness.
    pub(crate) fn issue(self: &Arc<Self>, process: u32, length: usize) -> Option<Cancellable> {
        let (sender, asked) = mpsc::channel(1);
        let mut secret = vec![0; length];
        let mut open = self.lock();
        let same = open.entry(process).or_default();
        loop {
            rand::fill(&mut secret).ok()?;
            if same.iter().all(|entry| entry.secret != secret) {
                break;
            }
        }
        same.push(Entry { secret: secret.clone(), asked: sender });
        drop(open);
        Some(Cancellable { keys: self.clone(), key: Key { process, secret }, asked })
    }

    /// Tells the connection whose key this is. Nobody learns whether there is one.
    pub(crate) fn show(&self, key: &Key) {
        let open = self.lock();
        let named = open.get(&key.process).into_iter().flatten();
        for entry in named {
            if verify_slices_are_equal(&entry.secret, &key.secret).is_ok() {
                // One that is on its way is enough.
                let _ = entry.asked.try_send(());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Vec<Entry>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cancellable {
    /// Completes when somebody has shown the key. Cancel-safe.
    pub(crate) async fn shown(&mut self) {
        if self.asked.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        let mut open = self.keys.lock();
        if let Some(same) = open.get_mut(&self.key.process) {
            same.retain(|entry| entry.secret != self.key.secret);
            if same.is_empty() {
                open.remove(&self.key.process);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_good_for_its_own_connection_while_that_is_open() {
        let keys = Arc::<Keys>::default();
        // Two servers that count alike.
        let (mut one, mut two) = (keys.issue(7, 4).unwrap(), keys.issue(7, 32).unwrap());
        let mut other = keys.issue(8, 4).unwrap();
        let asked = |cancellable: &mut Cancellable| cancellable.asked.try_recv().is_ok();
        keys.show(&Key { secret: one.key.secret[..3].to_vec(), ..one.key.clone() });
        keys.show(&Key { process: 8, ..one.key.clone() });
        keys.show(&Key { process: 9, ..one.key.clone() });
        assert!(!asked(&mut one) && !asked(&mut two) && !asked(&mut other));
        keys.show(&one.key);
        keys.show(&one.key);
        assert!(asked(&mut one) && !asked(&mut one) && !asked(&mut two) && !asked(&mut other));
        let key = one.key.clone();
        drop(one);
        keys.show(&key);
        keys.show(&two.key);
        assert!(asked(&mut two));
        drop((two, other));
        assert_eq!(keys.lock().len(), 0);
    }
}
