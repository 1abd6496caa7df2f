//! Which certificate is shown for the name of an application.
//!
//! One of the admin's own files where it is for that name; else one of the relay's own CA. The
//! relay's own names are not looked up here: machines know the relay by its CA.

mod made;
mod pair;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime};

use access::{Application, Kind, PolicySnapshot};
use api::CertificateSource;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use crate::ca::{Ca, ServerCertificate};
use crate::config::OwnCertificate;
use crate::serve::ServeError;
use made::Made;
pub(crate) use pair::Pair;
pub use pair::PairError;

/// The certificates of applications' names.
pub struct Certificates {
    domain: String,
    policy: watch::Receiver<Arc<PolicySnapshot>>,
    made: Made,
    shown: RwLock<Shown>,
}

/// What follows from the configuration.
struct Shown {
    /// Of the relay's CA, for one label below the domain.
    relay: Arc<Pair>,
    own: Vec<Arc<Pair>>,
}

/// What is shown for a name of an application.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    /// `app.site`.
    pub(crate) application: String,
    pub(crate) source: CertificateSource,
    /// `None`: it is made when somebody asks for it.
    pub(crate) until: Option<SystemTime>,
}

impl Certificates {
    pub(crate) fn new(
        ca: Arc<Ca>,
        domain: &str,
        policy: watch::Receiver<Arc<PolicySnapshot>>,
        (relay, own): (&ServerCertificate, Vec<Pair>),
    ) -> Result<Arc<Self>, PairError> {
        let relay = Arc::new(Pair::new(&relay.chain_pem, &relay.key_pem)?);
        let own = own.into_iter().map(Arc::new).collect();
        let (domain, shown) = (domain.to_ascii_lowercase(), RwLock::new(Shown { relay, own }));
        Ok(Arc::new(Self { domain, policy, made: Made::new(ca), shown }))
    }

    /// Shows these from now on. Whether they are others than before.
    pub(crate) fn show(
        &self,
        relay: &ServerCertificate,
        own: Vec<Pair>,
    ) -> Result<bool, PairError> {
        let relay = Arc::new(Pair::new(&relay.chain_pem, &relay.key_pem)?);
        let own: Vec<_> = own.into_iter().map(Arc::new).collect();
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        let same = shown.relay.is(&relay)
            && shown.own.len() == own.len()
            && shown.own.iter().zip(&own).all(|(old, new)| old.is(new));
        *shown = Shown { relay, own };
        Ok(!same)
    }

    /// Every name of an application, and what is shown for it.
    pub(crate) fn list(&self) -> Vec<Named> {
        let policy = self.policy.borrow().clone();
        let web = policy.applications().filter(|app| app.kind == Kind::Web);
        web.flat_map(|app| self.names(app).map(|name| self.named(name, app))).collect()
    }

    /// When each of the admin's own certificates ends, by its first name.
    pub(crate) fn own_ends(&self) -> Vec<(String, SystemTime)> {
        let own = self.shown().own.clone();
        own.iter().map(|pair| (pair.names[0].clone(), pair.not_after)).collect()
    }

    /// Warns of the admin's own certificates that end soon: nobody else renews them.
    pub(crate) fn warn(&self, now: SystemTime) {
        for (name, end) in self.own_ends() {
            let left = end.duration_since(now).unwrap_or_default();
            if left < SOON {
                let days = left.as_secs() / DAY.as_secs();
                tracing::warn!(name, days, "A certificate of [tls] is about to expire");
            }
        }
    }

    fn names<'a>(&'a self, app: &'a Application) -> impl Iterator<Item = String> + 'a {
        let label = format!("{}.{}", app.label(), self.domain);
        let own = app.web.host_names.iter().map(ToString::to_string);
        std::iter::once(label).chain(own)
    }

    fn named(&self, name: String, app: &Application) -> Named {
        let own = self.shown().own(&name);
        let (source, until) = match own {
            Some(pair) => (CertificateSource::Files, Some(pair.not_after)),
            None if self.is_label(&name) => {
                (CertificateSource::Relay, Some(self.shown().relay.not_after))
            }
            None => (CertificateSource::Relay, self.made.known(&name).map(|pair| pair.not_after)),
        };
        Named { name, application: format!("{}.{}", app.name, app.site.name), source, until }
    }

    fn find(&self, host: &str, now: SystemTime) -> Option<Arc<Pair>> {
        if let Some(own) = self.shown().own(host) {
            return Some(own);
        }
        if self.is_label(host) {
            return Some(self.shown().relay.clone());
        }
        self.policy.borrow().hosted(host)?;
        self.made.of(host, now)
    }

    fn is_label(&self, host: &str) -> bool {
        host.split_once('.').is_some_and(|(_, above)| above == self.domain)
    }

    fn shown(&self) -> RwLockReadGuard<'_, Shown> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    /// The closest one; of several, the one that lasts longest.
    fn own(&self, host: &str) -> Option<Arc<Pair>> {
        let fitting = self.own.iter().filter_map(|pair| Some((pair.fits(host)?, pair)));
        let closest = fitting.max_by_key(|(fit, pair)| (*fit, pair.not_after));
        closest.map(|(_, pair)| pair.clone())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name()?.to_ascii_lowercase();
        self.find(&host, SystemTime::now()).map(|pair| pair.key.clone())
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates")
    }
}

/// Reads the files of the configuration: all of them, or says what is wrong with one.
pub(crate) fn read(files: &[OwnCertificate]) -> Result<Vec<Pair>, ServeError> {
    files.iter().map(read_one).collect()
}

fn read_one(files: &OwnCertificate) -> Result<Pair, ServeError> {
    let text = |path: &Path| {
        let read = std::fs::read_to_string(path);
        read.map_err(|source| ServeError::Read { path: path.to_owned(), source })
    };
    let (chain, key) = (text(&files.certificate)?, text(&files.key)?.into());
    let path = files.certificate.clone();
    Pair::new(&chain, &key).map_err(|source| ServeError::Certificate { path, source })
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Time enough to get another.
const SOON: Duration = DAY.saturating_mul(14);

#[cfg(test)]
mod tests;
