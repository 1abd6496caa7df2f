//! Targets whose host keys a CA vouches for.
#![expect(clippy::unwrap_used, reason = "a test ends where its surroundings fail")]

mod support;

use std::time::SystemTime;

use access::{Kind, Terms};
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::{Certificate, PrivateKey};
use support::target::{Asks, FakeTarget};
use support::user::Client;
use support::{World, key, managed};

#[tokio::test]
async fn a_target_is_known_by_its_ca_whatever_its_key_is() {
    let (world, ca) = (World::start().await, key());
    for _ in 0..2 {
        let target = target(Some((&ca, "127.0.0.1"))).await;
        let outcome = run(&world, &target, &ca).await;
        assert_eq!((outcome.status, outcome.err.as_str()), (Some(7), ""));
    }
}

#[tokio::test]
async fn a_target_that_the_ca_does_not_vouch_for_gets_no_login() {
    let (world, ca, other) = (World::start().await, key(), key());
    for (shown, why) in [
        (None, "shows no certificate"),
        (Some((&other, "127.0.0.1")), "not signed by"),
        (Some((&ca, "other.corp")), "for other hosts than 127.0.0.1"),
    ] {
        let target = target(shown).await;
        let outcome = run(&world, &target, &ca).await;
        assert_eq!(outcome.status, Some(255), "{why}");
        assert!(outcome.err.contains("target.host_certificate"), "{}", outcome.err);
        assert!(outcome.err.contains(why), "{}", outcome.err);
        assert_eq!(target.passwords(), Vec::<String>::new(), "{why}");
        let noted = |action: &String| {
            action.starts_with("target.host_certificate_refused") && action.contains(why)
        };
        assert!(world.audit.actions().iter().any(noted), "{:?}", world.audit.actions());
    }
}

/// Runs a command at an application that trusts this CA.
async fn run(world: &World, target: &FakeTarget, ca: &PrivateKey) -> support::user::Outcome {
    let name = format!("web{}", target.address.port());
    let id = world.add(&name, Kind::Ssh, &target.address(), managed("ubuntu"), Terms::default());
    world.store_password(id, "right");
    world.pin(id, &format!("@cert-authority {}", ca.public_key().to_openssh().unwrap()));
    Client::signed_in(world, "x", &world.token(Some(id), 1)).await.run("status 7").await
}

/// A target with a key of its own, and maybe a certificate by this CA for this host.
async fn target(by: Option<(&PrivateKey, &str)>) -> FakeTarget {
    let own = key();
    let certificates = by.map(|(ca, host)| certificate(&own, ca, host));
    FakeTarget::showing(own, certificates.into_iter().collect(), Asks::Password).await
}

fn certificate(key: &PrivateKey, ca: &PrivateKey, host: &str) -> Certificate {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let mut made = Builder::new(vec![1; 32], key.public_key(), now - 60, now + 60).unwrap();
    made.cert_type(CertType::Host).unwrap().key_id("host").unwrap();
    made.valid_principal(host).unwrap();
    made.sign(ca).unwrap()
}
