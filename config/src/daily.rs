//! The gateway's settings of its daily report.

use crate::report::Report;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const MOST_LINKS: usize = 100;

/// What is told of each day (of UTC), and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DailyReport {
    /// Folder for a file of each day, as 2026-11-22.json, and for the day so far, which a restart goes on with. Made if its parent exists.
    /// If unset, a restart begins anew.
    #[schemars(extend("example" = "/var/lib/streamvault-gateway/reports"))]
    pub folder: Option<PathBuf>,
    /// A program, by its absolute path, and its arguments: run after each day, with the report as a message on its standard input, to post it
    /// somewhere. What it gets is not secret but for how busy the service is.
    #[schemars(extend("example" = ["/usr/bin/curl", "--silent", "--show-error", "--fail", "--data-binary", "@-", "https://ntfy.example.com/films"]))]
    pub command: Vec<String>,
    /// Links that lead nowhere, up to 100: those that were asked for most.
    pub dead_links: usize,
}

impl Default for DailyReport {
    fn default() -> Self {
        Self { folder: None, command: Vec::new(), dead_links: 20 }
    }
}

impl DailyReport {
    pub(crate) fn check(&self, report: &mut Report<'_>) {
        if let Some(folder) = &self.folder {
            report.require_absolute(folder, "report.folder");
        }
        if let Some(program) = self.command.first() {
            report.require_absolute(Path::new(program), "report.command[0]");
        }
        report.require(self.dead_links <= MOST_LINKS, "report.dead_links", "must be at most 100");
    }
}
