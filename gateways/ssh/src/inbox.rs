//! What arrived on a channel and was not yet taken, with a cap in bytes.
//!
//! The library gives a channel's window back when bytes arrive and parks the whole connection while
//! one channel's buffer is full, so every channel is always read into a queue of its own. Past the
//! cap the connection is held until the reader moves. See docs/adr/0003-ssh-channel-queues.md.

use std::collections::{HashSet, VecDeque};
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::{ChannelId, ChannelMsg, ChannelReadHalf, Sig};

/// The window offered on every channel, on both legs.
pub(crate) const WINDOW: u32 = 4 << 20;

/// The most one channel queues of what the user sent: a window, half of one that was given back
/// before the queue was seen to grow, and what the queue held then, with room to spare.
pub(crate) const UP_CAP: usize = 8 << 20;

/// The most one channel queues of what the target sent. A full one holds a connection to the target
/// that no other channel uses, so it need not hold a window.
pub(crate) const DOWN_CAP: usize = 2 << 20;

/// The most a channel queues before it runs a program: nothing honest comes so early.
const EARLY_CAP: usize = 256 << 10;

/// The most all channels of one connection queue together.
pub(crate) const CONNECTION_CAP: usize = 16 << 20;

/// From here on a channel is given no more window than it takes to ask again.
const STALLED: usize = 1 << 20;

/// A reader that does not move for so long is worth a word.
const NOTICED: Duration = Duration::from_secs(1);

/// What a queued message costs besides its bytes.
const OVERHEAD: usize = 128;

/// How often the door held a whole connection because one channel's queue was full.
#[derive(Debug, Default)]
pub(crate) struct Held(AtomicU64);

impl Held {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The queues of one connection.
#[derive(Debug)]
pub(crate) struct Budget {
    queued: AtomicUsize,
    stalled: AtomicUsize,
    channels: Mutex<HashSet<ChannelId>>,
    held: Arc<Held>,
}

impl Budget {
    pub(crate) fn new(held: Arc<Held>) -> Self {
        Self {
            queued: AtomicUsize::new(0),
            stalled: AtomicUsize::new(0),
            channels: Mutex::default(),
            held,
        }
    }

    /// Whether this channel's reader is behind, so that it should be given no window.
    pub(crate) fn is_stalled(&self, channel: ChannelId) -> bool {
        self.stalled.load(Relaxed) > 0 && self.lock().contains(&channel)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<ChannelId>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_stalled(&self, channel: ChannelId, stalled: bool) {
        let mut channels = self.lock();
        if stalled {
            channels.insert(channel)
        } else {
            channels.remove(&channel)
        };
        self.stalled.store(channels.len(), Relaxed);
    }
}

/// The receiving half of a channel with its queue.
pub(crate) struct Inbox {
    receiver: ChannelReadHalf,
    queue: VecDeque<ChannelMsg>,
    bytes: usize,
    cap: usize,
    ended: bool,
    held: bool,
    stalled: bool,
    channel: ChannelId,
    budget: Arc<Budget>,
}

impl Inbox {
    pub(crate) fn new(receiver: ChannelReadHalf, channel: ChannelId, budget: Arc<Budget>) -> Self {
        Self {
            receiver,
            queue: VecDeque::new(),
            bytes: 0,
            cap: EARLY_CAP,
            ended: false,
            held: false,
            stalled: false,
            channel,
            budget,
        }
    }

    /// Raises the cap to that of a channel whose bytes have somewhere to go.
    pub(crate) fn open_up(&mut self, cap: usize) {
        self.cap = cap;
    }

    /// The next message; `None` once the channel is gone. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<ChannelMsg> {
        if let Some(message) = self.queue.pop_front() {
            self.charge(-cost(&message));
            return Some(message);
        }
        if self.ended { None } else { self.receiver.wait().await }
    }

    /// Returns bytes that were taken and not used, to be the next taken.
    pub(crate) fn put_back(&mut self, bytes: bytes::Bytes) {
        if !bytes.is_empty() {
            let message = ChannelMsg::Data { data: bytes };
            self.charge(cost(&message));
            self.queue.push_front(message);
        }
    }

    /// Goes on queueing what arrives until `other` is done.
    pub(crate) async fn during<F: Future>(&mut self, other: F) -> F::Output {
        let mut other = pin!(other);
        loop {
            tokio::select! {
                biased;
                output = &mut other => return output,
                () = self.fill() => {}
            }
        }
    }

    /// Queues one message, if there is room. Cancel-safe.
    async fn fill(&mut self) {
        if self.ended {
            return pending().await;
        }
        if self.is_full() {
            // Shorter ones are what backpressure is made of.
            tokio::time::sleep(NOTICED).await;
            self.hold();
            return pending().await;
        }
        match self.receiver.wait().await {
            Some(message) => {
                self.charge(cost(&message));
                self.queue.push_back(message);
            }
            None => self.ended = true,
        }
    }

    /// A channel with an empty queue may always take a message, so that one that fills the
    /// connection's share can't stop the others for good.
    fn is_full(&self) -> bool {
        self.bytes >= self.cap
            || (!self.queue.is_empty() && self.budget.queued.load(Relaxed) >= CONNECTION_CAP)
    }

    fn hold(&mut self) {
        if !std::mem::replace(&mut self.held, true) {
            self.budget.held.0.fetch_add(1, Relaxed);
            tracing::warn!(
                channel = self.channel.number(),
                queued = self.bytes,
                cap = self.cap,
                "A channel's queue is full; its connection is held until the reader moves"
            );
        }
    }

    fn charge(&mut self, cost: isize) {
        self.bytes = self.bytes.saturating_add_signed(cost);
        if cost < 0 {
            self.held = false;
            self.budget.queued.fetch_sub(cost.unsigned_abs(), Relaxed);
        } else {
            self.budget.queued.fetch_add(cost.unsigned_abs(), Relaxed);
        }
        let stalled = self.bytes >= STALLED;
        if stalled != std::mem::replace(&mut self.stalled, stalled) {
            self.budget.set_stalled(self.channel, stalled);
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.budget.queued.fetch_sub(self.bytes, Relaxed);
        if self.stalled {
            self.budget.set_stalled(self.channel, false);
        }
    }
}

fn cost(message: &ChannelMsg) -> isize {
    let bytes = match message {
        ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } => data.len(),
        ChannelMsg::Exec { command, .. } => command.len(),
        ChannelMsg::SetEnv { variable_name, variable_value, .. } => {
            variable_name.len() + variable_value.len()
        }
        ChannelMsg::RequestPty { term, terminal_modes, .. } => {
            term.len() + size_of_val(&terminal_modes[..])
        }
        ChannelMsg::RequestSubsystem { name, .. } => name.len(),
        ChannelMsg::RequestX11 {
            x11_authentication_protocol: protocol,
            x11_authentication_cookie: cookie,
            ..
        } => protocol.len() + cookie.len(),
        ChannelMsg::Signal { signal: Sig::Custom(name) } => name.len(),
        ChannelMsg::ExitSignal { signal_name, error_message, lang_tag, .. } => {
            let name = if let Sig::Custom(name) = signal_name { name.len() } else { 0 };
            name + error_message.len() + lang_tag.len()
        }
        // The library's messages are an open set; the others are small and of fixed size.
        _ => 0,
    };
    isize::try_from(bytes + OVERHEAD).unwrap_or(isize::MAX)
}
