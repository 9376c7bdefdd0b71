//! The command as it is typed: its output, its exit status, its files.
//!
//! What is started is this very program, which is the command if a variable says so: the `gateway` that mounts it is another
//! crate's.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod admin;
mod guide;
mod keys;
mod projects;
mod recorded;
mod support;

use clap::Parser;
use libtest_mimic::{Arguments, Trial};
use plugin_command::PluginCommand;
use std::process::ExitCode;

/// As `gateway plugin` has it.
#[derive(Parser)]
#[command(name = "plugin")]
struct Cli {
    #[command(subcommand)]
    command: PluginCommand,
}

fn main() -> ExitCode {
    if std::env::var_os(support::AS_COMMAND).is_some() {
        return match plugin_command::run(Cli::parse().command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("gateway: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let trial = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let trials = vec![
        trial("help_has_examples", guide::help_has_examples),
        trial("the_guide_s_commands_are_commands", guide::commands_are_commands),
        trial("the_guide_s_project_is_what_new_makes", guide::project_is_what_new_makes),
        trial("usage_errors_exit_with_2", guide::usage_errors_exit_with_2),
        trial("a_running_gateway_is_listed_and_changed", admin::lists_and_changes),
        trial("a_gateway_that_refuses_is_told", admin::refusals),
        trial("keys_and_signatures", keys::keys_and_signatures),
        trial("a_policy_project_builds_and_answers", projects::policy),
        trial("a_tenant_project_builds_and_answers", projects::tenant),
        trial("an_ads_project_builds_and_answers", projects::ads),
        trial("an_observe_project_builds_and_answers", projects::observe),
        trial("what_does_not_fit_is_shown_as_a_difference", recorded::differences),
        trial("plugins_that_ship_answer_their_recorded_requests", recorded::plugins_that_ship),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
