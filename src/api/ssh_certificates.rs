//! Certificates by which the SSH keys of agents sign in at the SSH door.

use std::time::SystemTime;

use access::{Code, network};
use api::{SignSshKey, SshCertificate};
use axum::extract::State;
use axum::http::StatusCode;
use gateway_ssh::Order;
use ipnet::IpNet;
use session::AuthnError;

use super::caller::Caller;
use super::change::{Intent, change, done};
use super::error::ApiError;
use super::extract::Body;
use super::openapi::Created;
use crate::AppState;

/// Signs the key of the agent that asks. Only an agent is given one, for what the certificate opens
/// ends with it.
pub(super) async fn sign(
    State(state): State<AppState>,
    caller: Caller,
    Body(asked): Body<SignSshKey>,
) -> Result<Created<SshCertificate>, ApiError> {
    let SignSshKey { key, sources } = asked;
    let agent = caller.agent.ok_or_else(no_agent)?;
    let sources = networks(&sources)?;
    let user = caller.who.name().as_str();
    let intent = Intent { action: "sign", object: format!("ssh certificate of {user}") };
    let act = async {
        let known = state.store.certify_agent(agent, &key).await?;
        let fingerprint = known.ok_or(AuthnError::Revoked)?;
        let (now, life) = (SystemTime::now(), state.store.settings().await?.ssh_certificate_life());
        // Never longer than what it stands on.
        let end = state.policy.current().agent_end(agent).ok_or(AuthnError::Revoked)?;
        let life = life.min(end.duration_since(now).map_err(|_| AuthnError::Expired)?);
        let order = Order { user, agent, sources: &sources, life };
        let signed = state.user_ca.certify(&key, &order, now);
        let certificate = signed.map_err(ApiError::internal)?;
        let serial = certificate.serial();
        let text = certificate.to_openssh().map_err(ApiError::internal)?;
        let expires = certificate.valid_before();
        let told = format!("serial {serial} for {fingerprint} of agent {agent}, until {expires}");
        Ok((SshCertificate { certificate: text, serial, expires }, vec![done(&intent, told)]))
    };
    let (certificate, _) = change(&state, (&caller).into(), intent.clone(), act).await?;
    Ok(Created(certificate))
}

fn networks(texts: &[String]) -> Result<Vec<IpNet>, ApiError> {
    if texts.len() > MAX_SOURCES {
        return Err(ApiError::invalid(format!("at most {MAX_SOURCES} sources")));
    }
    let wrong = |text| ApiError::invalid(format!("{text:?} is no network such as 10.0.0.0/8"));
    texts.iter().map(|text| network(text).ok_or_else(|| wrong(text))).collect()
}

fn no_agent() -> ApiError {
    let detail = "certificates are signed for enrolled agents, and a token asks";
    ApiError::new(StatusCode::FORBIDDEN, Code("ssh_certificate.no_agent"), detail)
        .hint("`adit login URL`, then `adit ssh-cert`")
}

const MAX_SOURCES: usize = 16;
