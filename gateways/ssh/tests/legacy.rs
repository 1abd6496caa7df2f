//! Real sshds that speak only what is too weak to be used unasked.
#![expect(clippy::unwrap_used, reason = "a test ends where its surroundings fail")]

mod support;

use std::process::Command;
use std::time::Duration;

use access::{ApplicationId, Kind};
use support::{World, forwarding, managed};
use testkit::{Output, Sshd, SshdOptions};
use tokio::runtime::Runtime;

#[test]
fn a_target_with_legacy_algorithms_alone_is_spoken_to_only_where_they_are_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("rsa");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f"]).arg(&key);
    testkit::run(&mut keygen, SOON).unwrap().ok().unwrap();
    let host_key = format!("HostKey {}", key.display());
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let pinned = public.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(World::start());
    for (n, lines) in LEGACY.iter().enumerate() {
        let mut extra = vec![host_key.clone()];
        extra.extend(lines.iter().map(|line| (*line).to_owned()));
        let sshd = Sshd::start_with(SshdOptions { extra, ..SshdOptions::default() }).unwrap();
        let (name, login) = (format!("old{n}"), managed(sshd.account()));
        let old = world.add(&name, Kind::Ssh, &sshd.address(), login, forwarding());
        world.store_key(old, &std::fs::read_to_string(sshd.client_key()).unwrap());
        let refused = ssh(&world, old);
        assert_eq!(refused.code(), Some(255), "{lines:?}: {}", refused.both());
        for part in ["target.legacy", "set legacy_algorithms on the application"] {
            assert!(refused.both().contains(part), "{lines:?}: {}", refused.both());
        }
        world.allow_legacy(old);
        assert_eq!(ssh(&world, old).ok().unwrap(), "in\n", "{lines:?}");
        if lines.contains(&SSH_RSA) {
            world.pin(old, &pinned);
            assert_eq!(ssh(&world, old).ok().unwrap(), "in\n", "{lines:?}, pinned");
        }
    }
}

const SSH_RSA: &str = "HostKeyAlgorithms ssh-rsa";

/// Each alone, and as an old appliance has them.
const LEGACY: &[&[&str]] = &[
    &["KexAlgorithms diffie-hellman-group14-sha1"],
    &["KexAlgorithms diffie-hellman-group-exchange-sha1"],
    &["KexAlgorithms diffie-hellman-group1-sha1"],
    &[SSH_RSA],
    &["Ciphers aes128-cbc"],
    &["Ciphers aes256-ctr", "MACs hmac-sha1"],
    &["Ciphers aes256-ctr", "MACs hmac-sha1-etm@openssh.com"],
    &["KexAlgorithms diffie-hellman-group14-sha1", SSH_RSA, "Ciphers aes256-cbc", "MACs hmac-sha1"],
];

fn ssh(world: &World, application: ApplicationId) -> Output {
    let mut ssh = Command::new("sshpass");
    ssh.env("SSHPASS", world.token(Some(application), 1)).args(["-e", "ssh", "-F", "none"]);
    ssh.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    ssh.args(["-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1"]);
    ssh.args(["-p", &world.address.port().to_string(), "x@127.0.0.1", "echo in"]);
    testkit::run(&mut ssh, SOON).unwrap()
}

const SOON: Duration = Duration::from_secs(30);
