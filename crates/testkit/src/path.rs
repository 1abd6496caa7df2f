//! A bad path: forwards UDP and TCP from one port of 127.0.0.1, and does to them what networks do.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::free_udp_port;

/// A path to a server. What it does to packets can be changed while it carries them; it ends when it
/// is dropped.
#[derive(Debug)]
pub struct Path {
    port: u16,
    faults: Arc<Faults>,
}

/// What happens on the way.
#[derive(Debug, Default)]
pub struct Faults {
    /// UDP goes nowhere.
    pub no_udp: AtomicBool,
    /// TCP is taken and goes nowhere.
    pub no_tcp: AtomicBool,
    /// UDP goes nowhere once a client has sent so many packets; 0: it does.
    pub udp_until: AtomicU32,
    /// Of a thousand UDP packets so many are lost, and so many come late.
    pub lost: AtomicU32,
    pub late: AtomicU32,
    /// Larger UDP packets are lost; 0: none.
    pub mtu: AtomicU32,
    /// Each way.
    pub delay_millis: AtomicU32,
    /// Counts up: clients' packets come from another port from then on.
    rebound: AtomicU32,
    /// Clients' packets come from 127.0.0.2 from their next port on.
    moved: AtomicBool,
    ended: AtomicBool,
    drawn: AtomicU64,
}

impl Path {
    pub fn to(udp: SocketAddr, tcp: SocketAddr) -> Result<Self> {
        let port = free_udp_port()?;
        let faults = Arc::new(Faults::default());
        let front = UdpSocket::bind(("127.0.0.1", port))?;
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let (queue, own) = (Arc::new(Queue::default()), faults.clone());
        spawn(move || forward_udp(&front, udp, &queue, &own));
        let own = faults.clone();
        spawn(move || forward_tcp(&listener, tcp, &own));
        Ok(Self { port, faults })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What a NAT does that forgets: the same client's packets come from another port.
    pub fn rebind(&self) {
        self.faults.rebound.fetch_add(1, Relaxed);
    }

    /// What a laptop does that changes its network: the same client's packets come from another
    /// address.
    pub fn move_on(&self) {
        self.faults.moved.store(true, Relaxed);
        self.rebind();
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.faults.ended.store(true, Relaxed);
    }
}

impl Faults {
    fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// When a UDP packet goes on; `None`: it is lost.
    fn fate(&self, length: usize) -> Option<Instant> {
        let mtu = self.mtu.load(Relaxed) as usize;
        let drawn = self.draw();
        // 28 bytes of IP and UDP stand before what is counted here.
        let too_long = mtu > 0 && length + 28 > mtu;
        if self.no_udp.load(Relaxed) || too_long || drawn < self.lost.load(Relaxed) {
            return None;
        }
        let delay = Duration::from_millis(self.delay_millis.load(Relaxed).into());
        let late = self.draw() < self.late.load(Relaxed);
        Some(Instant::now() + delay + if late { LATE } else { Duration::ZERO })
    }

    /// From 0 to 999, the same in each run.
    fn draw(&self) -> u32 {
        let n = self.drawn.fetch_add(1, Relaxed).wrapping_add(1);
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        u32::try_from((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40)
            .unwrap_or_default()
            % 1000
    }
}

/// UDP packets that are on their way, by when they arrive.
#[derive(Default)]
struct Queue(Mutex<BinaryHeap<Reverse<Packet>>>);

struct Packet {
    at: Instant,
    socket: Arc<UdpSocket>,
    to: Option<SocketAddr>,
    bytes: Vec<u8>,
}

impl Queue {
    fn push(&self, packet: Packet) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Reverse(packet));
    }

    /// Sends what is due.
    fn send(&self) {
        let mut packets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while packets.peek().is_some_and(|Reverse(packet)| packet.at <= Instant::now()) {
            let Some(Reverse(Packet { socket, to, bytes, .. })) = packets.pop() else { return };
            // A packet that the kernel does not take is lost.
            drop(match to {
                Some(to) => socket.send_to(&bytes, to),
                None => socket.send(&bytes),
            });
        }
    }
}

impl Ord for Packet {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl PartialOrd for Packet {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Packet {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Packet {}

/// A client's own port towards the server.
struct Client {
    socket: Arc<UdpSocket>,
    rebound: u32,
    sent: u32,
}

fn forward_udp(front: &UdpSocket, to: SocketAddr, queue: &Arc<Queue>, faults: &Arc<Faults>) {
    let Ok(front) = front.try_clone().map(Arc::new) else { return };
    drop(front.set_read_timeout(Some(TICK)));
    let mut clients: HashMap<SocketAddr, Client> = HashMap::new();
    let mut buffer = vec![0; 65_536];
    while !faults.has_ended() {
        queue.send();
        let Ok((length, from)) = front.recv_from(&mut buffer) else { continue };
        let rebound = faults.rebound.load(Relaxed);
        if clients.get(&from).is_none_or(|client| client.rebound != rebound) {
            let Ok(socket) = answering(&front, from, to, queue, faults) else { continue };
            clients.insert(from, Client { socket, rebound, sent: 0 });
        }
        let Some(client) = clients.get_mut(&from) else { continue };
        client.sent += 1;
        let until = faults.udp_until.load(Relaxed);
        if until > 0 && client.sent > until {
            continue;
        }
        let (socket, bytes) = (client.socket.clone(), buffer[..length].to_vec());
        if let Some(at) = faults.fate(length) {
            queue.push(Packet { at, socket, to: None, bytes });
        }
        queue.send();
    }
}

/// A socket towards the server whose answers go back to the client.
fn answering(
    front: &Arc<UdpSocket>,
    client: SocketAddr,
    server: SocketAddr,
    queue: &Arc<Queue>,
    faults: &Arc<Faults>,
) -> io::Result<Arc<UdpSocket>> {
    let own = if faults.moved.load(Relaxed) { "127.0.0.2" } else { "127.0.0.1" };
    let socket = Arc::new(UdpSocket::bind((own, 0))?);
    socket.connect(server)?;
    socket.set_read_timeout(Some(TICK))?;
    let (front, back) = (front.clone(), socket.clone());
    let (queue, faults) = (queue.clone(), faults.clone());
    spawn(move || {
        let mut buffer = vec![0; 65_536];
        while !faults.has_ended() {
            queue.send();
            let Ok(length) = back.recv(&mut buffer) else { continue };
            if let Some(at) = faults.fate(length) {
                let (socket, bytes) = (front.clone(), buffer[..length].to_vec());
                queue.push(Packet { at, socket, to: Some(client), bytes });
                queue.send();
            }
        }
    });
    Ok(socket)
}

fn forward_tcp(listener: &TcpListener, to: SocketAddr, faults: &Arc<Faults>) {
    if listener.set_nonblocking(true).is_err() {
        return;
    }
    while !faults.has_ended() {
        let Ok((near, _)) = listener.accept() else {
            sleep(TICK);
            continue;
        };
        let (faults, far) = (faults.clone(), TcpStream::connect(to));
        let pair = || Some((near.try_clone().ok()?, far.as_ref().ok()?.try_clone().ok()?));
        let (Some((near, far)), Some((back, forth))) = (pair(), pair()) else { continue };
        let own = faults.clone();
        spawn(move || copy(near, far, &own));
        spawn(move || copy(forth, back, &faults));
    }
}

/// Carries one direction until it ends, or forever holds what no TCP carries.
fn copy(mut from: TcpStream, mut to: TcpStream, faults: &Faults) {
    let mut buffer = vec![0; 16 * 1024];
    if from.set_nonblocking(false).and(from.set_read_timeout(Some(TICK))).is_err() {
        return;
    }
    while !faults.has_ended() {
        if faults.no_tcp.load(Relaxed) {
            sleep(TICK);
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                sleep(Duration::from_millis(faults.delay_millis.load(Relaxed).into()));
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => break,
        }
    }
    drop(to.shutdown(Shutdown::Write));
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// How exact a delay is, and how soon a path ends.
const TICK: Duration = Duration::from_millis(2);
/// What a packet that comes late is late by: others overtake it.
const LATE: Duration = Duration::from_millis(15);
