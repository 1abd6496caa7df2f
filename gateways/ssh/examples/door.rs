//! A door in front of an SSH server, with everything around it faked: for trying clients by hand.
//!
//! `door LISTEN TARGET ACCOUNT KEY_FILE [PUBLIC_KEYS_FILE…]` prints tokens for the applications `m`
//! (managed: ACCOUNT with KEY_FILE), `t` (transparent), both with forwarding, and `n` (managed, without).
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for the terminal")]

#[path = "../tests/support/mod.rs"]
mod support;

use access::{Kind, Login, Terms};
use russh::keys::{HashAlg, PublicKey};
use support::{World, forwarding, managed};

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, listen, target, account, key_file, rest @ ..] = &arguments[..] else {
        println!("usage: door LISTEN TARGET ACCOUNT KEY_FILE [PUBLIC_KEYS_FILE…]");
        return;
    };
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let world = World::start_on(listen).await;
    let pem = std::fs::read_to_string(key_file).unwrap();
    for (name, terms) in [("m", forwarding()), ("n", Terms::default())] {
        let id = world.add(name, Kind::Ssh, target, managed(account), terms);
        world.store_key(id, &pem);
        println!("{name} {}", world.token(Some(id), 1_000_000));
    }
    let id = world.add("t", Kind::Ssh, target, Login::Transparent, forwarding());
    println!("t {}", world.token(Some(id), 1_000_000));
    println!("any {}", world.token(None, 1_000_000));
    for file in rest {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let key = PublicKey::from_openssh(line).unwrap();
            world.register(&key.fingerprint(HashAlg::Sha256).to_string());
        }
    }
    println!("listening on {} as {}", world.address, std::process::id());
    std::future::pending::<()>().await;
}
