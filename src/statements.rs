//! The key by which the web door signs who asks, sealed in the store.

use gateway_web::Signer;
use store::{Store, StoreError};

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    #[error("the key that signs identity headers could not be made or read")]
    Key,
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Opens the key, or makes it at the first start.
///
/// # Errors
///
/// When the store fails, or what it holds is no such key.
pub async fn signer(store: &Store, domain: &str) -> Result<Signer, StatementError> {
    let issuer = format!("https://{domain}");
    if let Some(key) = store.secret(KEY).await? {
        return Signer::new(issuer, &key).map_err(|_| StatementError::Key);
    }
    let key = Signer::generate().map_err(|_| StatementError::Key)?;
    store.put_secret(KEY, &key).await?;
    Signer::new(issuer, &key).map_err(|_| StatementError::Key)
}

const KEY: &str = "statement-key";
