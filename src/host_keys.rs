//! The SSH door's own keys, sealed in the store.

use gateway_ssh::{HostCa, TargetCa, UserCa};
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{KeypairData, RsaKeypair};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey};
use store::{Store, StoreError};
use tokio::task::{JoinError, spawn_blocking};

/// Why there are no host keys.
#[derive(Debug, thiserror::Error)]
pub enum HostKeyError {
    #[error("this store has no SSH host keys; run `adit-relay init` first")]
    Absent,
    #[error("a host key could not be made or read")]
    Key(#[from] russh::keys::ssh_key::Error),
    #[error("making host keys was interrupted")]
    Interrupted(#[from] JoinError),
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// The CA that signs for targets. Its key is made at the first start, and the same for all relays of
/// a deployment.
pub async fn target_ca(store: &Store, domain: &str) -> Result<TargetCa, HostKeyError> {
    let seed = store.secret_or_make(TARGET_CA).await?;
    Ok(TargetCa::new(&seed, &format!("adit {domain}"))?)
}

/// The CA that signs for agents' SSH keys, made and kept as the one for targets.
pub async fn user_ca(store: &Store, domain: &str) -> Result<UserCa, HostKeyError> {
    let seed = store.secret_or_make(USER_CA).await?;
    Ok(UserCa::new(&seed, &format!("adit users of {domain}"))?)
}

/// The CA that vouches for the host keys, made and kept as the one for targets.
pub async fn host_ca(store: &Store, domain: &str) -> Result<HostCa, HostKeyError> {
    let seed = store.secret_or_make(HOST_CA).await?;
    Ok(HostCa::new(&seed, &format!("adit hosts of {domain}"))?)
}

/// The keys that the door shows, and those that it will have after them, of which it tells clients.
pub struct HostKeyring {
    pub current: Vec<PrivateKey>,
    pub next: Vec<PrivateKey>,
}

/// Makes the keys and stores them sealed, in place of those that were there.
pub async fn create(store: &Store) -> Result<(), HostKeyError> {
    for names in [CURRENT, NEXT] {
        put(store, names, &generated().await?).await?;
    }
    Ok(())
}

/// Makes the next keys the current ones, and new ones the next. Where it is cut off nothing is lost,
/// and doing it again goes on.
pub async fn rotate(store: &Store) -> Result<(), HostKeyError> {
    let HostKeyring { next, .. } = load(store).await?;
    put(store, CURRENT, &next).await?;
    put(store, NEXT, &generated().await?).await
}

/// Opens the keys that [`create`] stored. What has no next ones yet gets them.
pub async fn load(store: &Store) -> Result<HostKeyring, HostKeyError> {
    let current = open(store, CURRENT).await?;
    if current.is_empty() {
        return Err(HostKeyError::Absent);
    }
    let mut next = open(store, NEXT).await?;
    if next.is_empty() {
        next = generated().await?.into();
        put(store, NEXT, &next).await?;
    }
    Ok(HostKeyring { current, next })
}

/// The public halves in OpenSSH form, without comments.
pub fn public_lines(keys: &[PrivateKey]) -> Result<Vec<String>, HostKeyError> {
    Ok(keys.iter().map(|key| key.public_key().to_openssh()).collect::<Result<_, _>>()?)
}

/// `ED25519 SHA256:…` of each.
pub fn fingerprints(keys: &[PrivateKey]) -> Vec<String> {
    let print = |key: &PrivateKey| {
        format!("{} {}", key.algorithm(), key.public_key().fingerprint(HashAlg::Sha256))
    };
    keys.iter().map(print).collect()
}

async fn put(store: &Store, names: [&str; 3], keys: &[PrivateKey]) -> Result<(), HostKeyError> {
    for (name, key) in names.iter().zip(keys) {
        store.put_secret(name, key.to_openssh(LineEnding::LF)?.as_bytes()).await?;
    }
    Ok(())
}

async fn open(store: &Store, names: [&str; 3]) -> Result<Vec<PrivateKey>, HostKeyError> {
    let mut keys = Vec::new();
    for name in names {
        if let Some(pem) = store.secret(name).await? {
            keys.push(PrivateKey::from_openssh(pem.as_slice())?);
        }
    }
    Ok(keys)
}

/// Looking for two primes takes a second or so.
async fn generated() -> Result<[PrivateKey; 3], HostKeyError> {
    Ok(spawn_blocking(generate).await??)
}

fn generate() -> Result<[PrivateKey; 3], russh::keys::ssh_key::Error> {
    let rng = &mut rand::rng();
    let p256 = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
    let rsa = KeypairData::from(RsaKeypair::random(rng, RSA_BITS)?);
    Ok([
        PrivateKey::random(rng, Algorithm::Ed25519)?,
        PrivateKey::random(rng, p256)?,
        PrivateKey::new(rsa, "")?,
    ])
}

const CURRENT: [&str; 3] = ["ssh-host-key-ed25519", "ssh-host-key-ecdsa", "ssh-host-key-rsa"];
const NEXT: [&str; 3] =
    ["ssh-next-host-key-ed25519", "ssh-next-host-key-ecdsa", "ssh-next-host-key-rsa"];
/// The name of the secret that the target CA's key follows from.
const TARGET_CA: &str = "ssh-target-ca";
/// That of the host CA's.
const HOST_CA: &str = "ssh-host-ca";
/// That of the user CA's.
const USER_CA: &str = "ssh-user-ca";
const RSA_BITS: usize = 3072;
