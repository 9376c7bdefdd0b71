//! The `worker-hive` command.

mod cli;
mod commands;
mod login;
mod login_prompt;
mod login_qr;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Clap itself ends the process with 2 on a usage error and with 0 after --help.
    match commands::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker-hive: {error}");
            ExitCode::FAILURE
        }
    }
}
