//! What strangers and targets can say, for fuzz targets.

use access::Clipboard;
use bytes::BytesMut;

use crate::cleanpath::Request;
use crate::clipboard::Rules;
use crate::guard::Guard;
use crate::negotiation::{Protocols, confirmed};
use crate::settings::Account;

/// A client and a target with a guard between them.
pub struct Conversation {
    guard: Guard,
    up: BytesMut,
    down: BytesMut,
}

impl Conversation {
    /// `nla`: the target asks for a login first; `managed`: the relay signs in.
    pub fn new(clipboard: Clipboard, files: bool, nla: bool, managed: bool) -> Self {
        let protocol = if nla { Protocols::ALL } else { Protocols::TLS };
        let account = managed.then(|| Account::new("D\\u", "p".into()));
        let guard = Guard::new(Rules { clipboard, files }, protocol, account);
        Self { guard, up: BytesMut::new(), down: BytesMut::new() }
    }

    /// What goes to the target of what a client says; `None`: it is over.
    pub fn up(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.up.extend_from_slice(bytes);
        self.guard.up(&mut self.up, &mut out).ok().map(|()| out.concat())
    }

    /// The same of a target.
    pub fn down(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.down.extend_from_slice(bytes);
        self.guard.down(&mut self.down, &mut out).ok().map(|()| out.concat())
    }

    /// Bytes that are held back until their frame is whole.
    pub fn waiting(&self) -> usize {
        self.up.len().max(self.down.len())
    }
}

/// The first bytes of a page, and what a target answers before and in a login.
pub fn before(bytes: &[u8]) {
    drop(Request::parse(bytes));
    let _ = confirmed(bytes);
    crate::credssp::fuzz(bytes);
}
