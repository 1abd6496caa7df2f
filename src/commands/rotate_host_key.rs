use std::net::Ipv4Addr;
use std::path::PathBuf;

use session::AuditEvent;

use super::{CommandError, read};
use crate::host_keys::HostKeyring;
use crate::{database, host_keys};

/// What is asked of `adit-relay rotate-host-key`.
#[derive(Clone, Debug, clap::Args)]
pub struct RotateHostKey {
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Make all keys anew, the announced ones too: for when somebody may have read them
    #[arg(long)]
    pub anew: bool,
}

impl RotateHostKey {
    /// Gives the SSH door its next host keys, and says what the fingerprints are. Clients that know
    /// the host CA notice nothing, and neither do those that were told of the next keys.
    pub async fn run(&self) -> Result<String, CommandError> {
        let config = read(&self.config)?;
        let store = database::open(&config).await?;
        match self.anew {
            true => host_keys::create(&store).await?,
            false => host_keys::rotate(&store).await?,
        }
        let HostKeyring { current, next } = host_keys::load(&store).await?;
        let prints = host_keys::fingerprints(&current);
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
             `adit admin ssh-ca` in known_hosts take them{}; others have to be told.\nIt tells \
             clients of those that it will have after them:\n  {}",
            prints.join("\n  "),
            if self.anew { "" } else { ", and those that were told of them (UpdateHostKeys)" },
            host_keys::fingerprints(&next).join("\n  "),
        ))
    }
}
