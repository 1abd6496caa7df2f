//! Sessions that have to be recorded: what is kept, who may see it, and what can not be recorded.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{Process, eventually, run, run_with_input};

use crate::support::{SOON, World, assert_says, grant};

#[test]
fn a_recorded_terminal_can_be_watched_played_and_checked_against_the_audit_log() -> Result<()> {
    let world = recorded()?;
    let mut live = shell(&world, "echo he; echo llo | tr a-z A-Z; sleep 300")?;
    live.wait_for_log("LLO", SOON)?;
    let sessions = world.deployment.sessions()?;
    let id = sessions[0]["id"].as_str().context("an id")?.to_owned();
    eventually(SOON, "what was shown can be seen while the session goes on", || {
        printed(&world, &id, &[]).is_ok_and(|text| text.contains("LLO"))
    })?;
    world.deployment.admin(&["session", "kill", &id])?.ok()?;
    live.wait(SOON)?;
    let played = world.deployment.admin(&["session", "play", &id, "--speed", "100"])?.ok()?;
    assert!(played.contains("he\r\nLLO"), "{played:?}");
    let cast = printed(&world, &id, &["--asciicast"])?;
    let head: Value = serde_json::from_str(cast.lines().next().context("a head")?)?;
    assert_eq!((&head["version"], &head["env"]["TERM"]), (&2.into(), &"xterm".into()));
    eventually(SOON, "the recording is in the audit log", || {
        world.deployment.audit("session.recorded").is_ok_and(|rows| rows.len() == 1)
    })?;
    let recorded = world.deployment.audit("session.recorded")?.remove(0);
    assert_eq!((&recorded["event"]["whole"], &recorded["user"]), (&true.into(), &"alice".into()));
    // Over, it is found by whoever knows who and what and when, and not its id.
    let asked = ["session", "ls", "--ended", "--recorded", "--user", "alice", "--app", "web1.hq"];
    let over = world.deployment.admin_json(&[&asked[..], &["--since", "1h"]].concat())?;
    assert_eq!((&over[0]["id"], &over[0]["code"]), (&id.as_str().into(), &"session.killed".into()));
    let kept = &over[0]["recording"];
    assert_eq!((&kept["shows"], &kept["state"]), (&"terminal".into(), &"kept".into()));
    let earlier = world.deployment.admin_json(&[&asked[..], &["--until", "1h"]].concat())?;
    assert_eq!(earlier, serde_json::json!([]));
    let mut find = Command::new("sh");
    let folder = world.deployment.dir().join("relay/recordings");
    find.arg("-c").arg(format!("sha256sum {}/*/{id}.rec", folder.display()));
    let sum = run(&mut find, SOON)?.ok()?;
    assert_eq!(recorded["event"]["sha256"], *sum.split(' ').next().unwrap_or_default());
    let viewed = world.deployment.audit("recording.viewed")?;
    assert!(viewed.iter().all(|row| row["user"] == "admin") && !viewed.is_empty());
    Ok(())
}

#[test]
fn a_command_without_a_terminal_is_kept_with_its_outcome_and_not_its_bytes() -> Result<()> {
    let world = recorded()?;
    let output = world.exec("web1", "head -c 1000 /dev/zero; exit 7")?;
    assert_eq!(output.code(), Some(7));
    let ended = world.deployment.audit("session.ended")?;
    let id = ended[0]["session"].as_str().context("an id")?.to_owned();
    let lines = printed(&world, &id, &[])?;
    let lines: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let what: Vec<_> = lines.iter().map(|line| line["what"].as_str().unwrap_or_default()).collect();
    assert_eq!(what, ["session", "began", "ended"]);
    assert_eq!(lines[1]["detail"], "head -c 1000 /dev/zero; exit 7");
    assert_eq!((&lines[2]["outcome"], &lines[2]["down"]), (&"7".into(), &1000.into()));
    Ok(())
}

#[test]
fn a_recording_has_every_file_that_sftp_moves_with_any_client() -> Result<()> {
    let world = recorded()?;
    let token = world.token("web1")?;
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::create_dir(path("tree"))?;
    (0..300).try_for_each(|n| fs::write(dir.path().join(format!("tree/{n}")), "12345"))?;
    let mut sftp = world.openssh("sftp", &token)?;
    sftp.args(["-q", "-P", &world.ssh_port(), &format!("{}@127.0.0.1", world.at("web1"))]);
    let lines = format!("put -r {} {}\nrm {}/7\n", path("tree"), path("copy"), path("copy"));
    run_with_input(&mut sftp, lines.as_bytes(), SOON)?.ok()?;
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", ASYNCSSH]).env("HOST", "127.0.0.1").env("PORT", world.ssh_port());
    python.env("LOGIN", world.at("web1")).env("TOKEN", &token).env("DIR", dir.path());
    let sum = run(&mut python, SOON)?.ok()?.trim().to_owned();
    let events = |number: usize| -> Result<Vec<Value>> {
        eventually(SOON, "both recordings are whole", || {
            world.deployment.audit("session.recorded").is_ok_and(|rows| rows.len() == 2)
        })?;
        let opened = world.deployment.audit("session.opened")?;
        let id = opened[number]["session"].as_str().context("an id")?;
        Ok(printed(&world, id, &[])?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    };
    let of = |events: &[Value], what: &str| -> Vec<Value> {
        events.iter().filter(|event| event["what"] == what).cloned().collect()
    };
    let openssh = events(0)?;
    let files = of(&openssh, "file");
    assert_eq!(files.len(), 300);
    assert!(files.iter().all(|file| file["written"] == 5 && file["whole"] == true), "{files:?}");
    assert!(files.iter().all(|file| file["sha256"] == SHA256_OF_12345), "{files:?}");
    let changes = of(&openssh, "change");
    assert!(changes.iter().any(|it| it["request"] == "remove" && it["result"] == "ok"));
    let asyncssh = events(1)?;
    let files = of(&asyncssh, "file");
    let put = files.iter().find(|file| file["mode"] == "write").context("a file")?;
    assert_eq!((&put["written"], &put["sha256"]), (&3_000_000.into(), &sum.as_str().into()));
    let get = files.iter().find(|file| file["mode"] == "read").context("a file")?;
    assert_eq!((&get["read"], &get["sha256"]), (&3_000_000.into(), &sum.as_str().into()));
    for events in [openssh, asyncssh] {
        assert_eq!(of(&events, "lost"), [Value::Null; 0]);
    }
    Ok(())
}

const SHA256_OF_12345: &str = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5";

const ASYNCSSH: &str = r#"
import asyncio, asyncssh, hashlib, os
host, port, user, token, dir = [os.environ[k] for k in ("HOST", "PORT", "LOGIN", "TOKEN", "DIR")]
async def main():
    async with asyncssh.connect(host, int(port), username=user, password=token, known_hosts=None,
                                client_keys=None, agent_path=None, config=None) as conn:
        data = os.urandom(3_000_000)
        open(dir + "/local", "wb").write(data)
        async with conn.start_sftp_client() as sftp:
            await sftp.put(dir + "/local", dir + "/there")
            await sftp.get(dir + "/there", dir + "/back")
        assert open(dir + "/back", "rb").read() == data
        print(hashlib.sha256(data).hexdigest())
asyncio.run(main())
"#;

#[test]
fn what_can_not_be_recorded_does_not_open() -> Result<()> {
    let world = recorded()?;
    world.deployment.apply(&(grant("alice", "echo") + REQUIRED))?.ok()?;
    world.deployment.login("alice")?;
    let mut raw = world.deployment.adit("alice");
    let refused = run(raw.args(["proxy", "echo"]), SOON)?;
    assert_says(&refused, "access.recording");
    // Nothing can be written where a file stands in the folder's place.
    let folder = world.deployment.dir().join("relay/recordings");
    fs::remove_dir_all(&folder).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    fs::write(&folder, "")?;
    // A client that writes while it is refused may lose the words on their way.
    eventually(SOON, "the client is told why", || {
        let refused = world.exec("web1", "echo in");
        refused
            .is_ok_and(|said| said.both().contains("has to be recorded") && said.text().is_empty())
    })?;
    fs::remove_file(&folder)?;
    assert_eq!(world.exec("web1", "echo in")?.ok()?, "in\n");
    Ok(())
}

/// A deployment where whatever alice does on `web1` has to be recorded.
pub(crate) fn recorded() -> Result<World> {
    recorded_as("required")
}

pub(crate) fn recorded_as(recording: &str) -> Result<World> {
    let world = World::start()?;
    let terms = format!("recording = {recording:?}\n[grant.ssh]\nfile_hashes = true\n");
    world.deployment.apply(&(grant("alice", "web1") + &terms))?.ok()?;
    Ok(world)
}

/// A command on a terminal of `web1`, running.
pub(crate) fn shell(world: &World, command: &str) -> Result<Process> {
    let token = world.token("web1")?;
    let mut ssh = world.ssh(&world.at("web1"), &token)?;
    ssh.env("TERM", "xterm").args(["-tt", command]);
    Process::start("ssh", ssh, &world.deployment.dir().join("client.log"))
}

pub(crate) fn printed(world: &World, id: &str, more: &[&str]) -> Result<String> {
    let mut args = vec!["session", "recording", id];
    args.extend(more);
    world.deployment.admin(&args)?.ok()
}

pub(crate) const REQUIRED: &str = "recording = \"required\"\n";
