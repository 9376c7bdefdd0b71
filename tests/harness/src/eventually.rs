//! Waiting for what other processes do in their own time.

use crate::Failure;
use std::time::Duration;

/// Longest wait. Nothing is measured by it: it ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until it holds.
///
/// # Errors
/// When it does not within half a minute, naming `what`, or when it can't be found out.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
    let wait = async {
        while !holds().await? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<(), Failure>(())
    };
    tokio::time::timeout(PATIENCE, wait).await.map_err(|_| format!("not in time: {what}"))?
}
