//! Host names that are the relay's own.

use std::sync::PoisonError;

use access::HostName;

use crate::Store;

/// What the relay is called itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnHosts {
    domain: Option<String>,
    names: Vec<String>,
}

impl Store {
    /// Says what the relay is called: no application is given one of these names from now on, nor
    /// one below the domain.
    pub fn call_relay(&self, domain: &str, names: &[String]) {
        let own = OwnHosts { domain: Some(domain.to_owned()), names: names.to_vec() };
        *self.inner.own_hosts.write().unwrap_or_else(PoisonError::into_inner) = own;
    }

    pub(super) fn own_hosts(&self) -> OwnHosts {
        self.inner.own_hosts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl OwnHosts {
    pub(super) fn hold(&self, host: &HostName) -> bool {
        self.domain.as_ref().is_some_and(|domain| host.is_within(domain))
            || self.names.iter().any(|name| name.eq_ignore_ascii_case(host.as_str()))
    }
}
