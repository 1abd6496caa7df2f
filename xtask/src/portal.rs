//! The portal's front end, which the relay is built with.

use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::{root, step};

/// Makes what is to be embedded; quick where nothing has changed.
pub(crate) fn make() -> Result<()> {
    step(Command::new("node").arg("portal/ui/make.mjs").current_dir(root())).context(NEEDS)
}

/// Checks the types.
pub(crate) fn check() -> Result<()> {
    step(
        Command::new("npm")
            .args(["run", "--silent", "check"])
            .current_dir(root().join("portal/ui")),
    )
}

const NEEDS: &str = "the portal is built with Node 20.19 or newer and its npm: https://nodejs.org";
