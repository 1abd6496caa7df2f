//! Security keys (FIDO), played by a key of this process: what signs says whether somebody touched
//! it.
#![expect(clippy::unwrap_used, reason = "a test ends where its surroundings fail")]

mod support;

use access::{Kind, Terms};
use russh::client::AuthResult;
use russh::keys::agent::client::AgentClient;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::ssh_key::public::{Ed25519PublicKey, KeyData, SkEd25519};
use russh::keys::{HashAlg, PublicKey};
use support::target::{Asks, FakeTarget};
use support::user::Client;
use support::{World, managed};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_security_key_signs_in_only_when_somebody_touched_it() {
    let world = World::start().await;
    let target = FakeTarget::start(Asks::Password).await;
    world.add("web1", Kind::Ssh, &target.address(), managed("ubuntu"), Terms::default());
    // What it says, and whether that is enough: user presence, user verification.
    for (flags, enough) in [(0b000, false), (0b100, false), (0b001, true), (0b101, true)] {
        let key = public_key();
        world.register(&key.fingerprint(HashAlg::Sha256).to_string());
        let (mut agent, mut asked) = agent(flags);
        let mut client = Client::connect(&world).await;
        let shown = client.handle.authenticate_publickey_with("x+web1", key, None, &mut agent);
        let shown = shown.await.unwrap();
        assert_eq!(matches!(shown, AuthResult::Success), enough, "{flags}: {shown:?}");
        drop(agent);
        assert_eq!(asked.join_next().await.unwrap().unwrap(), 1, "a key that is known is asked");
        assert!(enough || target.connections() == 0, "{flags}: nothing is dialled for a stranger");
    }
}

fn pair() -> Ed25519Keypair {
    Ed25519Keypair::from_seed(&[9; 32])
}

fn public_key() -> PublicKey {
    let key = Ed25519PublicKey(pair().public.0);
    PublicKey::new(KeyData::SkEd25519(SkEd25519::new(key, "ssh:")), "")
}

/// An agent with the key, whose signatures say this; and how often it was asked to sign.
fn agent(flags: u8) -> (AgentClient<DuplexStream>, JoinSet<usize>) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { serve(theirs, flags).await.1 });
    (AgentClient::connect(ours), tasks)
}

/// Answers every request to sign (draft-ietf-sshm-ssh-agent, section 3.6).
async fn serve(mut stream: DuplexStream, flags: u8) -> (std::io::Result<()>, usize) {
    let mut asked = 0;
    loop {
        let length = match stream.read_u32().await {
            Ok(length) => length as usize,
            Err(error) => return (Err(error), asked),
        };
        let mut request = vec![0; length];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!(request[0], 13, "a request to sign");
        asked += 1;
        let (_, rest) = field_of(&request[1..]);
        let (message, _) = field_of(rest);
        let answer = [&[14][..], &field(&signature(message, flags))].concat();
        stream.write_all(&field(&answer)).await.unwrap();
    }
}

/// OpenSSH's PROTOCOL.u2f.
fn signature(message: &[u8], flags: u8) -> Vec<u8> {
    let counter = [0, 0, 0, 7];
    let (application, message) = (access::sha256(b"ssh:"), access::sha256(message));
    let signed = [&application[..], &[flags], &counter, &message[..]].concat();
    let signature = russh::keys::signature::Signer::sign(&pair(), &signed);
    let name = field(b"sk-ssh-ed25519@openssh.com");
    [name, field(signature.as_bytes()), vec![flags], counter.to_vec()].concat()
}

fn field(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn field_of(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = bytes.split_first_chunk::<4>().unwrap();
    rest.split_at(u32::from_be_bytes(*length) as usize)
}
