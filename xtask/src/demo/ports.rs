use std::net::{TcpListener, UdpSocket};

use anyhow::{Result, bail};
use testkit::Doors;

/// The demo's ports, all counted from one number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    base: u16,
}

impl Ports {
    /// Fails with the names of all ports that are taken.
    pub(crate) fn from_base(base: u16) -> Result<Self> {
        if !(1024..=u16::MAX - SPAN).contains(&base) {
            bail!("--port-base is a number from 1024 to {}", u16::MAX - SPAN);
        }
        let ports = Self { base };
        let taken: Vec<_> = ports.used().into_iter().filter_map(Used::taken).collect();
        if taken.is_empty() {
            return Ok(ports);
        }
        bail!(
            "in use by another program: {}; end it, or move the demo's ports with --port-base {}",
            taken.join(", "),
            base.saturating_add(1000).min(u16::MAX - SPAN)
        )
    }

    pub(crate) fn doors(self) -> Doors {
        Doors { https: self.base, quic: self.base, ssh: self.base + 1 }
    }

    pub(crate) fn api(self) -> u16 {
        self.base + 10
    }

    pub(crate) fn echo(self) -> u16 {
        self.base + 11
    }

    pub(crate) fn sshd(self) -> u16 {
        self.base + 12
    }

    pub(crate) fn postgres(self) -> u16 {
        self.base + 13
    }

    /// Where the printed commands let `adit tunnel` listen for a target.
    pub(crate) fn tunnel(self, target: u16) -> u16 {
        target + 10
    }

    fn used(self) -> Vec<Used> {
        let doors = self.doors();
        let tcp = [
            ("HTTPS", doors.https),
            ("SSH", doors.ssh),
            ("the HTTP API", self.api()),
            ("the echo service", self.echo()),
            ("the SSH host", self.sshd()),
            ("PostgreSQL", self.postgres()),
        ];
        let tcp = tcp.map(|(name, port)| Used { name, port, udp: false });
        tcp.into_iter().chain([Used { name: "QUIC", port: doors.quic, udp: true }]).collect()
    }
}

const SPAN: u16 = 30;

struct Used {
    name: &'static str,
    port: u16,
    udp: bool,
}

impl Used {
    fn taken(self) -> Option<String> {
        let at = ("127.0.0.1", self.port);
        let free =
            if self.udp { UdpSocket::bind(at).is_ok() } else { TcpListener::bind(at).is_ok() };
        let protocol = if self.udp { "udp" } else { "tcp" };
        (!free).then(|| format!("{}/{protocol} ({})", self.port, self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_the_way_out() {
        let free = testkit::free_port().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", free)).unwrap();
        let error = Ports::from_base(free).unwrap_err().to_string();
        assert!(error.contains(&format!("{free}/tcp (HTTPS)")), "{error}");
        assert!(error.contains("--port-base"), "{error}");
        drop(listener);
        assert!(Ports::from_base(80).is_err());
        assert!(Ports::from_base(u16::MAX).is_err());
    }
}
