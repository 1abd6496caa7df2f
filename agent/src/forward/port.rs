//! `APP[:PORT]` and `--listen`: which application, behind which local port.

use std::net::{Ipv4Addr, SocketAddr};

use crate::exit::Failure;

/// What to listen on for which application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPort {
    pub application: String,
    pub listen: SocketAddr,
}

impl LocalPort {
    /// Without a port the system chooses a free one.
    pub fn parse(application: &str, listen: Option<&str>) -> Result<Self, Failure> {
        let (application, port) = match application.rsplit_once(':') {
            Some((application, port)) => (application, Some(parse_port(port)?)),
            None => (application, None),
        };
        let listen = match (port, listen) {
            (None, None) => loopback(0),
            (Some(port), None) => loopback(port),
            (None, Some(listen)) => parse_listen(listen)?,
            (Some(_), Some(_)) => {
                return Err(Failure::usage("the local port is given twice")
                    .hint("give APP:PORT or --listen, not both"));
            }
        };
        match application {
            "" => Err(Failure::usage("which application?").hint("`adit ls` lists them")),
            application => Ok(Self { application: application.to_owned(), listen }),
        }
    }
}

/// `ADDRESS:PORT`, `localhost:PORT` or `PORT`.
fn parse_listen(text: &str) -> Result<SocketAddr, Failure> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let port = text.strip_prefix("localhost:").unwrap_or(text);
    port.parse().map(loopback).map_err(|_| {
        Failure::usage(format!("{text:?} is not an address to listen on"))
            .hint("write it as 127.0.0.1:5433")
    })
}

fn parse_port(text: &str) -> Result<u16, Failure> {
    text.parse().map_err(|_| {
        Failure::usage(format!("{text:?} is not a port")).hint("write it as orders-db:5433")
    })
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_port_is_written_in_one_of_two_places() {
        let cases = [
            ("db", None, "db 127.0.0.1:0"),
            ("db:5433", None, "db 127.0.0.1:5433"),
            ("db.hq:5433", None, "db.hq 127.0.0.1:5433"),
            ("db", Some("127.0.0.1:5433"), "db 127.0.0.1:5433"),
            ("db", Some("[::1]:5433"), "db [::1]:5433"),
            ("db", Some("localhost:5433"), "db 127.0.0.1:5433"),
            ("db", Some("5433"), "db 127.0.0.1:5433"),
        ];
        for (application, listen, expected) in cases {
            let port = LocalPort::parse(application, listen).unwrap();
            assert_eq!(format!("{} {}", port.application, port.listen), expected);
        }
        let wrong = [
            ("db:x", None),
            ("db:65536", None),
            (":5433", None),
            ("db:1", Some("127.0.0.1:2")),
            ("db", Some("db.example:2")),
        ];
        for (application, listen) in wrong {
            let failure = LocalPort::parse(application, listen).unwrap_err();
            assert_eq!(failure.exit(), crate::exit::Exit::Usage, "{application} {listen:?}");
        }
    }
}
