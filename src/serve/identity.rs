//! The relay's certificate, shown at every door and changed without closing one.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tunnel::endpoint::Congestion;
use tunnel::tls::Expiry;

use super::ServeError;
use super::build::Core;
use crate::ca::{Ca, ServerCertificate, server_names};
use crate::config::OwnCertificate;
use crate::listen::https::{self, Tls};

/// Who the relay says it is.
pub(crate) struct Identity {
    store: Store,
    ca: Arc<Ca>,
    tls: watch::Sender<Tls>,
    quic: quinn::Endpoint,
    accepting: CancellationToken,
    shown: Mutex<Shown>,
}

/// The chains of the relay's own certificate and of the one for applications.
type Shown = (String, Option<String>);

impl Identity {
    pub(super) fn new(
        core: &Core,
        certificate: ServerCertificate,
        (names, files): (&[String], Option<&OwnCertificate>),
        quic: quinn::Endpoint,
    ) -> Result<Self, ServeError> {
        let own = files.map(read).transpose()?;
        let (tls, _) = watch::channel(tls(&core.ca, (&certificate, own.as_ref()), names)?);
        let shown = (certificate.chain_pem, own.map(|own| own.chain_pem));
        let (store, ca) = (core.store.clone(), core.ca.clone());
        let accepting = core.tokens.accepting.clone();
        Ok(Self { store, ca, tls, quic, accepting, shown: Mutex::new(shown) })
    }

    /// What the HTTPS door shows from now on.
    pub(super) fn tls(&self) -> watch::Receiver<Tls> {
        self.tls.subscribe()
    }

    /// Shows a certificate for these names to whoever connects from now on; a new one where the
    /// stored one has other names or is about to expire; and for applications the one in `files`.
    /// Whether one is another than before.
    pub(super) async fn show(
        &self,
        domain: &str,
        names: &[String],
        files: Option<&OwnCertificate>,
    ) -> Result<bool, ServeError> {
        let (all, now) = (server_names(domain, names), SystemTime::now());
        let certificate = self.ca.server_certificate(&self.store, &all, now).await?;
        let own = files.map(read).transpose()?;
        let tls = tls(&self.ca, (&certificate, own.as_ref()), &all)?;
        let quic = quic(&self.ca, &certificate)?;
        let showing = (certificate.chain_pem, own.map(|own| own.chain_pem));
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // A relay that is stopping has taken its certificate from the QUIC door.
        if *shown == showing || self.accepting.is_cancelled() {
            return Ok(false);
        }
        self.store.call_relay(domain, names);
        self.tls.send_replace(tls);
        self.quic.set_server_config(Some(quic));
        *shown = showing;
        Ok(true)
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

fn read(files: &OwnCertificate) -> Result<ServerCertificate, ServeError> {
    let text = |path: &Path| {
        let read = std::fs::read_to_string(path);
        read.map_err(|source| ServeError::Read { path: path.to_owned(), source })
    };
    let (chain_pem, key_pem) = (text(&files.certificate)?, text(&files.key)?.into());
    Ok(ServerCertificate { chain_pem, key_pem })
}

fn tls(
    ca: &Ca,
    (certificate, own): (&ServerCertificate, Option<&ServerCertificate>),
    names: &[String],
) -> Result<Tls, ServeError> {
    let verifier = tunnel::tls::client_verifier(ca.certificate_pem(), Expiry::Enforced)?;
    Ok(Tls {
        open: https::tls(certificate, None, &[b"h2", b"http/1.1"])?,
        applications: https::tls(own.unwrap_or(certificate), None, &[b"h2", b"http/1.1"])?,
        agents: https::tls(certificate, Some(verifier), &[wire::ALPN_API])?,
        names: names.into(),
    })
}
