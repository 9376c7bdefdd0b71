//! Which buckets a request takes from, and what a decision says of each.

use crate::meter::Rate;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// What a request is for. Each has rates of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Media.
    Stream,
    /// A signed link.
    Sign,
    /// A token that says who somebody is.
    Auth,
    /// Anything else that is answered by the gateway itself.
    Api,
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Stream, Self::Sign, Self::Auth, Self::Api];

    /// Its name in keys, fields and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Sign => "sign",
            Self::Auth => "auth",
            Self::Api => "api",
        }
    }
}

/// Whom a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One network address; of IPv6 a /64, which is what a household has.
    Address,
    /// One viewer, by a name that was verified.
    Identity,
    /// All viewers of a tenant.
    Tenant,
}

impl Scope {
    /// Its name in keys and fields.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Identity => "identity",
            Self::Tenant => "tenant",
        }
    }
}

/// Rates of one route. `None` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteRates {
    /// Of each address.
    pub address: Option<Rate>,
    /// Of each identity.
    pub identity: Option<Rate>,
    /// Of the tenant, all its viewers together.
    pub tenant: Option<Rate>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The tenant's id. The same address or identity at two tenants is two.
    pub tenant: &'a str,
    /// The address that stands for the client (of IPv6 its /64), as text; `None` if it has none.
    pub address: Option<&'a str>,
    /// A name that was verified; `None` for who has none. Of any length.
    pub identity: Option<&'a str>,
}

/// Stands for a bucket, whatever the length of the names.
pub(crate) type Key = [u8; 16];

/// One bucket of a decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    pub(crate) key: Key,
    pub(crate) route: Route,
    pub(crate) scope: Scope,
    pub(crate) rate: Rate,
}

/// Those that a request takes from, in the order in which they are told of.
pub(crate) fn buckets(route: Route, rates: &RouteRates, who: &Who<'_>) -> Vec<Bucket> {
    let scopes = [
        (Scope::Address, rates.address, who.address),
        (Scope::Identity, rates.identity, who.identity),
        (Scope::Tenant, rates.tenant, Some("")),
    ];
    let bucket = |(scope, rate, name): (Scope, Option<Rate>, Option<&str>)| {
        let (rate, name) = rate.zip(name)?;
        Some(Bucket { key: key(&[who.tenant, route.word(), scope.word(), name]), route, scope, rate })
    };
    scopes.into_iter().filter_map(bucket).collect()
}

/// Lengths go in first: no name can run over into the next.
pub(crate) fn key(names: &[&str]) -> Key {
    let mut hash = Sha256::new();
    for name in names {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut key = Key::default();
    key.copy_from_slice(&digest[..16]);
    key
}

/// What a decision left in one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whom it counts.
    pub scope: Scope,
    /// Its rate.
    pub rate: Rate,
    pub(crate) route: Route,
    pub(crate) level: u64,
    pub(crate) cost: u64,
}

impl Standing {
    /// Requests that may come now.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        (self.rate.capacity() - self.level.min(self.rate.capacity())) / self.cost.max(1)
    }

    /// How long until all of the rate is there again.
    #[must_use]
    pub fn reset(&self) -> Duration {
        self.rate.time_to_drain(self.level)
    }

    /// How long until one more request may come; nothing if it may now.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.rate.time_to_drain((self.level + self.cost).saturating_sub(self.rate.capacity()))
    }
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) passed: bool,
    pub(crate) standings: Vec<Standing>,
}

#[cfg(test)]
mod tests {
    use super::{Route, RouteRates, Who, buckets, key};
    use crate::meter::Rate;
    use std::collections::HashSet;
    use std::time::Duration;

    #[test]
    fn each_route_tenant_and_name_has_buckets_of_its_own() {
        let rate = Rate::new(1, Duration::from_secs(1)).ok();
        let rates = RouteRates { address: rate, identity: rate, tenant: rate };
        let mut keys = HashSet::new();
        for route in Route::ALL {
            for (tenant, name) in [("a", "x"), ("b", "x"), ("a", "y"), ("ax", "")] {
                let who = Who { tenant, address: Some(name), identity: Some(name) };
                keys.extend(buckets(route, &rates, &who).into_iter().map(|bucket| bucket.key));
            }
        }
        // Of each route: address and identity of four, and three tenants.
        assert_eq!(keys.len(), 4 * (4 + 4 + 3));
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
    }

    #[test]
    fn who_has_no_name_has_no_bucket() {
        let rate = Rate::new(1, Duration::from_secs(1)).ok();
        let who = Who { tenant: "a", address: None, identity: None };
        let rates = RouteRates { address: rate, identity: rate, tenant: None };
        assert!(buckets(Route::Sign, &rates, &who).is_empty());
    }
}
