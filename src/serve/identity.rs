//! The relay's certificate, shown at every door and changed without closing one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tunnel::endpoint::Congestion;
use tunnel::tls::{Expiry, Oldest};

use super::ServeError;
use super::build::Core;
use crate::ca::{Ca, ServerCertificate, server_names};
use crate::certificates::{self, Certificates};
use crate::config::OwnCertificate;
use crate::listen::https::{self, Tls};

/// Who the relay says it is.
pub(crate) struct Identity {
    store: Store,
    ca: Arc<Ca>,
    certificates: Arc<Certificates>,
    tls: watch::Sender<Tls>,
    /// Of listeners that clients of others come to.
    oldest: Oldest,
    quic: quinn::Endpoint,
    accepting: CancellationToken,
    /// The chain of the relay's own certificate.
    shown: Mutex<String>,
}

impl Identity {
    pub(super) fn new(
        core: &Core,
        certificate: ServerCertificate,
        names: &[String],
        oldest: Oldest,
        quic: quinn::Endpoint,
    ) -> Result<Self, ServeError> {
        let certificates = core.certificates.clone();
        let (tls, _) = watch::channel(tls(&core.ca, &certificate, &certificates, names, oldest)?);
        let shown = Mutex::new(certificate.chain_pem);
        let (store, ca) = (core.store.clone(), core.ca.clone());
        let accepting = core.tokens.accepting.clone();
        Ok(Self { store, ca, certificates, tls, oldest, quic, accepting, shown })
    }

    /// What the HTTPS door shows from now on.
    pub(super) fn tls(&self) -> watch::Receiver<Tls> {
        self.tls.subscribe()
    }

    /// Shows a certificate for these names to whoever connects from now on; a new one where the
    /// stored one has other names or is about to expire; and for applications those in `files`.
    /// Whether one is another than before. After an error all are as before.
    pub(super) async fn show(
        &self,
        domain: &str,
        names: &[String],
        files: &[OwnCertificate],
    ) -> Result<bool, ServeError> {
        let (all, now) = (server_names(domain, names), SystemTime::now());
        let certificate = self.ca.server_certificate(&self.store, &all, now).await?;
        let own = certificates::read(files)?;
        let tls = tls(&self.ca, &certificate, &self.certificates, &all, self.oldest)?;
        let quic = quic(&self.ca, &certificate)?;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // A relay that is stopping has taken its certificate from the QUIC door.
        if self.accepting.is_cancelled() {
            return Ok(false);
        }
        let others = self.certificates.show(&certificate, own)?;
        if *shown != certificate.chain_pem {
            self.store.call_relay(domain, names);
            self.tls.send_replace(tls);
            self.quic.set_server_config(Some(quic));
            *shown = certificate.chain_pem;
            return Ok(true);
        }
        Ok(others)
    }

    /// Warns of certificates that end soon.
    pub(super) fn warn(&self) {
        self.certificates.warn(SystemTime::now());
    }
}

/// The QUIC door with this certificate.
pub(super) fn quic(
    ca: &Ca,
    certificate: &ServerCertificate,
) -> Result<quinn::ServerConfig, ServeError> {
    let verifier = tunnel::tls::client_verifier(ca.certificate_pem(), Expiry::ForRenewal)?;
    let ServerCertificate { chain_pem, key_pem } = certificate;
    let congestion = Congestion::default();
    Ok(tunnel::endpoint::server_config(chain_pem, key_pem, verifier, congestion)?)
}

fn tls(
    ca: &Ca,
    certificate: &ServerCertificate,
    certificates: &Arc<Certificates>,
    names: &[String],
    oldest: Oldest,
) -> Result<Tls, ServeError> {
    let verifier = tunnel::tls::client_verifier(ca.certificate_pem(), Expiry::Enforced)?;
    let renewable = tunnel::tls::client_verifier(ca.certificate_pem(), Expiry::ForRenewal)?;
    Ok(Tls {
        open: https::tls(certificate, None, HTTP, oldest)?,
        applications: https::tls_by_name(certificates.clone(), HTTP, oldest)?,
        agents: https::tls(certificate, Some(verifier), &[wire::ALPN_API], Oldest::Tls13)?,
        machines: https::tls(certificate, Some(renewable), &[wire::ALPN], Oldest::Tls13)?,
        postgres: (
            https::tls(certificate, None, &[gateway_postgres::ALPN], oldest)?,
            https::tls_by_name(certificates.clone(), &[gateway_postgres::ALPN], oldest)?,
        ),
        redis: (
            https::tls(certificate, None, &[], oldest)?,
            https::tls_by_name(certificates.clone(), &[], oldest)?,
        ),
        names: names.into(),
    })
}

const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];
