//! What a running connector has been told to do: serve, or take no new sessions.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::serve::Counts;

/// What every connection of the process follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Serve,
    /// Take no new sessions; those under way may go on until then.
    Drain { until: Instant },
}

impl Order {
    pub fn is_drain(self) -> bool {
        self != Self::Serve
    }
}

/// The order that stands. Connections follow it at once, and those that are made later too.
#[derive(Debug, Default)]
pub struct Orders {
    order: watch::Sender<Order>,
    resumed: AtomicU64,
}

impl Orders {
    pub fn give(&self, order: Order) {
        // First: who sees the new order sees that it is one.
        if order == Order::Serve && self.now().is_drain() {
            self.resumed.fetch_add(1, SeqCst);
        }
        self.order.send_replace(order);
    }

    pub fn now(&self) -> Order {
        *self.order.borrow()
    }

    pub fn subscribe(&self) -> watch::Receiver<Order> {
        self.order.subscribe()
    }

    /// How often draining was ended. A connection made before the last time may have told its relay
    /// that it takes no more sessions, which can not be taken back.
    pub fn resumed(&self) -> u64 {
        self.resumed.load(SeqCst)
    }
}

/// How far draining has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Sessions that still go on.
    pub left: u64,
    /// Sessions that were cut at the limit, since the process began.
    pub cut: u64,
}

impl Drained {
    pub fn of(counts: &Counts) -> Self {
        // In this order: one that ends in between is counted as still there, never as less than none.
        let ended = counts.ended.load(Relaxed);
        let left = counts.opened.load(Relaxed).saturating_sub(ended);
        Self { left, cut: counts.cut.load(Relaxed) }
    }
}
