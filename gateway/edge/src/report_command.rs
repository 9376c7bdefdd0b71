//! `gateway report`: asks a running gateway what a day came to.

use admin_client::{AdminClient, AdminError, Gateway};
use clap::Args;
use http::Method;
use report::Report;
use std::io::{Write, stdout};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// `gateway report`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  gateway report --config gateway.toml\n  gateway report 2026-11-22 --config gateway.toml --json"
)]
pub(crate) struct ReportCommand {
    /// A day of UTC that is over, as 2026-11-22; needs report.folder. Without it, today so far.
    day: Option<String>,
    #[command(flatten)]
    gateway: Gateway,
    /// As the gateway sent it.
    #[arg(long)]
    json: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportFailure {
    #[error(transparent)]
    Asked(#[from] AdminError),
    #[error("standard output: {0}")]
    Output(#[from] std::io::Error),
}

/// Runs it.
pub(crate) fn run(command: &ReportCommand) -> Result<(), ReportFailure> {
    let client = AdminClient::new(&command.gateway, PATIENCE)?;
    let path = command.day.as_ref().map_or_else(|| "/v1/report".to_owned(), |day| format!("/v1/report?day={day}"));
    let answer = client.ask(Method::GET, &path)?;
    let text = if command.json { answer } else { client.read::<Report>(&answer)?.to_string() };
    Ok(stdout().write_all(text.as_bytes())?)
}
