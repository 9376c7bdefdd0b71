//! Counters of what gateways asked of each other.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Monotonic counters since start.
        #[derive(Debug, Default)]
        pub struct PeerStats { $($(#[$doc])* pub(crate) $name: Count,)+ }

        impl PeerStats {
            /// Every counter by a name that fits a Prometheus label.
            #[must_use]
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)+]
            }
        }
    };
}

counters! {
    /// Requests to other gateways.
    asked,
    /// Bytes that came of them.
    asked_bytes,
    /// Questions and transfers that went past the media's owner, because it was out of reach or did not answer as it should.
    bypassed,
    /// Transfers that went on elsewhere in the middle of their bytes.
    resumed,
    /// Times that a gateway was found out of reach.
    lost,
    /// Requests of other gateways that were answered with a media or its description.
    served,
    /// Bytes sent to other gateways.
    served_bytes,
    /// Of those requests, the ones that went past the cache, because its own bytes came from a gateway.
    passed,
    /// Requests on the gateways' listener that were refused.
    refused,
}

/// One figure.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl PeerStats {
    /// Another gateway was answered. `past_cache`: straight from the hive.
    pub fn served(&self, past_cache: bool) {
        self.served.add(1);
        self.passed.add(u64::from(past_cache));
    }

    /// It was sent so many bytes.
    pub fn sent(&self, bytes: u64) {
        self.served_bytes.add(bytes);
    }

    /// A request on the gateways' listener was refused.
    pub fn refused(&self) {
        self.refused.add(1);
    }
}
