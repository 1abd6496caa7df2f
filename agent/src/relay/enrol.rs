//! Becoming an agent of a user: a key made here, and a certificate the relay signs for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::TokenText;
use api::{LoggedIn, LoginRequest};
use hyper::Method;
use tokio::time::timeout;
use tunnel::endpoint::Congestion;
use tunnel::https::Client;
use tunnel::identity::Key;
use tunnel::ladder::Ways;
use tunnel::tls::Trust;
use tunnel::{Connection, Identity, Ladder, OverTcp, Transport};

use super::https::Https;
use super::{SOFTWARE, failures};
use crate::context::{Api, Call};
use crate::exit::Failure;
use crate::os::host_name;
use crate::settings::{RelayUrl, Settings, trust_in};
use crate::state::{Login, StateDir};

/// What it takes to reach the relay as one of its agents.
pub struct Enrolled {
    relay: RelayUrl,
    domain: String,
    quic_port: u16,
    ssh_host_keys: Vec<String>,
    identity: Identity,
    ladder: Ladder,
    over_tcp: OverTcp,
    /// Where the way that worked is kept.
    state: Option<StateDir>,
    /// Made for this process only: to be ended with it.
    temporary: bool,
}

/// Enrols this machine and keeps what that gave.
pub async fn login(
    relay: &RelayUrl,
    token: &TokenText,
    settings: &Settings,
) -> Result<Login, Failure> {
    let state = settings.state()?;
    state.prepare()?;
    let old = settings.stored_only();
    let (trust, over_tcp) = (settings.trust(relay, Some(token))?, settings.over_tcp()?);
    let (answer, mut identity) = enrol(relay, token, &trust, &over_tcp).await?;
    if old.login()?.is_some_and(|old| old.relay == relay.to_string()) {
        // The relay would go on listing it; where it cannot be ended now, it expires.
        drop(timeout(FAREWELL, unenrol(&old)).await);
    }
    identity.save(state.path()).map_err(|error| failures::identity(&error))?;
    let login = Login {
        relay: relay.to_string(),
        domain: answer.domain,
        user: answer.user.to_string(),
        agent: answer.id.to_string(),
        device: host_name(),
        quic_port: answer.quic_port,
        ssh_port: answer.ssh_port,
        expires: Some(answer.expires),
        ssh_host_keys: answer.ssh_host_keys,
        ssh_host_ca: answer.ssh_host_ca,
    };
    state.save_login(&login)?;
    Ok(login)
}

/// Ends the stored login's registration at the relay.
pub async fn unenrol(settings: &Settings) -> Result<(), Failure> {
    let api = Box::pin(Enrolled::stored(settings)).await?.api()?;
    api.send(Call::new(Method::DELETE, AGENT)).await.map(drop)
}

impl Enrolled {
    /// The token's user for this process where there is a token, else the stored login's.
    pub async fn new(settings: &Settings) -> Result<Self, Failure> {
        let Some(token) = settings.token()? else { return Self::stored(settings).await };
        let token = crate::commands::login::enrolling(token)?;
        let relay = settings.relay()?;
        let (trust, over_tcp) = (settings.trust(&relay, Some(&token))?, settings.over_tcp()?);
        let (answer, identity) = enrol(&relay, &token, &trust, &over_tcp).await?;
        let LoggedIn { domain, quic_port, ssh_host_keys, .. } = answer;
        let ladder = Ladder::new(ways(&relay, &domain, quic_port, &over_tcp), None);
        Ok(Self {
            relay,
            domain,
            quic_port,
            ssh_host_keys,
            identity,
            ladder,
            over_tcp,
            state: None,
            temporary: true,
        })
    }

    /// The stored login, its certificate renewed if that has expired.
    pub(super) async fn stored(settings: &Settings) -> Result<Self, Failure> {
        let login = settings.signed_in()?;
        let directory = settings.state()?.path();
        let load = || Identity::load(directory).map_err(|error| failures::identity(&error));
        let (relay, state, over_tcp) = (login.relay()?, settings.state()?, settings.over_tcp()?);
        let ways = ways(&relay, &login.domain, login.quic_port, &over_tcp);
        let mut enrolled = Self {
            relay,
            domain: login.domain,
            quic_port: login.quic_port,
            ssh_host_keys: login.ssh_host_keys,
            identity: load()?,
            ladder: Ladder::new(ways, state.transport()),
            over_tcp,
            state: Some(state.clone()),
            temporary: false,
        };
        if enrolled.identity.not_after() <= SystemTime::now() + MARGIN {
            // Dialling renews it and writes it to where it was read from.
            enrolled.dial().await?.goodbye(access::EndReason::Closed, "renewed").await;
            enrolled.identity = load()?;
        }
        Ok(enrolled)
    }

    pub fn relay(&self) -> &RelayUrl {
        &self.relay
    }

    /// The relay's own SSH host keys, as OpenSSH lines.
    pub fn ssh_host_keys(&self) -> &[String] {
        &self.ssh_host_keys
    }

    /// The API, signed in by the certificate.
    pub fn api(&self) -> Result<Arc<dyn Api>, Failure> {
        let relay = self.relay.clone();
        let trust = trust_in(self.identity.ca_pem(), &self.domain, &relay)?;
        let client = Client::new(&relay.to_string(), &trust, Some(&self.identity))
            .map_err(|error| failures::call(&relay, &error))?
            .through(self.over_tcp.proxies.clone());
        Ok(Arc::new(Https { relay, client, bearer: None }))
    }

    /// A connection that carries sessions.
    pub async fn dial(&self) -> Result<Connection, Failure> {
        let before = self.ladder.worked();
        let dialled = Box::pin(self.ladder.dial(&self.identity)).await;
        let dialled =
            dialled.map_err(|error| failures::connect(&self.relay, self.quic_port, &error))?;
        self.keep(before, dialled.transport());
        Ok(dialled)
    }

    /// A connection that should take new sessions in place of this one, when there is one: see
    /// [`Ladder::replacement`].
    pub async fn replacement(&self, current: &Connection) -> Connection {
        let next = self.ladder.replacement(current, || Some(self.identity.clone())).await;
        self.keep(Some(current.transport()), next.transport());
        next
    }

    fn keep(&self, before: Option<Transport>, now: Transport) {
        if let Some(state) = self.state.as_ref().filter(|_| before != Some(now)) {
            state.keep_transport(now);
        }
    }

    /// Ends an enrolment that was made for this process only. The relay forgets it by itself a day
    /// later where it cannot be told.
    pub async fn end(&self) {
        if self.temporary
            && let Ok(api) = self.api()
        {
            drop(timeout(FAREWELL, api.send(Call::new(Method::DELETE, AGENT))).await);
        }
    }
}

/// What the stored login would be reached by, without reaching it.
pub fn to_examine(settings: &Settings) -> Result<(Ladder, Identity), Failure> {
    let login = settings.signed_in()?;
    let directory = settings.state()?.path();
    let identity = Identity::load(directory).map_err(|error| failures::identity(&error))?;
    let ways = ways(&login.relay()?, &login.domain, login.quic_port, &settings.over_tcp()?);
    Ok((Ladder::new(ways, None), identity))
}

fn ways(relay: &RelayUrl, domain: &str, quic_port: u16, over_tcp: &OverTcp) -> Ways {
    let at = |port| format!("{}:{port}", relay.host());
    Ways {
        quic: at(quic_port),
        https: at(relay.port()),
        domain: domain.to_owned(),
        software: SOFTWARE,
        congestion: Congestion::default(),
        over_tcp: over_tcp.clone(),
    }
}

async fn enrol(
    relay: &RelayUrl,
    token: &TokenText,
    trust: &Trust,
    over_tcp: &OverTcp,
) -> Result<(LoggedIn, Identity), Failure> {
    let failed = |error| failures::call(relay, &error);
    let unusable = |error| failures::identity(&error);
    let key = Key::generate().map_err(unusable)?;
    let request = LoginRequest { csr_pem: key.csr_pem().map_err(unusable)?, device: host_name() };
    let client = Client::new(&relay.to_string(), trust, None).map_err(failed)?;
    let client = client.through(over_tcp.proxies.clone());
    let bearer = token.expose().to_owned().into();
    let path = "/api/v1/agents/login";
    let answer: LoggedIn =
        client.call(Method::POST, path, Some(&bearer), Some(&request)).await.map_err(failed)?;
    let identity = Identity::new(&key, answer.certificate_pem.clone(), answer.ca_pem.clone());
    Ok((answer, identity.map_err(unusable)?))
}

const AGENT: &str = "/api/v1/me/agent";
/// A certificate that ends while it is being shown has ended.
const MARGIN: Duration = Duration::from_secs(60);
const FAREWELL: Duration = Duration::from_secs(2);
