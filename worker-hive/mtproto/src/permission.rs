//! Whether an account may be used at this moment. Telegram revokes a key that is used from two places, so whoever shares accounts
//! between processes must be able to stop one before its next byte.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether a permission that is suspended is given again.
const LOOK: Duration = Duration::from_millis(20);

/// Asked before each call, each connect and each write; clones are the same permission.
#[derive(Clone)]
pub struct Permission {
    given: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
    withdrawn: CancellationToken,
}

impl Permission {
    /// Given until it is withdrawn.
    #[must_use]
    pub fn always() -> Self {
        Self { given: None, withdrawn: CancellationToken::new() }
    }

    /// Given while the function says so, and until it is withdrawn. It is called often and must be quick.
    #[must_use]
    pub fn while_so(given: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { given: Some(Arc::new(given)), withdrawn: CancellationToken::new() }
    }

    /// True while the account may be used.
    #[must_use]
    pub fn is_given(&self) -> bool {
        !self.withdrawn.is_cancelled() && self.given.as_ref().is_none_or(|given| given())
    }

    /// Takes the permission back for good: its connections are closed at once.
    pub fn withdraw(&self) {
        self.withdrawn.cancel();
    }

    /// Completes once it is withdrawn.
    pub(crate) async fn withdrawn(&self) {
        self.withdrawn.cancelled().await;
    }

    /// Completes once it is given; never, if it is withdrawn.
    pub(crate) async fn given(&self) {
        while !self.is_given() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl fmt::Debug for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permission").field("given", &self.is_given()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Permission;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn suspended_is_waited_for_and_withdrawn_is_final() {
        let flag = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&flag);
        let permission = Permission::while_so(move || shared.load(Ordering::SeqCst));
        assert!(!permission.is_given() && Permission::always().is_given());
        let waiting = permission.clone();
        let waiting = tokio::spawn(async move { waiting.given().await });
        flag.store(true, Ordering::SeqCst);
        waiting.await.unwrap();
        permission.clone().withdraw();
        assert!(!permission.is_given());
        permission.withdrawn().await;
    }
}
