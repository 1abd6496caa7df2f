//! The relay's account at the CA.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use instant_acme::{Account, AccountCredentials, Error, NewAccount};
use store::{IssuedPair, Store};
use zeroize::Zeroizing;

use super::client::Client;
use super::{AcmeError, Challenges, order};
use crate::config::Acme;

/// Opens the account, and makes it at the first time.
pub(super) struct Accounts {
    config: Acme,
    store: Store,
}

impl Accounts {
    pub(super) fn new(config: &Acme, store: Store) -> Self {
        Self { config: config.clone(), store }
    }

    /// Has one name's certificate issued.
    pub(super) async fn order(
        &self,
        name: &str,
        how: (&Arc<Challenges>, bool),
    ) -> Result<IssuedPair, AcmeError> {
        let client = Client::new(self.config.ca_file.as_deref())?;
        let refused = |source| AcmeError::Refused { source, retry: client.retry() };
        let account = match self.stored().await? {
            Some(credentials) => {
                let builder = Account::builder_with_http(Box::new(client.clone()));
                builder.from_credentials(credentials).await.map_err(refused)?
            }
            None => self.create(&client).await?,
        };
        match order::place(&account, &client, name, how).await {
            // A CA that was set up anew, or has removed it.
            Err(error) if error.is_unknown_account() => {
                let account = self.create(&client).await?;
                order::place(&account, &client, name, how).await
            }
            placed => placed,
        }
    }

    async fn create(&self, client: &Client) -> Result<Account, AcmeError> {
        let contact: Vec<&str> = self.config.contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let builder = Account::builder_with_http(Box::new(client.clone()));
        let made = builder.create(&new, self.config.directory.to_string(), None).await;
        let refused = |source| AcmeError::Refused { source, retry: client.retry() };
        let (account, credentials) = made.map_err(refused)?;
        let text = serde_json::to_vec(&credentials).map_err(|error| refused(Error::Json(error)))?;
        self.store.put_secret(&self.secret(), &Zeroizing::new(text)).await?;
        Ok(account)
    }

    async fn stored(&self) -> Result<Option<AccountCredentials>, AcmeError> {
        let stored = self.store.secret(&self.secret()).await?;
        Ok(stored.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// Each CA has an account of its own.
    fn secret(&self) -> String {
        let print = digest(&SHA256, self.config.directory.to_string().as_bytes());
        format!("acme-account-{}", HEXLOWER.encode(&print.as_ref()[..8]))
    }
}

impl AcmeError {
    fn is_unknown_account(&self) -> bool {
        let Self::Refused { source: Error::Api(problem), .. } = self else { return false };
        problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
    }
}
