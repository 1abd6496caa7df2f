//! Two networks, and between them a path whose packets this process carries: what `tc netem` does,
//! where the kernel has none. TCP and UDP are treated alike, so one can be held against the other.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::run;

/// The calling thread is in the one network from now on, as [`NEAR`](Self::NEAR), and what it starts
/// too; the other one is [`beyond`](Self::beyond). Needs root and /dev/net/tun.
#[derive(Debug)]
pub struct Crossing {
    near: OwnedFd,
    far: OwnedFd,
    path: Arc<Conditions>,
}

/// What the path does, each way. Can be changed while it carries packets.
#[derive(Debug, Default)]
pub struct Conditions {
    pub delay_millis: AtomicU32,
    /// Of ten thousand packets so many are lost.
    pub lost: AtomicU32,
    /// Kilobytes a second; 0: as fast as it goes.
    pub rate: AtomicU32,
    ended: AtomicBool,
}

impl Crossing {
    pub const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    pub const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

    /// # Errors
    ///
    /// Where the kernel does not allow it, with its reason.
    pub fn enter() -> Result<Self> {
        // The far one first, so that the thread ends up in the near one.
        let (far, far_end) = network(Self::FAR)?;
        let (near, near_end) = network(Self::NEAR)?;
        let path = Arc::new(Conditions::default());
        carry(near_end.try_clone()?, far_end.try_clone()?, 1, &path);
        carry(far_end, near_end, 2, &path);
        Ok(Self { near, far, path })
    }

    pub fn path(&self) -> &Conditions {
        &self.path
    }

    /// Does something in the other network: sockets made and processes started there stay there.
    pub fn beyond<T>(&self, act: impl FnOnce() -> T) -> Result<T> {
        switch(&self.far)?;
        let done = act();
        switch(&self.near)?;
        Ok(done)
    }
}

impl Drop for Crossing {
    fn drop(&mut self) {
        self.path.ended.store(true, Relaxed);
    }
}

#[expect(unsafe_code, reason = "the standard library has no call for it")]
fn switch(network: &OwnedFd) -> Result<()> {
    // SAFETY: the descriptor is open, and the call changes nothing but this thread's network.
    let switched = unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) };
    if switched != 0 {
        return Err(std::io::Error::last_os_error()).context("another network");
    }
    Ok(())
}

/// Puts the calling thread into a network with one TUN device.
#[expect(unsafe_code, reason = "the standard library has no call for it")]
fn network(address: Ipv4Addr) -> Result<(OwnedFd, File)> {
    // SAFETY: the call takes no pointer, and changes nothing but this thread's network.
    let entered = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    if entered != 0 {
        return Err(std::io::Error::last_os_error()).context("a network of its own");
    }
    let device = tun()?;
    let ip = |args: &[&str]| run(Command::new("ip").args(args), SOON)?.ok().map(drop);
    ip(&["link", "set", "lo", "up"])?;
    ip(&["addr", "add", &format!("{address}/24"), "dev", NAME])?;
    ip(&["link", "set", NAME, "up", "txqueuelen", "10000"])?;
    Ok((File::open("/proc/thread-self/ns/net")?.into(), device))
}

#[expect(unsafe_code, reason = "the standard library has no call for it")]
fn tun() -> Result<File> {
    let path = c"/dev/net/tun";
    // SAFETY: the path is a C string, and the descriptor is owned at once.
    let device = unsafe {
        let device = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC);
        anyhow::ensure!(device >= 0, "/dev/net/tun: {}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(device)
    };
    let mut request = [0_u8; 40];
    request[..NAME.len()].copy_from_slice(NAME.as_bytes());
    // IFF_TUN | IFF_NO_PI.
    request[16..18].copy_from_slice(&0x1001_u16.to_ne_bytes());
    // SAFETY: the request is as long as the kernel's `ifreq`, and lives through the call.
    let made = unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFF, request.as_ptr()) };
    anyhow::ensure!(made == 0, "a TUN device: {}", std::io::Error::last_os_error());
    Ok(device.into())
}

/// Packets on their way, by when they arrive.
#[derive(Default)]
struct Queue {
    packets: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    come: Condvar,
}

fn carry(from: File, to: File, seed: u64, path: &Arc<Conditions>) {
    let queue = Arc::new(Queue::default());
    let (own, conditions) = (queue.clone(), path.clone());
    spawn(move || take(from, seed, &own, &conditions));
    let conditions = path.clone();
    spawn(move || give(to, &queue, &conditions));
}

fn take(mut from: File, seed: u64, queue: &Queue, path: &Conditions) {
    let mut buffer = vec![0; 65_536];
    let (mut dice, mut free) = (Dice(seed), Instant::now());
    while !path.ended.load(Relaxed) {
        wait(&from);
        while let Ok(length) = from.read(&mut buffer) {
            if dice.roll() < path.lost.load(Relaxed) {
                continue;
            }
            let rate = path.rate.load(Relaxed);
            let now = Instant::now();
            if rate > 0 {
                let takes = Duration::from_micros(length as u64 * 1000 / u64::from(rate));
                free = free.max(now) + takes;
            }
            let delay = Duration::from_millis(path.delay_millis.load(Relaxed).into());
            let at = if rate > 0 { free } else { now } + delay;
            let mut packets = queue.packets.lock().unwrap_or_else(PoisonError::into_inner);
            if packets.len() < ROOM {
                packets.push_back((at, buffer[..length].to_vec()));
                queue.come.notify_one();
            }
        }
    }
}

fn give(mut to: File, queue: &Queue, path: &Conditions) {
    while !path.ended.load(Relaxed) {
        let mut packets = queue.packets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((at, packet)) = packets.pop_front() else {
            let waited = queue.come.wait_timeout(packets, TICK);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            continue;
        };
        drop(packets);
        sleep(at.saturating_duration_since(Instant::now()));
        // A packet that the kernel does not take is lost.
        drop(to.write(&packet));
    }
}

/// Until there is something to read, or a moment is over.
#[expect(unsafe_code, reason = "the standard library has no call for it")]
fn wait(file: &File) {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the descriptor is open, and the one entry lives through the call.
    unsafe { libc::poll(&raw mut poll, 1, 20) };
}

struct Dice(u64);

impl Dice {
    /// From 0 to 9999, the same in each run.
    fn roll(&mut self) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % 10_000).unwrap_or_default()
    }
}

const NAME: &str = "tun0";
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
/// Packets under way at most, beyond which one is lost.
const ROOM: usize = 20_000;
const TICK: Duration = Duration::from_millis(20);
const SOON: Duration = Duration::from_secs(10);
