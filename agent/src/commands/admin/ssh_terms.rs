//! The options of a grant's section `ssh`.

use access::{Allowed, Proofs, Sftp, SshTerms};
use clap::Args;

use super::edit::yes_or_no;

/// What is not given stays as it is; `--clear ssh` begins anew.
#[derive(Debug, Args)]
pub(super) struct SshArgs {
    /// A way of signing in: the proofs that are asked for, in their order, of publickey,
    /// certificate and token; or agent alone. May be repeated [default: any one of them]
    #[arg(long, value_name = "PROOF,…")]
    ssh_authentication: Vec<Proofs>,
    /// Whether a shell may be opened [default: yes]
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    ssh_shell: Option<bool>,
    /// A command that may be run, as it is sent; a word * stands for one plain word. Or all, or
    /// none; may be repeated [default: all]
    #[arg(long, value_name = "COMMAND")]
    ssh_exec: Vec<String>,
    /// What sftp may do: off, read or write [default: as --file-transfer]
    #[arg(long, value_name = "WHAT")]
    ssh_sftp: Option<Sftp>,
    /// Whether scp and rsync are allowed [default: as --file-transfer, and no where sftp may not
    /// write]
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    ssh_scp: Option<bool>,
    /// Where -L, -D and -W may lead through the target; * stands for any host or port. Or all, or
    /// none; may be repeated [default: as --forwarding]
    #[arg(long, value_name = "HOST:PORT")]
    ssh_local: Vec<String>,
    /// Whether the target may listen for the user, by -R [default: as --forwarding]
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    ssh_remote: Option<bool>,
    /// Whether the SSH agent may be forwarded [default: as --forwarding]
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    ssh_agent: Option<bool>,
    /// Whether programs may open windows on the user's display [default: no]
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    ssh_x11: Option<bool>,
    /// Whether sockets of the file system may be forwarded [default: no]
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    ssh_streamlocal: Option<bool>,
    /// An environment variable that passes, for example LANG or LC_*. Or all, or none; may be
    /// repeated [default: all]
    #[arg(long, value_name = "NAME")]
    ssh_env: Vec<String>,
    /// Whether the SHA-256 of files is recorded that sftp carries in order [default: no]
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    ssh_file_hashes: Option<bool>,
}

impl SshArgs {
    /// Puts what was given in the place of what is there.
    pub(super) fn change(self, terms: &mut SshTerms) {
        if !self.ssh_authentication.is_empty() {
            terms.authentication = Some(self.ssh_authentication.into_iter().collect());
        }
        terms.shell = self.ssh_shell.unwrap_or(terms.shell);
        terms.exec = list(self.ssh_exec).unwrap_or(terms.exec.clone());
        terms.sftp = self.ssh_sftp.or(terms.sftp);
        terms.scp = self.ssh_scp.or(terms.scp);
        terms.local = list(self.ssh_local).or(terms.local.take());
        terms.remote = self.ssh_remote.or(terms.remote);
        terms.agent = self.ssh_agent.or(terms.agent);
        terms.x11 = self.ssh_x11.unwrap_or(terms.x11);
        terms.streamlocal = self.ssh_streamlocal.unwrap_or(terms.streamlocal);
        terms.environment = list(self.ssh_env).unwrap_or(terms.environment.clone());
        terms.file_hashes = self.ssh_file_hashes.unwrap_or(terms.file_hashes);
    }
}

fn list(given: Vec<String>) -> Option<Allowed> {
    (!given.is_empty()).then(|| Allowed::from(given))
}
