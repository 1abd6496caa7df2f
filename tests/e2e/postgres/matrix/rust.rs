//! The drivers of Rust, which are functions here instead of programs.

use std::fs;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Socket};
use tokio_rustls::{TlsConnector, client, rustls};

use super::super::Stage;

#[test]
fn tokio_postgres_does_each_case() -> Result<()> {
    let stage = Stage::start()?;
    let (port, token) = (stage.port(), stage.token("alice")?);
    let open = async |ca: &Path| -> Result<(Client, Tls)> {
        let tls = Tls::trusting(ca)?;
        let mut config = tokio_postgres::Config::new();
        config.host("localhost").port(port).user("x+orders-db").dbname("orders").password(&token);
        config.ssl_mode(tokio_postgres::config::SslMode::Require);
        let (client, connection) = config.connect(tls.clone()).await?;
        #[allow(clippy::disallowed_methods, reason = "the runtime of the test ends it")]
        tokio::spawn(connection);
        Ok((client, tls))
    };
    Runtime::new()?.block_on(async {
        let (client, tls) = open(&stage.deployment.ca_file()).await?;
        let one: i32 = client.query_one("select 1", &[]).await?.get(0);
        ensure!(one == 1, "login");
        let statement = client.prepare("select $1::int + 1").await?;
        for n in 0..20 {
            let next: i32 = client.query_one(&statement, &[&n]).await?.get(0);
            ensure!(next == n + 1, "prepared");
        }
        let large: String = client.query_one("select repeat('z', 8388608)", &[]).await?.get(0);
        ensure!(large.len() == 8 << 20, "large");
        let cancel = client.cancel_token();
        let (asked, cancelled) =
            tokio::join!(client.query_one("select pg_sleep(60)", &[]), async {
                sleep(Duration::from_secs(1)).await;
                cancel.cancel_query(tls).await
            });
        cancelled?;
        let error = asked.err().context("not cancelled")?;
        ensure!(error.code() == Some(&SqlState::QUERY_CANCELED), "cancel: {error:?}");
        let refused = open(&stage.postgres.certificate()).await.err().context("trusted")?;
        ensure!(format!("{refused:?}").contains("UnknownIssuer"), "verify-full: {refused:?}");
        Ok(())
    })
}

#[test]
fn sqlx_does_each_case() -> Result<()> {
    let stage = Stage::start()?;
    let (port, token) = (stage.port(), stage.token("alice")?);
    let open = async |ca: &Path| -> Result<PgConnection> {
        let options = PgConnectOptions::new_without_pgpass().host("localhost").port(port);
        let options = options.username("x+orders-db").database("orders").password(&token);
        let options = options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(ca);
        Ok(options.connect().await?)
    };
    Runtime::new()?.block_on(async {
        let mut client = open(&stage.deployment.ca_file()).await?;
        let one: i32 = sqlx::query_scalar("select 1").fetch_one(&mut client).await?;
        ensure!(one == 1, "login");
        for n in 0..20 {
            let next = sqlx::query_scalar("select $1::int + 1").bind(n).fetch_one(&mut client);
            let next: i32 = next.await?;
            ensure!(next == n + 1, "prepared");
        }
        let large: String =
            sqlx::query_scalar("select repeat('z', 8388608)").fetch_one(&mut client).await?;
        ensure!(large.len() == 8 << 20, "large");
        // It has no cancel of its own: whoever gives up closes, and the door stops the statement.
        let asked = sqlx::query("select pg_sleep(60)").execute(&mut client);
        ensure!(timeout(Duration::from_secs(1), asked).await.is_err(), "it did not wait");
        drop(client);
        let gone = async {
            while stage.backends("select pg_sleep(60)%")? > 0 {
                sleep(Duration::from_millis(100)).await;
            }
            anyhow::Ok(())
        };
        timeout(Duration::from_secs(20), gone).await.context("not cancelled")??;
        let refused = open(&stage.postgres.certificate()).await.err().context("trusted")?;
        ensure!(format!("{refused:?}").contains("UnknownIssuer"), "verify-full: {refused:?}");
        Ok(())
    })
}

/// TLS for tokio-postgres, which leaves it to others.
#[derive(Clone)]
struct Tls(TlsConnector);

impl Tls {
    fn trusting(ca: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&fs::read(ca)?) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions()?.with_root_certificates(roots);
        Ok(Self(Arc::new(config.with_no_client_auth()).into()))
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Stream;
    type TlsConnect = To;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<To> {
        let name = ServerName::try_from(domain.to_owned()).map_err(io::Error::other)?;
        Ok(To(self.0.clone(), name))
    }
}

/// A server that TLS is begun with.
struct To(TlsConnector, ServerName<'static>);

impl TlsConnect<Socket> for To {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move { self.0.connect(self.1, socket).await.map(Stream) })
    }
}

struct Stream(client::TlsStream<Socket>);

impl tokio_postgres::tls::TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
