//! The store's rows as the API shows them.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use access::{Address, Application, Explain as _, Name, TokenKind};
use api::{
    AccessRequest, AgentRow, ApplicationRow, AuditRow, CheckRow, ConnectorRow, GrantRow, GroupRow,
    LastSeen, ReachRow, SessionRow, SiteRow, Span, SshKeyRow, TokenRow, TokenState, UserRow,
};
use session::LiveSession;
use store::{Known, Seen};

use crate::connectors::{Checked, LiveConnector, Measured};

pub(super) fn site(
    name: Name,
    connectors: &[ConnectorRow],
    applications: &[store::ApplicationRow],
) -> SiteRow {
    let own = || connectors.iter().filter(|connector| connector.site == name);
    SiteRow {
        connectors: own().count(),
        online: own().filter(|connector| connector.online).count(),
        applications: applications.iter().filter(|app| app.site == name).count(),
        name,
    }
}

/// Who was seen when.
pub(super) type AllSeen = HashMap<Known, Seen>;

fn last_seen(who: Known, seen: &AllSeen) -> Option<LastSeen> {
    let Seen { at, from, by } = seen.get(&who)?.clone();
    Some(LastSeen { at, from, door: by })
}

pub(super) fn connector(
    row: store::ConnectorRow,
    live: &[LiveConnector],
    seen: &AllSeen,
    applications: Vec<ReachRow>,
) -> ConnectorRow {
    let live = live.iter().find(|live| live.id == row.id);
    let seen = seen.get(&Known::Connector(row.id));
    let last_address = || Some(seen?.from?.to_string());
    ConnectorRow {
        id: row.id,
        name: row.name,
        site: row.site_name,
        key: row.key,
        certificate_expires: live.map(|live| live.certificate_expires),
        online: live.is_some(),
        address: live.map(|live| live.address.to_string()).or_else(last_address),
        transport: live.map(|live| live.transport.to_owned()),
        since: live.map(|live| live.since),
        seen: seen.map(|seen| seen.at),
        version: live.map(|live| live.version.clone()).or_else(|| seen?.by.clone()),
        sessions: live.map_or(0, |live| live.sessions),
        draining: live.is_some_and(|live| live.draining),
        relays: Vec::new(),
        cloned: live.and_then(|live| live.cloned),
        doctor: None,
        applications,
    }
}

pub(super) fn reach(application: &Application, address: &Address, measured: Measured) -> ReachRow {
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    ReachRow {
        application: application.full_name(),
        address: address.to_string(),
        reachable: measured.is_reachable(),
        micros: measured.usual.map(micros),
        reached: measured.reached.map(seconds),
        failure: measured.failed.map(|(code, _)| code.to_string()),
        failed: measured.failed.map(|(_, at)| seconds(at)),
    }
}

pub(super) fn check(checked: &Checked) -> CheckRow {
    let failed = checked.outcome.as_ref().err();
    let hint = failed.and_then(|(error, _)| error.hint());
    CheckRow {
        connector: checked.connector,
        name: checked.name.clone(),
        address: checked.address.to_string(),
        reachable: failed.is_none(),
        micros: checked.outcome.as_ref().ok().copied().map(micros),
        code: failed.map(|(error, _)| error.code().to_string()),
        hop: failed.map(|(_, hop)| hop.as_str().to_owned()),
        detail: failed.map(|(error, _)| error.to_string()),
        hint: hint.map(std::borrow::Cow::into_owned),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn application(row: store::ApplicationRow) -> ApplicationRow {
    ApplicationRow {
        name: row.name,
        site: row.site,
        kind: row.kind,
        address: row.address,
        login: row.login,
        host_key: row.host_key,
        legacy_algorithms: row.legacy_algorithms,
        allow_api: row.allow_api,
        require_active_session: row.require_active_session,
        requestable: row.requestable,
        approvers: row.approvers,
        tags: row.tags,
        web: row.web,
        database: row.database,
        rdp: row.rdp,
    }
}

pub(super) fn user(row: store::UserRow, seen: &AllSeen) -> UserRow {
    UserRow {
        seen: last_seen(Known::User(row.id), seen),
        name: row.name,
        admin: row.admin,
        auditor: row.auditor,
        approver: row.approver,
        admin_of: row.admin_of,
        enabled: row.enabled,
        machine: row.machine,
        groups: row.groups,
        ssh_keys: row.ssh_keys.into_iter().map(|key| key.fingerprint).collect(),
    }
}

pub(super) fn group(row: store::GroupRow) -> GroupRow {
    GroupRow { name: row.name, members: row.members }
}

pub(super) fn grant(row: store::GrantRow) -> GrantRow {
    GrantRow { id: row.id, grant: row.spec }
}

pub(super) fn token(row: store::TokenRow, now: SystemTime) -> TokenRow {
    let warning = warning(&row, now);
    TokenRow {
        state: row.state(now),
        id: row.id,
        kind: row.kind,
        user: row.user,
        application: row.application,
        site: row.site,
        created: row.created,
        expires: row.expires,
        uses_left: row.uses_left,
        used: row.used,
        used_from: row.used_from,
        replaced: row.replaced,
        scopes: row.scopes,
        warning,
    }
}

/// What to do about a live token that lasts and expires within a week.
fn warning(row: &store::TokenRow, now: SystemTime) -> Option<String> {
    let lasts = matches!(row.kind, TokenKind::Api | TokenKind::Admin);
    let live = row.state(now) == TokenState::Live;
    let when = soon(row.expires?, now).filter(|_| lasts && live)?;
    Some(match (row.replaced, row.kind, &row.application) {
        (Some(_), ..) => format!("replaced: it ends {when}"),
        (None, TokenKind::Api, Some(app)) => {
            format!("expires {when}: `adit token regenerate {app} --overlap 1h`")
        }
        (None, ..) => format!("expires {when}: issue another"),
    })
}

/// When something ends, in words, where that is soon.
fn soon(end: u64, now: SystemTime) -> Option<String> {
    let end = UNIX_EPOCH + Duration::from_secs(end);
    let left = end.duration_since(now).ok().filter(|left| !left.is_zero() && *left <= SOON)?;
    Some(match left.as_secs() / 86_400 {
        0 => "within a day".to_owned(),
        1 => "in a day".to_owned(),
        days => format!("in {days} days"),
    })
}

pub(super) fn ssh_key(user: &Name, row: &store::SshKeyRow, now: SystemTime) -> SshKeyRow {
    let past = |end: u64| UNIX_EPOCH + Duration::from_secs(end) <= now;
    let warning = row.expires.and_then(|end| soon(end, now));
    SshKeyRow {
        user: user.clone(),
        fingerprint: row.fingerprint.clone(),
        algorithm: row.algorithm().to_owned(),
        name: row.comment().to_owned(),
        expires: row.expires,
        expired: row.expires.is_some_and(past),
        warning: warning.map(|when| format!("expires {when}: register it again, or another one")),
    }
}

/// From when on before its end a token or key is said to expire.
pub(crate) const SOON: Duration = Duration::from_secs(7 * 86_400);

pub(crate) fn request(row: store::RequestRow) -> Option<AccessRequest> {
    Some(AccessRequest {
        id: row.id,
        user: row.user,
        application: row.application,
        reason: row.reason,
        duration: Span::from_seconds(row.seconds)?,
        created: row.created,
        state: row.state,
        decided: row.decided,
        decided_by: row.decided_by,
        comment: row.comment,
        ends: row.ends,
    })
}

pub(super) fn agent(row: store::AgentRow, online: bool, seen: &AllSeen) -> AgentRow {
    AgentRow {
        seen: last_seen(Known::Agent(row.id), seen),
        id: row.id,
        user: row.user_name,
        device: row.device,
        created: row.created,
        expires: row.expires,
        online,
        token: row.token.map(|token| token.id),
    }
}

pub(super) fn session(live: LiveSession) -> SessionRow {
    SessionRow {
        id: live.id,
        user: live.user,
        application: live.application,
        site: live.site,
        kind: live.kind,
        door: live.door.as_str().to_owned(),
        from: live.from,
        login: live.login,
        opened_ms: live.opened,
        up: live.up,
        down: live.down,
        relay: None,
    }
}

/// One that another relay has.
pub(super) fn session_elsewhere(row: store::LiveRow) -> SessionRow {
    SessionRow {
        id: row.session,
        user: row.user,
        application: row.application,
        site: row.site,
        kind: row.kind,
        door: row.door,
        from: row.from,
        login: row.login,
        opened_ms: row.opened_ms,
        up: 0,
        down: 0,
        relay: Some(row.relay),
    }
}

/// Unix milliseconds.
pub(crate) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn audit(row: store::AuditRow) -> AuditRow {
    AuditRow {
        seq: row.seq,
        at_ms: row.at_ms,
        action: row.action,
        session: row.session,
        user: row.user,
        event: row.event,
        hash: row.hash,
    }
}
