//! One run of wrk, and what it cost the edge.

use crate::rig::{Edge, Meter};
use harness::Failure;
use serde_json::Value;
use std::path::Path;
use tokio::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/load/ranges.lua");

/// What one run is.
pub(crate) struct Plan<'a> {
    /// Lines of a link and a range each.
    pub(crate) list: &'a Path,
    /// Host to ask, in the place of the address.
    pub(crate) host: Option<&'a str>,
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
    /// Bytes of every answer's body.
    pub(crate) size: u64,
}

/// What came of it.
pub(crate) struct Load {
    pub(crate) requests: f64,
    /// As wrk measured them.
    pub(crate) seconds: f64,
    /// Seconds of processor time that the edge used.
    pub(crate) cpu: f64,
    /// Microseconds to the last byte.
    pub(crate) p99: f64,
}

impl Plan<'_> {
    /// Fails unless every answer came whole.
    pub(crate) async fn run(&self, edge: &Edge) -> Result<Load, Failure> {
        let meter = Meter::start(&edge.pids)?;
        let output = Command::new("wrk")
            .args(["-t1", "-c", &self.connections.to_string(), "-d", &format!("{}s", self.seconds), "-s", SCRIPT])
            .arg(format!("http://{}/", edge.client.address))
            .arg("--")
            .arg(self.list)
            .args(self.host)
            .kill_on_drop(true)
            .output()
            .await?;
        let (_, cpu) = meter.stop()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let result = text
            .lines()
            .find_map(|line| line.strip_prefix("RESULT "))
            .ok_or_else(|| format!("wrk gave no result: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
        let result: Value = serde_json::from_str(result)?;
        let field = |name: &str| result.get(name).and_then(Value::as_f64).ok_or_else(|| format!("wrk says no {name}"));
        let (requests, bytes) = (field("requests")?, field("bytes")?);
        // Heads come on top; answers under way at the end are not counted as requests.
        if field("errors")? > 0.0 || requests < 1.0 || bytes < requests * self.size as f64 {
            return Err(format!("{} failed under load: {result}", edge.name).into());
        }
        let seconds = field("micros")? / 1e6;
        Ok(Load { requests, seconds, cpu, p99: field("p99")? })
    }
}
