//! What is told of a day.

use crate::sums::{Dead, Sums};
use serde::{Deserialize, Serialize};

/// A day, or what has been of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// As `2026-11-22`, of UTC.
    pub day: String,
    /// Unix time from which on it was counted: the day's begin, or later if the gateway was not there.
    pub from: i64,
    /// Unix time up to which it was counted.
    pub until: i64,
    /// Sums of all tenants.
    #[serde(flatten)]
    pub sums: Sums,
    /// Different viewers that got something, to some 2 %: by name where they have one, else by address.
    pub viewers: usize,
    /// Hits of all answers with media.
    pub hit_ratio: Option<f64>,
    /// Each tenant, most bytes first.
    pub tenants: Vec<TenantReport>,
    /// Links that lead nowhere, those that were asked for most.
    pub dead_links: Vec<DeadLink>,
    /// The cache's disk when the report was made.
    pub storage: Storage,
}

/// One tenant's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantReport {
    /// Its id; [`crate::OTHER`] for requests whose tenant is not known, or one too many.
    pub id: String,
    /// Its sums.
    #[serde(flatten)]
    pub sums: Sums,
    /// As in [`Report`].
    pub viewers: usize,
    /// As in [`Report`].
    pub hit_ratio: Option<f64>,
}

impl TenantReport {
    pub(crate) fn new(id: &str, sums: &Sums, viewers: usize) -> Self {
        Self { id: id.to_owned(), sums: *sums, viewers, hit_ratio: sums.hit_ratio() }
    }
}

/// A link that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLink {
    /// Whose link.
    pub tenant: String,
    /// The media's path, without what a link has beside it.
    pub media: String,
    /// Why.
    pub dead: Dead,
    /// How often it was asked for, at least.
    pub requests: u64,
}

/// The cache's disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Bytes that the file system counts.
    pub bytes_on_disk: u64,
    /// What the settings allow.
    pub max_size: u64,
    /// Films with bytes there.
    pub media: u64,
}
