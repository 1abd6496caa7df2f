use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use testkit::{Process, free_port, run};

use crate::program::Machine;
use crate::relay::Relay;

#[test]
fn a_tunnel_serves_many_connections_and_says_where_it_listens() {
    let relay = Relay::start();
    let machine = Machine::signed_in(&relay);
    let (mut tunnel, address) = listening(&relay, &machine, "echo");
    let mut clients: Vec<_> = (0..20).map(|_| connect(address)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        echo(client, format!("client {n}").as_bytes());
    }
    let log = tunnel.log();
    assert!(log.contains(&format!("listening on {address} → echo")), "{log}");
    assert!(
        log.contains(&format!(r#"{{"listening":"{address}","application":"echo","kind":"tcp"}}"#)),
        "{log}"
    );
    tunnel.terminate();
    assert_eq!(tunnel.wait(SOON).unwrap().code(), Some(0));
    let error = clients[0].read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_tunnel_comes_back_when_the_relay_does() {
    let relay = Relay::start();
    let machine = Machine::signed_in(&relay);
    let (tunnel, address) = listening(&relay, &machine, "echo");
    let mut before = connect(address);
    echo(&mut before, b"before");
    relay.cut();
    assert!(before.read(&mut [0]).is_err(), "a session that is cut ends with a reset");
    echo(&mut connect(address), b"after");
    assert!(tunnel.log().contains("connected again"), "{}", tunnel.log());
}

#[test]
fn a_session_that_cannot_open_is_reset_at_once_and_explained_in_one_line() {
    let relay = Relay::start();
    let machine = Machine::signed_in(&relay);
    let (mut tunnel, address) = listening(&relay, &machine, "offline");
    assert!(connect(address).read(&mut [0]).is_err());
    let line = "adit: offline: the site of offline is offline — ask an admin [connector.offline]\n";
    tunnel.wait_for_log(line, SOON).unwrap();
}

#[test]
fn a_taken_port_is_said_before_the_relay_is_asked() {
    let relay = Relay::start();
    let machine = Machine::signed_in(&relay);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let before = relay.calls();
    let address = taken.local_addr().unwrap().to_string();
    let output = machine.run(&["tunnel", "echo", "--listen", &address]);
    assert_eq!(output.code(), Some(1));
    assert!(output.stderr.contains("another program already listens on"), "{}", output.stderr);
    assert_eq!(relay.calls(), before);
}

#[test]
fn ssh_finds_its_way_by_the_installed_configuration() {
    let relay = Relay::start();
    let machine = Machine::signed_in(&relay);
    assert_eq!(machine.run(&["ssh-config", "--install"]).code(), Some(0));
    let config = machine.home().join(".ssh/config");
    let mut ssh = Command::new("ssh");
    ssh.env("HOME", machine.home()).arg("-F").arg(&config).args(["-G", "ubuntu@web1.adit"]);
    let shown = run(&mut ssh, SOON).unwrap().ok().unwrap();
    let known = machine.home().join(".config/adit/known_hosts");
    for line in [
        "user ubuntu".to_owned(),
        "stricthostkeychecking accept-new".to_owned(),
        "ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr"
            .to_owned(),
        format!("userknownhostsfile {}", known.display()),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
    let proxy = shown.lines().find(|line| line.starts_with("proxycommand ")).unwrap();
    let command = proxy.trim_start_matches("proxycommand ").replace("%h", "managed.adit");
    let mut shell = Command::new("sh");
    shell.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).args(["-c", &command]);
    let output = testkit::run_with_input(&mut shell, b"SSH-2.0-x", SOON).unwrap();
    assert_eq!(output.ok().unwrap(), "SSH-2.0-x");
    let keys = std::fs::read_to_string(known).unwrap();
    assert_eq!(keys, "managed.adit ssh-ed25519 AAAAC3fake\n", "the relay's own key is vouched for");
}

#[test]
fn proxy_carries_bulk_both_ways() {
    let relay = Relay::start();
    let machine = Machine::signed_in(&relay);
    let text: String = (0..400_000).map(|n| format!("line {n}\n")).collect();
    let output = machine.run_with(&["proxy", "echo"], &text);
    assert_eq!(output.stderr, "");
    assert!(output.text() == text, "{} of {} bytes came back", output.stdout.len(), text.len());
}

fn listening(relay: &Relay, machine: &Machine, application: &str) -> (Process, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let command =
        machine.adit(&["tunnel", application, "--json", "--listen", &address.to_string()]);
    let mut tunnel = Process::start("adit tunnel", command, &relay.path("tunnel.log")).unwrap();
    tunnel.wait_for_log("\"listening\"", SOON).unwrap();
    (tunnel, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client
}

fn echo(client: &mut TcpStream, words: &[u8]) {
    client.write_all(words).unwrap();
    let mut back = vec![0; words.len()];
    client.read_exact(&mut back).unwrap();
    assert_eq!(back, words);
}

const SOON: Duration = Duration::from_secs(20);
