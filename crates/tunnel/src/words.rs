//! What admins had to say to the users of sessions that they ended: on its way to the peer, or come from
//! it.

use std::collections::VecDeque;
use std::sync::Arc;

use access::SessionId;
use tokio::sync::watch;

/// Words by their sessions, the last ones. Nothing waits for whoever does not take them.
pub(crate) struct Words(watch::Sender<VecDeque<Said>>);

pub(crate) type Said = (SessionId, Arc<str>);

impl Words {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::default())
    }

    pub(crate) fn add(&self, said: Said) {
        self.0.send_modify(|words| {
            words.push_back(said);
            if words.len() > MOST {
                words.pop_front();
            }
        });
    }

    /// Wakes once there is something new.
    pub(crate) fn subscribe(&self) -> watch::Receiver<VecDeque<Said>> {
        self.0.subscribe()
    }

    /// All there are, which are then no more.
    pub(crate) fn take(&self) -> VecDeque<Said> {
        let mut taken = VecDeque::new();
        self.0.send_if_modified(|words| {
            std::mem::swap(words, &mut taken);
            false
        });
        taken
    }

    /// Those of a session, once they have come.
    pub(crate) async fn of(&self, session: SessionId) -> Option<Arc<str>> {
        let mut words = self.0.subscribe();
        let find = |all: &VecDeque<Said>| all.iter().find(|(of, _)| *of == session).cloned();
        let all = words.wait_for(|all| find(all).is_some()).await.ok()?;
        find(&all).map(|(_, words)| words)
    }
}

/// Sessions that many can end in one moment; of more the first ones go without words.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn words_are_those_of_their_session_whenever_they_come() {
        let words = Words::new();
        let [first, second] = [1, 2].map(session);
        let later = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            words.add((first, "back at five".into()));
        };
        let (told, ()) = tokio::join!(words.of(first), later);
        assert_eq!(told.as_deref(), Some("back at five"));
        assert_eq!(words.of(first).await.as_deref(), Some("back at five"));
        assert!(timeout(Duration::from_secs(9), words.of(second)).await.is_err());
    }

    #[test]
    fn no_more_words_wait_than_there_is_room_for() {
        let words = Words::new();
        for n in 0..1000 {
            words.add((session(n), "".into()));
        }
        let all = words.take();
        assert_eq!((all.len(), all[MOST - 1].0), (MOST, session(999)));
        assert_eq!(words.take().len(), 0);
    }

    fn session(n: u128) -> SessionId {
        format!("{n:032x}").parse().unwrap()
    }
}
