//! What is done with this repository besides compiling it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to its caller")]

mod arch;
mod bench;
mod cargo;
mod copies;
mod demo;
mod errors;
mod fuzz;
mod package;
mod packages;
mod portal;
mod profile;
mod soak;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Tasks of the Adit repository")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run a relay, a connector and applications on this machine, and print commands to paste
    Demo(demo::Args),
    /// Check formatting, lints, structure and every test, with the real clients they need
    Test(verify::Args),
    /// Measure what Adit costs beside a direct connection
    Bench(bench::Args),
    /// Use each door of programs that count what they do, and keep the counts for the compiler
    Profile(profile::Args),
    /// Kill, starve and crowd a relay, and say what came of it
    Soak(soak::Args),
    /// Look for inputs that break a parser's promises, with libFuzzer
    Fuzz(fuzz::Args),
    /// Make packages of the three programs, for Debian's family and for Fedora's
    Package(package::Args),
    /// Compare the edges between crates with docs/edges.txt
    Arch,
    /// Check that each error code stands once in docs/errors.md
    Errors,
    /// Check that the crates in third_party differ from the published ones by their patches only
    Copies,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => verify::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Profile(args) => profile::run(&args),
        Task::Soak(args) => soak::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Package(args) => package::run(&args),
        Task::Arch => arch::run(),
        Task::Errors => errors::run(),
        Task::Copies => copies::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
