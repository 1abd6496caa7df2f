//! What the web door holds, and for how long.

use std::io::Read;

use testkit::{Process, resident};

use super::*;
use crate::web::raw::Raw;
use crate::web::stage::Stage;

#[test]
fn downloads_and_websockets_end_with_the_access_they_stand_on() -> Result<()> {
    let stage = Stage::start()?;
    let mut slowest = Duration::ZERO;
    for round in 0..6 {
        let token = stage.token()?;
        let raw = Raw::new(&stage, &token)?;
        let mut socket = raw.websocket()?;
        let mut client = download(&stage, &token, round)?;
        eventually(SOON, "bytes flow", || stage.bytes_down() > 1 << 20)?;
        let session = stage.deployment.sessions()?;
        assert_eq!(session.len(), 1, "one session for both: {session:?}");
        let id = session[0]["id"].as_str().context("an id")?.to_owned();
        let withdraw = match round % 2 {
            0 => vec!["session", "kill", &id],
            _ => vec!["token", "revoke", "--user", "alice", "--application", "app"],
        };
        let started = Instant::now();
        stage.deployment.admin(&withdraw)?.ok()?;
        let status = client.wait(SOON)?;
        assert!(!status.success(), "half a download looked whole");
        // A read gives nothing, or fails: either way it is over.
        let mut rest = Vec::new();
        drop(socket.read_to_end(&mut rest));
        slowest = slowest.max(started.elapsed());
        assert_eq!(stage.deployment.sessions()?.len(), 0);
    }
    println!("the slowest ended after {} ms", slowest.as_millis());
    // What `adit admin` takes to start is in it.
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    Ok(())
}

#[test]
fn a_gibibyte_passes_both_ways_with_flat_memory() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token()?;
    let key = format!("X-Adit-Key: {token}");
    let size = (1u64 << 30).to_string();
    let warm = |path: &str| run(stage.curl(path).args(["-H", &key, "-o", "/dev/null"]), SOON)?.ok();
    warm("/big?bytes=50000000")?;
    let before = resident(stage.deployment.relay_id())?;
    let mut most = before;
    for version in ["--http1.1", "--http2"] {
        let file = stage.deployment.dir().join("size");
        let mut down = stage.curl(&format!("/big?bytes={size}"));
        down.args([version, "-H", &key, "-o", "/dev/null", "--max-time", "200", "-w"]);
        down.arg("%{size_download}");
        let mut download = Process::start("download", down, &file)?;
        while download.is_running() {
            most = most.max(resident(stage.deployment.relay_id())?);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(download.log().ends_with(&size), "{}", download.tail());
        let sparse = stage.deployment.dir().join("sparse");
        std::fs::File::create(&sparse)?.set_len(1 << 30)?;
        let mut up = stage.curl("/echo");
        up.args([version, "-H", &key, "--max-time", "200", "-T"]).arg(&sparse);
        let mut upload = Process::start("upload", up, &stage.deployment.dir().join("said"))?;
        while upload.is_running() {
            most = most.max(resident(stage.deployment.relay_id())?);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(upload.log().contains(&format!("\"bytes\":{size}")), "{}", upload.tail());
    }
    println!("{before} KiB before, at most {most} KiB");
    assert!(most < before + 64 * 1024, "{before} KiB grew to {most} KiB");
    Ok(())
}

/// A download without an end.
fn download(stage: &Stage, token: &str, round: usize) -> Result<Process> {
    let mut curl = stage.curl("/endless");
    let version = if round.is_multiple_of(3) { "--http1.1" } else { "--http2" };
    curl.args([version, "-H", &format!("X-Adit-Key: {token}"), "-o", "/dev/null"]);
    Process::start("curl", curl, &stage.deployment.dir().join(format!("curl-{round}.log")))
}
