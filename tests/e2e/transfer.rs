//! Files through the SSH door: they arrive as they were.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use testkit::{run, run_with_input};

use crate::support::{SOON, World};

const LONG: Duration = Duration::from_secs(180);

#[test]
fn a_gibibyte_copied_there_and_back_is_the_same() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let dir = tempfile::tempdir()?;
    let (here, there, back) =
        (dir.path().join("here"), dir.path().join("there"), dir.path().join("back"));
    random_file(&here, 1 << 30)?;
    let remote = format!("{}@127.0.0.1:{}", world.at("web1"), there.display());
    let scp = |from: &str, to: &str| {
        let mut scp = world.openssh("scp", &token)?;
        scp.args(["-q", "-P", &world.ssh_port(), from, to]);
        run(&mut scp, LONG)?.ok()
    };
    scp(&here.display().to_string(), &remote)?;
    assert_same(&here, &there)?;
    scp(&remote, &back.display().to_string())?;
    assert_same(&there, &back)
}

#[test]
fn scp_in_its_old_protocol_works_too() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let dir = tempfile::tempdir()?;
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    random_file(&here, 5_000_001)?;
    let mut scp = world.openssh("scp", &token)?;
    let remote = format!("{}@127.0.0.1:{}", world.at("web1"), there.display());
    scp.args(["-O", "-q", "-P", &world.ssh_port()]).arg(&here).arg(remote);
    run(&mut scp, SOON)?.ok()?;
    assert_same(&here, &there)
}

#[test]
fn sftp_does_what_it_does_without_us() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name);
    random_file(&at("here"), 20_000_003)?;
    let mut sftp = world.openssh("sftp", &token)?;
    // A batch file would forbid asking for the token; commands on its input do not.
    sftp.args(["-q", "-P", &world.ssh_port(), &format!("{}@127.0.0.1", world.at("web1"))]);
    let script = format!(
        "mkdir {folder}\nput {here} {folder}/there\nrename {folder}/there {folder}/moved\n\
         get {folder}/moved {back}\nls -l {folder}\nrm {folder}/moved\nrmdir {folder}\n",
        folder = at("folder").display(),
        here = at("here").display(),
        back = at("back").display(),
    );
    let output = run_with_input(&mut sftp, script.as_bytes(), SOON)?;
    assert!(output.text().contains("20000003"), "{}", output.both());
    assert!(!at("folder").exists());
    assert_same(&at("here"), &at("back"))
}

#[test]
fn rsync_brings_a_tree_of_small_files_over_and_then_nothing_more() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let dir = tempfile::tempdir()?;
    let tree = dir.path().join("tree");
    for number in 0..1000 {
        let folder = tree.join(format!("{}", number % 17));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("file {number}")), format!("{number}\n").repeat(number))?;
    }
    let copy = dir.path().join("copy");
    let sync = || {
        let ssh = format!(
            "ssh -F none -o UserKnownHostsFile={} -p {}",
            world.known_hosts(),
            world.ssh_port()
        );
        let mut rsync = Command::new("rsync");
        rsync.args(["-a", "--stats", "-e", &ssh]).arg(format!("{}/", tree.display()));
        rsync.arg(format!("{}@127.0.0.1:{}/", world.at("web1"), copy.display()));
        rsync.env("SSH_ASKPASS", world.askpass()?).env("SSH_ASKPASS_REQUIRE", "force");
        rsync.env("TOKEN", &token).env_remove("SSH_AUTH_SOCK");
        run(&mut rsync, SOON)?.ok()
    };
    sync()?;
    run(Command::new("diff").arg("-r").arg(&tree).arg(&copy), SOON)?.ok()?;
    let again = sync()?;
    assert!(again.contains("regular files transferred: 0"), "{again}");
    Ok(())
}

pub(crate) fn random_file(path: &Path, size: u64) -> Result<()> {
    let mut random = File::open("/dev/urandom")?;
    let mut block = vec![0; 1 << 20];
    random.read_exact(&mut block)?;
    let mut file = File::create(path)?;
    let mut left = size;
    while left > 0 {
        // Each block differs, so that one which is lost, doubled or misplaced shows.
        block[..8].copy_from_slice(&left.to_be_bytes());
        let now = usize::try_from(left.min(block.len() as u64))?;
        file.write_all(&block[..now])?;
        left -= now as u64;
    }
    Ok(())
}

fn assert_same(one: &Path, other: &Path) -> Result<()> {
    run(Command::new("cmp").arg(one).arg(other), LONG)?.ok().map(drop)
}
