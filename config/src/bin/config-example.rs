//! Prints the example settings of one of the binaries: `config-example gateway|worker-hive`.

use config::{GatewaySettings, HiveSettings, example};
use std::process::ExitCode;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this command is for")]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let text = match (arguments.next().as_deref(), arguments.next()) {
        (Some("gateway"), None) => example::<GatewaySettings>(),
        (Some("worker-hive"), None) => example::<HiveSettings>(),
        _ => {
            eprintln!("usage: config-example gateway|worker-hive");
            return ExitCode::from(2);
        }
    };
    print!("{text}");
    ExitCode::SUCCESS
}
