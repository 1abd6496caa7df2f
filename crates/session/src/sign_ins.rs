//! What the web door needs to know of browsers that are signed in.

use std::net::IpAddr;

use access::{ApplicationId, Authenticated};
use secrecy::SecretString;

/// Vouches for browsers. The relay's `authn` is the only implementation outside tests.
pub trait SignIns: Send + Sync {
    /// Vouches for the user of a browser, by the cookie that it was given for this application.
    /// `None`: it is for another one, or the browser is signed in no more; either way it is as good
    /// as none.
    fn visitor(
        &self,
        cookie: &SecretString,
        application: ApplicationId,
        from: IpAddr,
    ) -> Option<Authenticated>;

    /// Takes a hand-over code, once. `None`: it is none, was taken before, or is for another
    /// application or for a browser that does not hold `nonce`.
    fn enter(
        &self,
        code: &SecretString,
        application: ApplicationId,
        nonce: &SecretString,
    ) -> Option<Entered>;
}

/// A browser that is let in to an application.
#[derive(Debug)]
pub struct Entered {
    /// What the browser shows to this application from now on.
    pub cookie: SecretString,
    /// Path and query that it wanted.
    pub path: String,
}
