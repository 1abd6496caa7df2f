use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyhow::{Context, Result};

/// A TCP port on 127.0.0.1 that nothing listens on.
///
/// It lies below the range the kernel takes outgoing ports from, so that none of the many
/// connections a test makes sits on it by the time the server under test binds it.
pub fn free_port() -> Result<u16> {
    free(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
}

/// A port that is free for TCP and for UDP.
pub fn free_udp_port() -> Result<u16> {
    free(|port| {
        UdpSocket::bind(("127.0.0.1", port)).is_ok()
            && TcpListener::bind(("127.0.0.1", port)).is_ok()
    })
}

fn free(is_free: impl Fn(u16) -> bool) -> Result<u16> {
    (0..1000).map(|_| candidate()).find(|&port| is_free(port)).context("no port is free")
}

/// Tests are processes of their own: the process id keeps their candidates apart.
fn candidate() -> u16 {
    let step = NEXT.fetch_add(1, Relaxed);
    let spread = std::process::id().wrapping_mul(7919).wrapping_add(step * 13);
    u16::try_from(spread % RANGE).unwrap_or(0) + FIRST
}

static NEXT: AtomicU32 = AtomicU32::new(0);
const FIRST: u16 = 12_000;
const RANGE: u32 = 20_000;
