//! The options of a grant's terms, the same whether it is made or changed.

use access::{Clipboard, Level, Recording};
use api::{GrantSpec, Span};
use clap::Args;

use super::edit::{replace, yes_or_no};
use super::ssh_terms::SshArgs;

/// What is not given stays as it is; in a new grant, that is the default.
#[derive(Debug, Args)]
pub(super) struct TermArgs {
    /// An account at the target that may be used; may be repeated [default: any]
    #[arg(long = "login", value_name = "NAME")]
    logins: Vec<String>,
    /// Whether ports and the SSH agent may be forwarded [default: no]
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no, num_args = 0..=1,
        default_missing_value = "yes")]
    forwarding: Option<bool>,
    /// Whether sftp, scp and rsync are allowed, and drives and files at desktops; a shell or a command
    /// can still print a file [default: yes]
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    file_transfer: Option<bool>,
    #[command(flatten)]
    ssh: SshArgs,
    /// The most that may be done in a database: viewer, editor or owner [default: not limited]
    #[arg(long)]
    level: Option<Level>,
    /// A database that may be opened; may be repeated [default: any]
    #[arg(long = "database", value_name = "NAME")]
    databases: Vec<String>,
    /// Which way the clipboard may carry: off, to-target, from-target or both [default: both]
    #[arg(long, value_name = "WAY")]
    clipboard: Option<Clipboard>,
    /// Whether a desktop may print at its user's printers [default: yes]
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    printer: Option<bool>,
    /// Whether a desktop is heard, and hears its user's microphone [default: yes]
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    audio: Option<bool>,
    /// Whether sessions are recorded: off; required: nothing is done that is not recorded; or
    /// with-input: what is typed at terminals is kept too, as far as they show it [default: off]
    #[arg(long, value_name = "WHETHER")]
    recording: Option<Recording>,
    /// Let the session last only while its user is signed in (`adit login`) [default: no]
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no, num_args = 0..=1,
        default_missing_value = "yes")]
    require_active_session: Option<bool>,
    /// A network the user may come from; may be repeated [default: any]
    #[arg(long = "source", value_name = "CIDR")]
    sources: Vec<String>,
    /// The longest session, for example 8h
    #[arg(long, value_name = "TIME")]
    max_session: Option<Span>,
    /// How long a session may carry nothing, for example 30m
    #[arg(long, value_name = "TIME")]
    idle: Option<Span>,
    /// Not before, for example 2026-12-01T08:00:00Z
    #[arg(long, value_name = "TIME")]
    valid_from: Option<String>,
    /// Not from then on
    #[arg(long, value_name = "TIME")]
    valid_until: Option<String>,
    /// When sessions may be open, for example "mon-fri 08:00-18:00"; they end with it. May be
    /// repeated [default: any time]
    #[arg(long, value_name = "WINDOW")]
    hours: Vec<String>,
    /// The time zone of the hours, for example Europe/Berlin
    #[arg(long)]
    zone: Option<String>,
}

impl TermArgs {
    /// Puts what was given in the place of what is there.
    pub(super) fn change(self, grant: &mut GrantSpec) {
        replace(&mut grant.logins, self.logins, false);
        grant.forwarding = self.forwarding.unwrap_or(grant.forwarding);
        grant.file_transfer = self.file_transfer.unwrap_or(grant.file_transfer);
        self.ssh.change(&mut grant.ssh);
        grant.level = self.level.or(grant.level);
        replace(&mut grant.databases, self.databases, false);
        grant.clipboard = self.clipboard.unwrap_or(grant.clipboard);
        grant.printer = self.printer.unwrap_or(grant.printer);
        grant.audio = self.audio.unwrap_or(grant.audio);
        grant.recording = self.recording.unwrap_or(grant.recording);
        let signed_in = self.require_active_session;
        grant.require_active_session = signed_in.unwrap_or(grant.require_active_session);
        replace(&mut grant.sources, self.sources, false);
        grant.max_session = self.max_session.map(String::from).or(grant.max_session.take());
        grant.idle = self.idle.map(String::from).or(grant.idle.take());
        grant.valid_from = self.valid_from.or(grant.valid_from.take());
        grant.valid_until = self.valid_until.or(grant.valid_until.take());
        replace(&mut grant.hours, self.hours, false);
        grant.zone = self.zone.or(grant.zone.take());
    }
}
