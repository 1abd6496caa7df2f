//! Sockets that a service manager bound before the relay ran: what comes while the relay starts anew
//! waits in them, and the relay needs no right to bind a port below 1024. `sd_listen_fds(3)`.

use std::net::SocketAddr;
use std::os::fd::{FromRawFd as _, RawFd};

use socket2::{Socket, Type};

use super::ServeError;

/// The sockets that no door has taken yet.
#[derive(Default)]
pub(super) struct Passed(Vec<(SocketAddr, Socket)>);

impl Passed {
    /// Takes what was passed. Whatever is no socket of IP is refused, as nobody would be heard there.
    pub(super) fn take() -> Result<Self, ServeError> {
        let unusable = |source| ServeError::Passed { source };
        let mut passed = Self::default();
        for fd in sd_notify::listen_fds().map_err(unusable)? {
            let socket = own(fd);
            let address = socket.local_addr().map_err(unusable)?.as_socket();
            let address =
                address.ok_or_else(|| unusable(std::io::ErrorKind::Unsupported.into()))?;
            socket.set_nonblocking(true).map_err(unusable)?;
            passed.0.push((address, socket));
        }
        Ok(passed)
    }

    /// The listener that stands at a door's address.
    pub(super) fn tcp(&mut self, address: SocketAddr) -> Option<std::net::TcpListener> {
        self.at(address, Type::STREAM).map(Into::into)
    }

    /// The same of UDP.
    pub(super) fn udp(&mut self, address: SocketAddr) -> Option<std::net::UdpSocket> {
        self.at(address, Type::DGRAM).map(Into::into)
    }

    /// Names what no door has taken: its clients would wait for nobody.
    pub(super) fn warn_of_the_rest(&self) {
        for (address, _) in &self.0 {
            tracing::warn!(%address, "The service manager passed a socket that no door listens at");
        }
    }

    fn at(&mut self, address: SocketAddr, kind: Type) -> Option<Socket> {
        let is_meant = |(bound, socket): &(SocketAddr, Socket)| {
            is_same(*bound, address) && socket.r#type().is_ok_and(|its| its == kind)
        };
        let place = self.0.iter().position(is_meant)?;
        Some(self.0.swap_remove(place).1)
    }
}

/// Whether a socket bound there serves a door at `address`: every address of the machine is written in
/// two ways.
fn is_same(bound: SocketAddr, address: SocketAddr) -> bool {
    let (here, there) = (bound.ip().to_canonical(), address.ip().to_canonical());
    let anywhere = bound.ip().is_unspecified() && address.ip().is_unspecified();
    bound.port() == address.port() && (here == there || anywhere)
}

#[expect(unsafe_code, reason = "a number is all that a service manager gives")]
fn own(fd: RawFd) -> Socket {
    // SAFETY: numbers from LISTEN_FDS are open and meant for this process alone, and each is taken once.
    unsafe { Socket::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(kind: Type) -> (SocketAddr, Socket) {
        let socket = Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        (socket.local_addr().unwrap().as_socket().unwrap(), socket)
    }

    #[test]
    fn a_door_takes_the_socket_of_its_address_and_kind_once() {
        let (tcp, udp) = (bound(Type::STREAM), bound(Type::DGRAM));
        let (tcp_at, udp_at) = (tcp.0, udp.0);
        let mut passed = Passed(vec![tcp, udp]);
        assert!(passed.tcp(udp_at).is_none() && passed.udp(tcp_at).is_none());
        assert!(passed.tcp(tcp_at).is_some() && passed.udp(udp_at).is_some());
        assert!(passed.tcp(tcp_at).is_none());
    }

    #[test]
    fn all_addresses_of_a_machine_are_the_same_in_both_ways_to_write_them() {
        let same = |a: &str, b: &str| is_same(a.parse().unwrap(), b.parse().unwrap());
        assert!(same("[::]:443", "0.0.0.0:443"));
        assert!(same("[::ffff:127.0.0.1]:443", "127.0.0.1:443"));
        assert!(!same("[::]:443", "0.0.0.0:444"));
        assert!(!same("[::]:443", "127.0.0.1:443"));
    }
}
