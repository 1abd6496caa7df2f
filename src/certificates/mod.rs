//! Which certificate is shown for the name of an application.
//!
//! One of the admin's own files where it is for that name; else one that a CA has issued by ACME;
//! else one of the relay's own CA. The
//! relay's own names are not looked up here: machines know the relay by its CA.

mod made;
mod pair;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime};

use access::{Application, Kind, PolicySnapshot};
use api::CertificateSource;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use store::AcmeRow;
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
    issued: RwLock<HashMap<String, Issued>>,
}

/// How asking a CA for a name has fared.
#[derive(Clone)]
struct Issued {
    pair: Option<Arc<Pair>>,
    due: SystemTime,
    error: Option<String>,
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
    /// When a CA is asked next, and what it said to the last failure.
    pub(crate) due: Option<SystemTime>,
    pub(crate) error: Option<String>,
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
        let (made, issued) = (Made::new(ca), RwLock::default());
        Ok(Arc::new(Self { domain, policy, made, shown, issued }))
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

    /// By which the relay signs in its own name: one of the admin's files for its domain, which others
    /// than machines may trust; else its own CA's.
    pub(crate) fn signer(&self) -> Arc<CertifiedKey> {
        let shown = self.shown();
        shown.own(&self.domain).unwrap_or_else(|| shown.relay.clone()).key.clone()
    }

    /// What is shown to somebody who asks for this host, which is in lower case.
    pub(crate) fn key_for(&self, host: &str, now: SystemTime) -> Option<Arc<CertifiedKey>> {
        self.find(host, now).map(|pair| pair.key.clone())
    }

    /// Shows what a CA has issued.
    pub(crate) fn issued(&self, rows: &[AcmeRow]) {
        let mut issued = self.issued.write().unwrap_or_else(PoisonError::into_inner);
        issued.retain(|name, _| rows.iter().any(|row| row.name == *name));
        for row in rows {
            let known = issued.get(&row.name).and_then(|known| known.pair.clone());
            let pair = row.pair.as_ref().and_then(|stored| {
                let pair = Pair::new(&stored.chain, &stored.key.clone().into());
                let pair = pair.inspect_err(|error| tracing::error!(%error, name = row.name));
                pair.ok().map(|pair| known.filter(|known| known.is(&pair)).unwrap_or(pair.into()))
            });
            let state = Issued { pair, due: row.due(), error: row.error.clone() };
            issued.insert(row.name.clone(), state);
        }
    }

    /// The names of applications that no file is for.
    pub(crate) fn without_files(&self) -> BTreeSet<String> {
        let policy = self.policy.borrow().clone();
        let web = policy.applications().filter(|app| app.kind == Kind::Web);
        let shown = self.shown();
        web.flat_map(|app| self.names(app)).filter(|name| shown.own(name).is_none()).collect()
    }

    /// Every name of an application, and what is shown for it.
    pub(crate) fn list(&self) -> Vec<Named> {
        let policy = self.policy.borrow().clone();
        let web = policy.applications().filter(|app| app.kind == Kind::Web);
        web.flat_map(|app| self.names(app).map(|name| self.named(name, app))).collect()
    }

    /// When the certificates that others signed end, by their first names; of those a CA has issued
    /// only the ones that are still wanted.
    pub(crate) fn ends(&self) -> Vec<(String, CertificateSource, SystemTime)> {
        let wanted = self.without_files();
        let issued = self.issued.read().unwrap_or_else(PoisonError::into_inner);
        let issued = issued.iter().filter(|(name, _)| wanted.contains(*name));
        let issued = issued.filter_map(|(_, issued)| issued.pair.as_ref());
        let issued = issued.map(|pair| (pair, CertificateSource::Acme));
        let shown = self.shown();
        let own = shown.own.iter().map(|pair| (pair, CertificateSource::Files));
        own.chain(issued)
            .map(|(pair, source)| (pair.names[0].clone(), source, pair.not_after))
            .collect()
    }

    /// Warns of certificates that end soon and that nobody has renewed.
    pub(crate) fn warn(&self, now: SystemTime) {
        for (name, source, end) in self.ends() {
            let left = end.duration_since(now).unwrap_or_default();
            if left < SOON {
                let (days, from) = (left.as_secs() / DAY.as_secs(), source.as_str());
                tracing::warn!(name, from, days, "A certificate is about to expire");
            }
        }
    }

    fn names<'a>(&'a self, app: &'a Application) -> impl Iterator<Item = String> + 'a {
        let label = format!("{}.{}", app.label(), self.domain);
        let own = app.web.host_names.iter().map(ToString::to_string);
        std::iter::once(label).chain(own)
    }

    fn named(&self, name: String, app: &Application) -> Named {
        let application = app.full_name();
        if let Some(own) = self.shown().own(&name) {
            let (source, until) = (CertificateSource::Files, Some(own.not_after));
            return Named { name, application, source, until, due: None, error: None };
        }
        let asked = self.asked(&name);
        let (source, until) = match self.good(&name, SystemTime::now()) {
            Some(pair) => (CertificateSource::Acme, Some(pair.not_after)),
            None if self.is_label(&name) => {
                (CertificateSource::Relay, Some(self.shown().relay.not_after))
            }
            None => (CertificateSource::Relay, self.made.known(&name).map(|pair| pair.not_after)),
        };
        let due = asked.as_ref().map(|asked| asked.due);
        let error = asked.and_then(|asked| asked.error);
        Named { name, application, source, until, due, error }
    }

    fn find(&self, host: &str, now: SystemTime) -> Option<Arc<Pair>> {
        if let Some(own) = self.shown().own(host) {
            return Some(own);
        }
        if let Some(issued) = self.good(host, now) {
            return Some(issued);
        }
        if self.is_label(host) {
            return Some(self.shown().relay.clone());
        }
        self.policy.borrow().hosted(host)?;
        self.made.of(host, now)
    }

    /// What a CA has issued for a host that leads to an application, while it lasts.
    pub(crate) fn good(&self, host: &str, now: SystemTime) -> Option<Arc<Pair>> {
        self.asked(host)?.pair.filter(|pair| pair.not_after > now)
    }

    fn asked(&self, host: &str) -> Option<Issued> {
        self.issued.read().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
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
        self.key_for(&host, SystemTime::now())
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
pub(crate) mod tests;
