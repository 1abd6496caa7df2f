//! What is asked for besides a password.

use std::net::IpAddr;
use std::time::SystemTime;

use secrecy::{ExposeSecret, SecretString};
use session::{AuthnError, Door, pace};
use store::StoreError;
use tokio::time::Instant;

use super::throttle::Admission;
use super::totp::{TotpKey, recovery_digest};
use super::{Authn, Failed, Known};

/// What somebody showed besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Second {
    Totp,
    Recovery,
    Passkey,
}

impl Second {
    /// Its word in records.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Recovery => "recovery",
            Self::Passkey => "passkey",
        }
    }
}

impl Authn {
    /// Takes a code of a user's app, or one of their recovery codes. Each counts once.
    pub(crate) async fn second_factor(
        &self,
        known: &Known,
        code: &SecretString,
        from: IpAddr,
    ) -> Result<Second, AuthnError> {
        let (started, throttle) = (Instant::now(), &self.passwords.throttle);
        // Counted apart from the password: who has that may fail here.
        let name = format!("second factor of {}", known.user);
        let how = throttle.admit(from, &name, false, started);
        let tried = match how {
            Admission::Open | Admission::Veiled => self.take(known, code).await,
            Admission::Refused => Err(Failed::new(AuthnError::Throttled, "a second factor")),
        };
        match tried {
            Ok(second) => {
                throttle.succeeded(from, &name, started);
                Ok(second)
            }
            Err(failed) => {
                if failed.told == AuthnError::SecondFactor {
                    throttle.failed_for(from, &name, how, started);
                }
                let failed = failed.veiled_if(how);
                let note = (failed.told, failed.detail.as_str());
                self.failures.note_of(Door::Web, from, Some(&known.name), note, started);
                pace::even(started, pace::REFUSED).await;
                Err(failed.told)
            }
        }
    }

    async fn take(&self, known: &Known, code: &SecretString) -> Result<Second, Failed> {
        let away = |error: StoreError| {
            tracing::error!(%error, "Could not check a second factor");
            Failed::new(AuthnError::Unavailable, error)
        };
        let (user, now) = (known.user, SystemTime::now());
        let code = code.expose_secret();
        let key = self.store.totp(user).await.map_err(away)?;
        let key = key.map(|row| TotpKey::from_bytes(row.key));
        if let Some(step) = key.and_then(|key| key.step_of(code, now)) {
            return match self.store.use_totp_step(user, step).await.map_err(away)? {
                true => Ok(Second::Totp),
                false => Err(Failed::new(AuthnError::SecondFactor, "its code was used before")),
            };
        }
        let digest = recovery_digest(user, code);
        match self.store.use_recovery_code(user, digest, now).await.map_err(away)? {
            true => Ok(Second::Recovery),
            false => Err(Failed::new(AuthnError::SecondFactor, "another code")),
        }
    }
}
