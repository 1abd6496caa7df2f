//! The section `updates`: what connectors update themselves from.

use std::path::{Path, PathBuf};

use update::PublicKey;

use super::document::Section;

/// Where updates of connectors are published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updates {
    /// What `adit-relay update publish` fills; absent: there are none.
    pub folder: Option<PathBuf>,
    /// The publisher's public key, which connectors are told when they join.
    pub key: Option<PublicKey>,
    /// Whether connectors that join are set to update by themselves.
    pub automatic: bool,
}

pub(super) fn updates(section: &mut Section<'_>, base: &Path) -> Option<Updates> {
    let folder = section
        .text("folder", "the path of a folder", |text| (!text.is_empty()).then(|| base.join(text)));
    let key = section.text("key", KEY, |text| text.parse().ok());
    let automatic = section.flag("automatic");
    Some(Updates { folder: folder?, key: key?, automatic: automatic?.unwrap_or(false) })
}

const KEY: &str = "the public key that `adit-relay update keygen` prints";
