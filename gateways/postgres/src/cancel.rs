//! Who may cancel what runs: each connection has a key of our own, which leads to the server's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use tokio::sync::mpsc;

use crate::proto::Key;

/// The keys of the connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    open: Mutex<HashMap<u32, Entry>>,
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
    /// A key for a new connection, which is told when somebody shows it. `None`: no randomness.
    pub(crate) fn issue(self: &Arc<Self>, length: usize) -> Option<Cancellable> {
        let mut secret = vec![0; length];
        rand::fill(&mut secret).ok()?;
        let (sender, asked) = mpsc::channel(1);
        let mut open = self.lock();
        let process = loop {
            let mut process = [0; 4];
            rand::fill(&mut process).ok()?;
            // Process ids are positive, and some drivers hold them so.
            let process = u32::from_be_bytes(process) >> 1;
            if process != 0 && !open.contains_key(&process) {
                break process;
            }
        };
        open.insert(process, Entry { secret: secret.clone(), asked: sender });
        drop(open);
        Some(Cancellable { keys: self.clone(), key: Key { process, secret }, asked })
    }

    /// Tells the connection whose key this is. Nobody learns whether there is one.
    pub(crate) fn show(&self, key: &Key) {
        let open = self.lock();
        let Some(entry) = open.get(&key.process) else { return };
        if verify_slices_are_equal(&entry.secret, &key.secret).is_ok() {
            // One that is on its way is enough.
            let _ = entry.asked.try_send(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Entry>> {
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
        self.keys.lock().remove(&self.key.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_good_for_its_own_connection_while_that_is_open() {
        let keys = Arc::<Keys>::default();
        let (mut one, mut two) = (keys.issue(4).unwrap(), keys.issue(32).unwrap());
        assert_ne!(one.key, two.key);
        let asked = |cancellable: &mut Cancellable| cancellable.asked.try_recv().is_ok();
        keys.show(&Key { secret: two.key.secret.clone(), ..one.key.clone() });
        keys.show(&Key { secret: one.key.secret[..3].to_vec(), ..one.key.clone() });
        keys.show(&Key { process: one.key.process ^ 1, ..one.key.clone() });
        assert!(!asked(&mut one) && !asked(&mut two));
        keys.show(&one.key);
        keys.show(&one.key);
        assert!(asked(&mut one) && !asked(&mut one) && !asked(&mut two));
        let key = one.key.clone();
        drop(one);
        keys.show(&key);
        assert_eq!(keys.lock().len(), 1);
    }
}
