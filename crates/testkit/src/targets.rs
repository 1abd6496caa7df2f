//! TCP targets: one that answers and four that misbehave, each in one way.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

/// Sends back what it receives.
#[derive(Debug)]
pub struct Echo {
    port: u16,
    stop: Arc<AtomicBool>,
    open: Arc<AtomicUsize>,
    acceptor: Option<JoinHandle<()>>,
}

impl Echo {
    /// Listens on this port of 127.0.0.1, or a free one.
    pub fn start(port: Option<u16>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port.unwrap_or(0)))?;
        let port = listener.local_addr()?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let open = Arc::new(AtomicUsize::new(0));
        let (stopped, counter) = (stop.clone(), open.clone());
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Relaxed) {
                    break;
                }
                let counter = counter.clone();
                thread::spawn(move || echo(stream, &counter));
            }
        });
        Ok(Self { port, stop, open, acceptor: Some(acceptor) })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many connections are open now.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        // Wakes the acceptor.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

fn echo(mut stream: TcpStream, open: &AtomicUsize) {
    open.fetch_add(1, Relaxed);
    let mut buffer = vec![0; 64 * 1024];
    drop(stream.set_nodelay(true));
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    open.fetch_sub(1, Relaxed);
}

/// A port that refuses connections and can't be taken by another process meanwhile.
#[derive(Debug)]
pub struct Refusing(Socket);

impl Refusing {
    pub fn start() -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        Ok(Self(socket))
    }

    pub fn address(&self) -> Result<String> {
        address(&self.0)
    }
}

/// Lets clients connect and then says nothing and reads nothing.
#[derive(Debug)]
pub struct Silent(Socket);

impl Silent {
    pub fn start() -> Result<Self> {
        listening(1024).map(Self)
    }

    pub fn address(&self) -> Result<String> {
        address(&self.0)
    }
}

/// Does not even answer the attempt to connect, as a host behind a firewall that drops.
#[derive(Debug)]
pub struct BlackHole {
    listener: Socket,
    _filling: Vec<TcpStream>,
}

impl BlackHole {
    pub fn start() -> Result<Self> {
        let listener = listening(0)?;
        let at = listener.local_addr()?.as_socket().context("an IP address")?;
        // Linux drops connection attempts once the accept queue is full.
        let mut filling = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_millis(200)) {
            filling.push(stream);
        }
        Ok(Self { listener, _filling: filling })
    }

    pub fn address(&self) -> Result<String> {
        address(&self.listener)
    }
}

/// Accepts, waits for the first byte, and resets the connection.
#[derive(Debug)]
pub struct Resetting {
    at: SocketAddr,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Resetting {
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let at = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let acceptor = thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Relaxed) {
                    break;
                }
                drop(stream.set_read_timeout(Some(Duration::from_secs(5))));
                drop(stream.read(&mut [0]));
                drop(socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
            }
        });
        Ok(Self { at, stop, acceptor: Some(acceptor) })
    }

    pub fn address(&self) -> String {
        self.at.to_string()
    }
}

impl Drop for Resetting {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        drop(TcpStream::connect(self.at));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

fn listening(backlog: i32) -> Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

fn address(socket: &Socket) -> Result<String> {
    Ok(socket.local_addr()?.as_socket().context("an IP address")?.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    fn connect(address: &str) -> std::io::Result<TcpStream> {
        TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_millis(500))
    }

    #[test]
    fn each_target_misbehaves_in_its_own_way() -> Result<()> {
        let refusing = Refusing::start()?;
        let refused = connect(&refusing.address()?).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

        let hole = BlackHole::start()?;
        assert_eq!(connect(&hole.address()?).unwrap_err().kind(), ErrorKind::TimedOut);

        let silent = Silent::start()?;
        let mut stream = connect(&silent.address()?)?;
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);

        let resetting = Resetting::start()?;
        let mut stream = connect(&resetting.address())?;
        stream.write_all(b"x")?;
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);

        let echo = Echo::start(None)?;
        let mut stream = connect(&echo.address())?;
        stream.write_all(b"there")?;
        let mut back = [0; 5];
        stream.read_exact(&mut back)?;
        assert_eq!(&back, b"there");
        Ok(())
    }
}
