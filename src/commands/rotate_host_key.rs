use std::net::Ipv4Addr;
use std::path::PathBuf;

use session::AuditEvent;

use super::{CommandError, read};
use crate::{database, host_keys};

/// What is asked of `adit-relay rotate-host-key`.
#[derive(Clone, Debug, clap::Args)]
pub struct RotateHostKey {
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

impl RotateHostKey {
    /// Gives the SSH door new host keys, and says what their fingerprints are. Clients that know the
    /// host CA notice nothing.
    pub async fn run(&self) -> Result<String, CommandError> {
        let config = read(&self.config)?;
        let store = database::open(&config).await?;
        host_keys::create(&store).await?;
        let prints = host_keys::fingerprints(&host_keys::load(&store).await?);
        let told = AuditEvent::AdminChanged {
            actor: "adit-relay rotate-host-key".to_owned(),
            from: Ipv4Addr::LOCALHOST.into(),
            sign_in: None,
            change: "rotate".to_owned(),
            object: "ssh host keys".to_owned(),
            detail: prints.join(", "),
        };
        let recorded = store.audit().append(told).await;
        store.close().await;
        recorded?;
        Ok(format!(
            "The SSH door has new host keys from its next start on:\n  {}\nClients with the line of \
             `adit admin ssh-ca` in known_hosts take them; others have to be told.",
            prints.join("\n  ")
        ))
    }
}
