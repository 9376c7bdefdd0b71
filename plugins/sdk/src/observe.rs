use crate::Media;
use alloc::string::String;

/// The observe hook: hears of requests that ended.
pub trait Observe: Sized {
    /// Reads the settings, once per instance, before its first batch.
    ///
    /// # Errors
    /// A sentence for the operator, if settings that fit the schema don't fit each other. The instance then fails each call.
    fn load() -> Result<Self, String>;

    /// Gets what ended since the last call, of one tenant, at most 256 at once and within some two seconds.
    ///
    /// # Errors
    /// A sentence for the log, if the batch is lost.
    fn batch(&self, tenant: &str, finished: &[Finished]) -> Result<(), String>;
}

/// A request that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its id.
    pub request_id: String,
    /// When it ended: milliseconds since 1970.
    pub time: u64,
    /// Its media.
    pub media: Media,
    /// Whom it was counted under.
    pub viewer: String,
    /// Status of the answer.
    pub status: u16,
    /// Word of the gateway's outcome table, as in its access log (`served`, `client-gone`, …).
    pub outcome: String,
    /// What the cache had: `HIT`, `MISS`, …; empty if it was not asked.
    pub cache: String,
    /// Body bytes sent.
    pub bytes: u64,
    /// From headers to end.
    pub milliseconds: u32,
}
