use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::run;

/// A network of the calling thread's own, with nothing but a loopback: what the thread starts from
/// now on, processes and threads, is in it. Needs root.
#[derive(Debug)]
pub struct OwnNetwork(());

impl OwnNetwork {
    /// # Errors
    ///
    /// Where the kernel does not allow it, with its reason.
    #[expect(unsafe_code, reason = "the standard library has no call for it")]
    pub fn enter() -> Result<Self> {
        // SAFETY: the call takes no pointer, and changes nothing but this thread's network.
        let entered = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        if entered != 0 {
            return Err(std::io::Error::last_os_error()).context("a network of its own");
        }
        run(Command::new("ip").args(["link", "set", "lo", "up"]), SOON)?.ok()?;
        let network = Self(());
        network.nft("add table inet test")?;
        network.nft("add chain inet test out { type filter hook output priority 0; }")?;
        Ok(network)
    }

    /// UDP to this port goes nowhere.
    pub fn drop_udp(&self, port: u16) -> Result<()> {
        self.nft(&format!("add rule inet test out udp dport {port} drop"))
    }

    /// Everything gets through again.
    pub fn free(&self) -> Result<()> {
        self.nft("flush chain inet test out")
    }

    fn nft(&self, rule: &str) -> Result<()> {
        run(Command::new("nft").arg(rule), SOON)?.ok().map(drop)
    }
}

const SOON: Duration = Duration::from_secs(10);
