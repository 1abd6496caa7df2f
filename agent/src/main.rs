//! The `adit` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    adit_agent::main()
}
