//! What strangers and targets can say, for fuzz targets.

use access::Clipboard;
use bytes::{Bytes, BytesMut};

use crate::capabilities::{Limits, narrowed};
use crate::cleanpath::Request;
use crate::clipboard::{Client, Rules};
use crate::guard::Guard;
use crate::negotiation::{Protocols, confirmed};
use crate::replay::{Replay, forget, from_demand, from_whole};
use crate::settings::Account;
use crate::watch::Watch;

/// A client and a target with a guard between them.
pub struct Conversation {
    guard: Guard,
    up: BytesMut,
    down: BytesMut,
}

/// How a connection is.
pub struct Setting {
    pub clipboard: Clipboard,
    pub files: bool,
    pub printer: bool,
    pub audio: bool,
    /// A program, and no page.
    pub native: bool,
    /// The target asks for a login first.
    pub nla: bool,
    /// The relay signs in.
    pub managed: bool,
    /// What is shown is kept, and keys are.
    pub recorded: bool,
    /// Pictures are as the target has them.
    pub exact: bool,
}

impl Conversation {
    pub fn new(setting: &Setting) -> Self {
        let Setting { clipboard, files, printer, audio, native, nla, managed, recorded, exact } =
            *setting;
        let client = if native { Client::Native } else { Client::Page };
        let protocol = if nla { Protocols::ALL } else { Protocols::TLS };
        let account = managed.then(|| Account::new("D\\u", "p".into()));
        let rules = Rules { clipboard, files, printer, audio, client, recorded, exact };
        let guard = Guard::new(rules, protocol, account);
        let guard = guard.watched(recorded.then(|| Watch::new(true)));
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
    crate::host::fuzz(bytes);
}

/// What a client says that it can do, and less is told of. Cut down twice, it is as cut down once.
pub fn able(bytes: &[u8]) {
    let both = |licensing| {
        let limits = [(true, false), (true, true), (false, true)];
        limits.map(|(shown_again, exact)| (licensing, Limits { shown_again, exact }))
    };
    for (licensing, limits) in [false, true].into_iter().flat_map(both) {
        let Ok(told) = narrowed(bytes, licensing, limits) else { continue };
        assert_eq!(narrowed(&told, licensing, limits).as_ref(), Ok(&told), "it is told more");
        assert!(told.len() <= bytes.len() + 88 * (bytes.len() / 20), "more than was said");
    }
}

/// What a target has said, as it is kept and shown again, and what a page says that is shown it.
pub fn recorded(bytes: &[u8]) {
    let mut watch = Watch::new(true);
    let _ = watch.said(bytes, bytes);
    watch.typed(bytes);
    watch.asked(bytes);
    let _ = watch.pictured(bytes);
    let kept = watch.take_shown().map_or(0, |shown| shown.len());
    assert!(kept <= 2 * bytes.len(), "more than was shown");
    let shown = Bytes::copy_from_slice(bytes);
    let _ = (from_demand(&shown), from_whole(&shown), forget(&shown));
    drop(Replay::fuzz(bytes));
}
