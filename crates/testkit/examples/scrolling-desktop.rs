//! A desktop whose terminal scrolls over a whole screen and does not stop, for `benches/run.py`.
//!
//! Prints its address, account and password, a line each, and shows it until its input ends.

use std::io::{Read as _, Write as _, stdin, stdout};

use anyhow::Result;
use testkit::XrdpTarget;

fn main() -> Result<()> {
    let target = XrdpTarget::running(SCROLL)?;
    let (user, password) = (XrdpTarget::USER, XrdpTarget::PASSWORD);
    writeln!(stdout(), "{}\n{user}\n{password}", target.address())?;
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// No screen is as one before: hosts send only what has changed.
const SCROLL: &str = r#"sh -c 'n=0; while :; do seq -f "%.0f a line of a terminal that scrolls and does not stop, with some words on it" $n $((n += 40)); sleep 0.02; done'"#;
