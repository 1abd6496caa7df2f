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

/// Whether somebody listens at this TCP port, as the kernel's table has it.
///
/// To try to listen there too would keep the port from the very program that is waited for, and a
/// connection would be one that it counts.
pub fn is_listening(port: u16) -> bool {
    // proc_pid_net(5): the local address is the second field, the state the fourth.
    let listens = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().take(4).collect();
        fields.len() == 4 && fields[3] == "0A" && fields[1].ends_with(&format!(":{port:04X}"))
    };
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .any(|table| table.lines().any(listens))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_heard_while_somebody_listens_and_stays_free_to_take_when_asked() {
        let port = free_port().unwrap();
        assert!(!is_listening(port));
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert!(is_listening(port));
        drop(listener);
        assert!(!is_listening(port));
        let listener = TcpListener::bind(("::1", port)).unwrap();
        assert!(is_listening(port));
        drop(listener);
    }
}
