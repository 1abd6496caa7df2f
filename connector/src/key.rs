//! Where this connector's key is: in its state, or handed over by the service manager.

use std::path::{Path, PathBuf};

use tunnel::Identity;
use tunnel::identity::{IdentityError, is_open_to_others};

/// The identity in a state directory. Its key is the systemd credential `connector-key` where there is
/// one, and `key.pem` otherwise.
pub(crate) fn identity(state: &Path) -> Result<Identity, IdentityError> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    identity_by(state, folder.as_deref())
}

/// Warns where others than its owner may read the key in a state directory.
pub(crate) fn warn_if_open(state: &Path) {
    let key = state.join(KEY);
    if is_open_to_others(&key) {
        let run = format!("chmod 600 {}", key.display());
        tracing::warn!(file = %key.display(), run, "Others than its owner may read the private key");
    }
}

fn identity_by(state: &Path, credentials: Option<&Path>) -> Result<Identity, IdentityError> {
    let credential = credentials.map(|folder| folder.join(CREDENTIAL));
    match credential.filter(|path| path.exists()) {
        Some(key) => Identity::load_with_key(state, &key),
        None => Identity::load(state),
    }
}

const KEY: &str = "key.pem";
const CREDENTIAL: &str = "connector-key";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair};
    use tunnel::identity::Key;

    use super::*;

    #[test]
    fn a_key_that_the_service_manager_hands_over_need_not_lie_in_the_state() {
        let (state, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let saved = enrolled(state.path());
        let of_state = |folder| identity_by(state.path(), folder).map(|found| found.spki());
        assert_eq!(of_state(Some(credentials.path())).unwrap(), saved, "there is no credential");
        let key = state.path().join("key.pem");
        std::fs::copy(&key, credentials.path().join(CREDENTIAL)).unwrap();
        std::fs::remove_file(key).unwrap();
        assert!(of_state(None).is_err());
        assert_eq!(of_state(Some(credentials.path())).unwrap(), saved);
        // Of two keys the one that is handed over is meant, and the certificate is not for it.
        let other = Key::generate().unwrap();
        let pem = secrecy::ExposeSecret::expose_secret(other.pem()).to_owned();
        std::fs::write(credentials.path().join(CREDENTIAL), pem).unwrap();
        assert!(matches!(of_state(Some(credentials.path())), Err(IdentityError::OtherKey)));
    }

    #[test]
    fn a_key_as_it_is_saved_is_its_owners_alone_and_one_that_others_may_read_is_noticed() {
        use std::os::unix::fs::PermissionsExt;

        let state = tempfile::tempdir().unwrap();
        enrolled(state.path());
        let key = state.path().join(KEY);
        assert!(!is_open_to_others(&key));
        for mode in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(is_open_to_others(&key), "{mode:o}");
        }
        assert!(!is_open_to_others(&state.path().join("nothing")));
    }

    /// The key's hash.
    fn enrolled(state: &Path) -> tunnel::certificate::Spki {
        let authority = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_pem = params.self_signed(&authority).unwrap().pem();
        let key = Key::generate().unwrap();
        let csr = key.csr_pem().unwrap();
        let mut request = CertificateSigningRequestParams::from_pem(&csr).unwrap();
        let now = std::time::SystemTime::now();
        request.params.not_before = now.into();
        request.params.not_after = (now + Duration::from_secs(3600)).into();
        let issuer = Issuer::new(params, authority);
        let certificate = request.signed_by(&issuer).unwrap().pem();
        let mut identity = Identity::new(&key, certificate, ca_pem).unwrap();
        identity.save(state).unwrap();
        identity.spki()
    }
}
