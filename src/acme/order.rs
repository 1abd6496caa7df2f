//! One order, from asking to the certificate.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use store::IssuedPair;

use super::challenges::Answering;
use super::client::Client;
use super::{AcmeError, Challenges};

/// Asks for a certificate for `name`, shows that it leads here, and gets it.
pub(super) async fn place(
    account: &Account,
    client: &Client,
    name: &str,
    how: (&Arc<Challenges>, bool),
) -> Result<IssuedPair, AcmeError> {
    let refused = |source| AcmeError::Refused { source, retry: client.retry() };
    let names = [Identifier::Dns(name.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(refused)?;
    // Answered until the CA has looked, however often it does.
    let _answering = prove(&mut order, client, name, how).await?;
    let ready = order.poll_ready(&PATIENCE).await;
    if !matches!(ready, Ok(OrderStatus::Ready)) {
        // The order says that it failed, and the challenge why.
        return Err(match (why(&mut order).await, ready) {
            (Some(words), _) => AcmeError::Unseen(words),
            (None, Err(source)) => refused(source),
            (None, Ok(_)) => refused(Error::Str("the order became invalid")),
        });
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key)?;
    order.finalize_csr(request.der()).await.map_err(refused)?;
    let chain = order.poll_certificate(&PATIENCE).await.map_err(refused)?;
    Ok(IssuedPair { chain, key: key.serialize_pem() })
}

/// Answers what the CA looks for, and says that it may look.
async fn prove(
    order: &mut Order,
    client: &Client,
    name: &str,
    (challenges, http): (&Arc<Challenges>, bool),
) -> Result<Vec<Answering>, AcmeError> {
    let refused = |source| AcmeError::Refused { source, retry: client.retry() };
    let mut answering = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(refused)?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let (kind, word) = match http {
            true => (ChallengeType::Http01, "http-01"),
            false => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        };
        let challenge = authorization.challenge(kind);
        let mut challenge = challenge.ok_or(AcmeError::NoChallenge(word))?;
        let proof = challenge.key_authorization();
        answering.push(match http {
            true => challenges.answer_http(name, &challenge.token, proof.as_str()),
            false => challenges.answer_tls(name, proof.digest().as_ref())?,
        });
        challenge.set_ready().await.map_err(refused)?;
    }
    Ok(answering)
}

/// What the CA says of a challenge that failed.
async fn why(order: &mut Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        let mut errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = errors.next() {
            let kind = problem.r#type.as_deref().unwrap_or_default();
            return Some(format!("{} ({kind})", problem.detail.as_deref().unwrap_or("no detail")));
        }
    }
    None
}

const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(60));
