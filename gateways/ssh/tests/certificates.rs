//! OpenSSH's client with certificates of all kinds, made by ssh-keygen with the CA's own key.
#![expect(clippy::unwrap_used, reason = "a test ends where its surroundings fail")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use access::{AgentId, Kind};
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{HashAlg, PrivateKey, PublicKey};
use support::{World, forwarding, managed};
use testkit::Sshd;
use tokio::runtime::Runtime;
use uuid::Uuid;

#[test]
fn only_a_certificate_that_is_right_in_every_part_signs_in() {
    let (runtime, sshd) = (Runtime::new().unwrap(), Sshd::start().unwrap());
    let world = runtime.block_on(World::start());
    let web1 = world.add("web1", Kind::Ssh, &sshd.address(), managed(sshd.account()), forwarding());
    world.store_key(web1, &std::fs::read_to_string(sshd.client_key()).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let (ca, key) = (dir.path().join("ca"), dir.path().join("key"));
    let own = PrivateKey::from(Ed25519Keypair::from_seed(&[2; 32]));
    own.write_openssh_file(&ca, LineEnding::LF).unwrap();
    keygen(&["-t", "ed25519", "-N", "", "-f"], &key);
    keygen(&["-t", "ed25519", "-N", "", "-f"], &dir.path().join("other"));
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let agent = AgentId(Uuid::from_u128(5));
    let public = PublicKey::from_openssh(&public).unwrap();
    world.certified(agent, &public.fingerprint(HashAlg::Sha256).to_string());
    let id = format!("adit/alice/{agent}");
    let table: [(&str, &[&str], bool); 9] = [
        ("right", &["-n", "alice", "-V", "-1m:+1h"], true),
        ("from here", &["-n", "alice", "-V", "-1m:+1h", "-O", "source-address=127.0.0.0/8"], true),
        (
            "from elsewhere",
            &["-n", "alice", "-V", "-1m:+1h", "-O", "source-address=192.0.2.1"],
            false,
        ),
        ("over", &["-n", "alice", "-V", "-2h:-1h"], false),
        ("not yet good", &["-n", "alice", "-V", "+1h:+2h"], false),
        ("for a host", &["-h", "-n", "alice", "-V", "-1m:+1h"], false),
        ("for bob", &["-n", "bob", "-V", "-1m:+1h"], false),
        ("for everybody", &["-V", "-1m:+1h"], false),
        ("for one command", &["-n", "alice", "-V", "-1m:+1h", "-O", "force-command=id"], false),
    ];
    for (what, words, good) in table {
        sign(&ca, &id, words, &key);
        let output = ssh(&world, &key, sshd.account());
        assert_eq!(output.code(), Some(if good { 0 } else { 255 }), "{what}: {}", output.both());
    }
    sign(&dir.path().join("other"), &id, &["-n", "alice", "-V", "-1m:+1h"], &key);
    assert_eq!(ssh(&world, &key, sshd.account()).code(), Some(255), "of another CA");
    sign(&ca, &format!("adit/alice/{}", Uuid::nil()), &["-n", "alice", "-V", "-1m:+1h"], &key);
    assert_eq!(ssh(&world, &key, sshd.account()).code(), Some(255), "of an agent that is gone");
    let why = world.refused();
    for part in ["from this address", "names no user", "force-command", "user CA"] {
        assert!(why.iter().any(|why| why.contains(part)), "{part}: {why:?}");
    }
}

fn sign(ca: &Path, id: &str, words: &[&str], key: &Path) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-I", id]).args(words).arg("-s").arg(ca).arg(key.with_extension("pub"));
    testkit::run(&mut keygen, SOON).unwrap().ok().unwrap();
}

fn keygen(words: &[&str], file: &Path) {
    let mut keygen = Command::new("ssh-keygen");
    testkit::run(keygen.arg("-q").args(words).arg(file), SOON).unwrap().ok().unwrap();
}

fn ssh(world: &World, key: &Path, account: &str) -> testkit::Output {
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o"]);
    ssh.args(["StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i"]).arg(key);
    ssh.env_remove("SSH_AUTH_SOCK").args(["-p", &world.address.port().to_string()]);
    ssh.args([&format!("{account}+web1@127.0.0.1"), "true"]);
    testkit::run(&mut ssh, SOON).unwrap()
}

const SOON: Duration = Duration::from_secs(40);
