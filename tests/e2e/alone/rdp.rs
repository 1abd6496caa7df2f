//! A desktop that is open ends when what it stands on does.

use testkit::RdpSecurity;

use super::*;
use crate::rdp_gateway::Stage;
use crate::rdp_gateway::raw::{Raw, data};

#[test]
fn an_open_desktop_ends_within_a_second_of_its_token_and_says_why() -> Result<()> {
    let stage = Stage::start(RdpSecurity::Tls)?;
    let token = stage.token("alice", "desk", 9)?;
    let mut raw = Raw::channel(&stage.deployment, &token)?;
    // A client that goes on whatever it is told.
    raw.send(&data(
        b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x01\x00\x00\x00",
    ))?;
    assert_eq!(raw.packet()?[..2], [0x0a, 0]);
    let started = Instant::now();
    stage.revoke("alice", "desk")?;
    let (told, closed) = raw.drain(SOON);
    let took = started.elapsed();
    assert!(closed, "it is still open");
    // What the command takes to start is in it.
    assert!(took < Duration::from_secs(1), "{took:?}");
    let text: String = told.iter().map(|byte| char::from(*byte)).filter(|c| *c != '\0').collect();
    assert!(text.contains("your access was withdrawn (session.revoked)"), "{text}");
    // A channel that is closed, and why.
    assert!(told.windows(12).any(|bytes| bytes == [0x10, 0, 0, 0, 12, 0, 0, 0, 5, 0, 0, 0]));
    stage.no_session_is_open()?;
    let receipt = stage.deployment.audit("access.withdrawn")?;
    let receipt = receipt.last().context("a receipt")?;
    assert_eq!(receipt["event"]["ended"], 1, "{receipt}");
    let ended = stage.deployment.audit("session.ended")?;
    assert_eq!(ended.last().context("an end")?["event"]["reason"], "revoked");
    Ok(())
}
