//! The store's rows as the API shows them.

use std::time::SystemTime;

use access::Name;
use api::{
    ApplicationRow, AuditRow, ConnectorRow, GrantRow, GroupRow, SessionRow, SiteRow, TokenRow,
    TokenState, UserRow,
};
use session::LiveSession;

use crate::connectors::LiveConnector;

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

pub(super) fn connector(row: store::ConnectorRow, live: &[LiveConnector]) -> ConnectorRow {
    let live = live.iter().find(|live| live.id == row.id);
    ConnectorRow {
        id: row.id,
        name: row.name,
        site: row.site_name,
        online: live.is_some(),
        address: live.map(|live| live.address.to_string()),
        since: live.map(|live| live.since),
        version: live.map(|live| live.version.clone()),
        sessions: live.map_or(0, |live| live.sessions),
    }
}

pub(super) fn application(row: store::ApplicationRow) -> ApplicationRow {
    ApplicationRow {
        name: row.name,
        site: row.site,
        kind: row.kind,
        address: row.address,
        login: row.login,
        host_key: row.host_key,
        allow_api: row.allow_api,
        tags: row.tags,
    }
}

pub(super) fn user(row: store::UserRow) -> UserRow {
    UserRow {
        name: row.name,
        admin: row.admin,
        enabled: row.enabled,
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
    TokenRow {
        state: match row.state(now) {
            store::TokenState::Live => TokenState::Live,
            store::TokenState::Expired => TokenState::Expired,
            store::TokenState::Revoked => TokenState::Revoked,
            store::TokenState::UsedUp => TokenState::UsedUp,
        },
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
    }
}

pub(super) fn audit(row: store::AuditRow) -> AuditRow {
    AuditRow {
        seq: row.seq,
        at_ms: row.at_ms,
        action: row.action,
        session: row.session,
        event: row.event,
    }
}
