//! Clients besides OpenSSH's.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use testkit::{run, run_with_input};

use crate::support::{SOON, World};

#[test]
fn putty_runs_a_command_and_copies_a_file() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let key = putty_fingerprint(&world)?;
    let putty = |program: &str| {
        let mut command = Command::new(program);
        command.args(["-batch", "-P", &world.ssh_port(), "-hostkey", &key, "-pw", &token]);
        command.arg("-l").arg(world.at("web1"));
        // PuTTY keeps its settings in the home folder.
        command.env("HOME", world.deployment.dir());
        command
    };
    let output = run(putty("plink").args(["127.0.0.1", "echo out; exit 5"]), SOON)?;
    assert_eq!((output.text().as_str(), output.code()), ("out\n", Some(5)), "{}", output.stderr);

    let dir = tempfile::tempdir()?;
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    let content: Vec<u8> = (0..4_000_000u32).map(|n| (n % 253) as u8).collect();
    std::fs::write(&here, &content)?;
    let script = format!("put {} {}\nquit\n", here.display(), there.display());
    let output = run_with_input(putty("psftp").arg("127.0.0.1"), script.as_bytes(), SOON)?;
    assert!(std::fs::read(&there).is_ok_and(|copy| copy == content), "{}", output.both());

    // By sftp, and by the protocol that scp had before.
    for way in ["-sftp", "-scp"] {
        let back = dir.path().join(way);
        let remote = format!("127.0.0.1:{}", there.display());
        let output = run(putty("pscp").args(["-q", way, &remote]).arg(&back), SOON)?;
        assert!(std::fs::read(&back).is_ok_and(|copy| copy == content), "{way}: {}", output.both());
    }
    Ok(())
}

#[test]
fn paramiko_runs_a_command_and_copies_a_file() -> Result<()> {
    python("paramiko", PARAMIKO)
}

#[test]
fn asyncssh_runs_commands_at_once_and_copies_a_file() -> Result<()> {
    python("asyncssh", ASYNCSSH)
}

const PARAMIKO: &str = r#"
import os, paramiko
host, port, user, token, dir = [os.environ[k] for k in ("HOST", "PORT", "LOGIN", "TOKEN", "DIR")]
for prompted in (False, True):
    t = paramiko.Transport((host, int(port)))
    t.start_client(timeout=20)
    if prompted:
        t.auth_interactive(user, lambda title, text, prompts: [token for _ in prompts])
    else:
        t.auth_password(user, token, fallback=False)
    c = t.open_session()
    c.exec_command("echo out; echo err >&2; exit 9")
    assert c.recv_exit_status() == 9
    assert c.recv(100) == b"out\n" and c.recv_stderr(100) == b"err\n"
    data = os.urandom(3_000_000)
    with paramiko.SFTPClient.from_transport(t) as sftp:
        with sftp.open(dir + "/paramiko", "wb") as f:
            f.write(data)
        with sftp.open(dir + "/paramiko", "rb") as f:
            assert f.read() == data
    t.close()
print("done")
"#;

const ASYNCSSH: &str = r#"
import asyncio, asyncssh, os
host, port, user, token, dir = [os.environ[k] for k in ("HOST", "PORT", "LOGIN", "TOKEN", "DIR")]
async def main():
    async with asyncssh.connect(host, int(port), username=user, password=token, known_hosts=None,
                                client_keys=None, agent_path=None, config=None) as conn:
        async def one(n):
            r = await conn.run(f"echo {n}; exit {n}")
            assert r.stdout == f"{n}\n" and r.exit_status == n, r
        await asyncio.gather(*(one(n) for n in range(1, 9)))
        data = os.urandom(3_000_000)
        async with conn.start_sftp_client() as sftp:
            async with sftp.open(dir + "/asyncssh", "wb") as f:
                await f.write(data)
            async with sftp.open(dir + "/asyncssh", "rb") as f:
                assert await f.read() == data
        async with conn.create_process("stty size", term_type="vt100", term_size=(123, 45)) as p:
            assert "45 123" in await p.stdout.read()
asyncio.run(main())
print("done")
"#;

/// While a target's program does not read, and a user does not read what fits a queue, the others do not
/// notice. Past that queue, those that share a connection to the target wait with it; nothing is lost
/// or closed, and all goes on when the reader moves.
#[test]
fn of_64_channels_62_go_on_while_one_stands_still_in_each_direction() -> Result<()> {
    python("asyncssh", MANY_CHANNELS)
}

const MANY_CHANNELS: &str = r#"
import asyncio, asyncssh, os, time
host, port, user, token, dir = [os.environ[k] for k in ("HOST", "PORT", "LOGIN", "TOKEN", "DIR")]
SIZE = 40_000_000
async def main():
    async with asyncssh.connect(host, int(port), username=user, password=token, known_hosts=None,
                                client_keys=None, agent_path=None, config=None) as conn:
        shells = [await conn.create_process("cat", encoding=None) for _ in range(62)]
        async def echo(p):
            data = os.urandom(50_000)
            p.stdin.write(data)
            assert await p.stdout.readexactly(len(data)) == data
        go = dir + "/go"
        up = await conn.create_process(f"until test -e {go}; do sleep .1; done; wc -c", encoding=None)
        async def send():
            for _ in range(SIZE // 50_000):
                up.stdin.write(bytes(50_000))
                await up.stdin.drain()
            up.stdin.write_eof()
        sending = asyncio.create_task(send())
        # It is told of little room, so that the rest waits on the way.
        small = dict(encoding=None, window=1 << 16)
        down = await conn.create_process("head -c 1500000 /dev/zero", **small)
        await asyncio.sleep(2)
        assert not sending.done(), "the stalled channel took everything"
        times = []
        for _ in range(5):
            started = time.monotonic()
            await asyncio.gather(*(echo(p) for p in shells))
            times.append(time.monotonic() - started)
        assert sorted(times)[2] < 2, times
        assert len(await down.stdout.read(-1)) == 1_500_000
        down = await conn.create_process(f"head -c {SIZE} /dev/zero", **small)
        await asyncio.sleep(1)
        echoing = asyncio.gather(*(echo(p) for p in shells))
        await asyncio.sleep(1)
        assert len(await down.stdout.read(-1)) == SIZE
        open(go, "w").close()
        await sending
        assert int(await up.stdout.read(-1)) == SIZE
        await echoing
        await asyncio.gather(*(echo(p) for p in shells))
        for p in shells:
            p.stdin.write_eof()
            assert (await p.wait()).exit_status == 0
asyncio.run(asyncio.wait_for(main(), 50))
print("done")
"#;

fn python(name: &str, script: &str) -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let dir = tempfile::tempdir()?;
    // Debian's own python has Debian's packages; another one in the path does not.
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", script]).env("HOST", "127.0.0.1").env("PORT", world.ssh_port());
    python.env("LOGIN", world.at("web1")).env("TOKEN", token).env("DIR", dir.path());
    let output = run(&mut python, Duration::from_secs(60))?;
    let said = output.ok().with_context(|| name.to_owned())?;
    assert_eq!(said.trim(), "done");
    Ok(())
}

/// The ed25519 host key as PuTTY wants to be told it.
pub(crate) fn putty_fingerprint(world: &World) -> Result<String> {
    let listed = run(Command::new("ssh-keygen").args(["-lf", &world.known_hosts()]), SOON)?.ok()?;
    let line = listed.lines().find(|line| line.ends_with("(ED25519)")).context("an ed25519 key")?;
    Ok(line.split(' ').nth(1).context("a fingerprint")?.to_owned())
}
