use alloc::{string::String, vec::Vec};

/// The tenant hook: which tenant serves a host. Asked for hosts that the gateway's settings don't name, once per host and
/// time to live.
pub trait Tenants: Sized {
    /// Reads the settings, once per instance, before its first question.
    ///
    /// # Errors
    /// A sentence for the operator, if settings that fit the schema don't fit each other. The instance then fails each call.
    fn load() -> Result<Self, String>;

    /// Finds the tenant of a host (lower case, without port and final dot).
    ///
    /// # Errors
    /// A sentence for the log, if the answer can't be had now (the store is away): the gateway then goes on with the last good
    /// answer, else answers 503. "No tenant has this host" is [`Resolution::Unknown`], not an error.
    fn resolve(&self, host: &str) -> Result<Resolution, String>;
}

/// Who serves a host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on its way out; small where pointers are")]
pub enum Resolution {
    /// This tenant, for the gateway's `plugins.tenant_ttl`.
    Found(Tenant),
    /// No tenant has the host. Kept for the same time.
    Unknown,
}

/// What a tenant's viewers get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// What they ask for.
    #[default]
    Active,
    /// The same until this time (seconds since 1970), the maintenance page after it.
    PastDue(u64),
    /// The maintenance page.
    Suspended,
}

/// What the maintenance page shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branding {
    /// Name of the site, up to 100 characters of plain text.
    pub name: Option<String>,
    /// A sentence for viewers, up to 500 characters of plain text.
    pub message: Option<String>,
    /// An http(s) address for help.
    pub support_url: Option<String>,
}

/// One tenant. A reply that breaks a bound named here is a failure, not an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenant {
    /// 1 to 64 of a-z, 0-9, `-`, `_`; not the id of a tenant in the gateway's settings.
    pub id: String,
    /// Its domains (`films.example.com`, `*.example.com`). One of them must cover the host that was asked for.
    pub domains: Vec<String>,
    /// What viewers get.
    pub status: Status,
    /// Names of its link secrets; the gateway finds them in its own folder of that tenant.
    pub link_secrets: Vec<String>,
    /// Channels whose media it may serve.
    pub channels: Vec<i64>,
    /// The maintenance page.
    pub branding: Branding,
    /// Streams at once, over all viewers.
    pub streams: Option<u32>,
    /// Bytes a second, all streams together.
    pub bytes_per_second: Option<u64>,
}
