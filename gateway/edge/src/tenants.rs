//! The tenants of the settings, by their domains.

use crate::identify::Tokens;
use crate::tenant::{Tenant, TenantError};
use config::gateway::{self, Domain};
use foldhash::{HashMap, HashMapExt};
use std::sync::Arc;

/// Every tenant of the settings. Immutable: a change of settings makes a new one.
pub(crate) struct Tenants {
    exact: HashMap<String, Arc<Tenant>>,
    below: HashMap<String, Arc<Tenant>>,
    any: Option<Arc<Tenant>>,
    by_id: Vec<Arc<Tenant>>,
}

impl Tenants {
    pub(crate) fn new(settings: &[gateway::Tenant]) -> Result<Self, TenantError> {
        let mut tenants = Self { exact: HashMap::new(), below: HashMap::new(), any: None, by_id: Vec::new() };
        for settings in settings {
            let tenant = Arc::new(Tenant::new(settings)?);
            for domain in &settings.domains {
                match domain {
                    Domain::Exact(name) => drop(tenants.exact.insert(name.clone(), tenant.clone())),
                    Domain::Subdomains(parent) => drop(tenants.below.insert(parent.clone(), tenant.clone())),
                    Domain::Any => tenants.any = Some(tenant.clone()),
                }
            }
            tenants.by_id.push(tenant);
        }
        Ok(tenants)
    }

    /// The tenant with this id, or the only one there is.
    pub(crate) fn by_id(&self, id: Option<&str>) -> Option<&Arc<Tenant>> {
        match id {
            Some(id) => self.by_id.iter().find(|tenant| &*tenant.id == id),
            None => self.by_id.first().filter(|_| self.by_id.len() == 1),
        }
    }

    /// The tenant that names the host: an exact name beats the longest `*.parent`.
    pub(crate) fn naming(&self, host: &str) -> Option<&Arc<Tenant>> {
        let parents = host.match_indices('.').filter_map(|(dot, _)| self.below.get(host.get(dot + 1..)?));
        self.exact.get(host).or_else(|| parents.into_iter().next())
    }

    /// Every host that a tenant has by its full name.
    pub(crate) fn names(&self) -> Vec<String> {
        self.exact.keys().cloned().collect()
    }

    /// Whether a tenant has the host by its full name.
    pub(crate) fn has(&self, host: &str) -> bool {
        self.exact.contains_key(host)
    }

    /// The tenant of all hosts that nobody names.
    pub(crate) fn of_the_rest(&self) -> Option<&Arc<Tenant>> {
        self.any.as_ref()
    }

    /// Goes on with what tenants of other settings learnt from their issuers.
    pub(crate) fn adopt(&self, before: &Self) {
        for tenant in &self.by_id {
            if let Some(tokens) = &tenant.tokens
                && let Some(known) = before.by_id(Some(&tenant.id)).and_then(|known| known.tokens.as_ref())
            {
                tokens.adopt(known);
            }
        }
    }

    /// Has their issuers asked soon: somebody wants them to be.
    pub(crate) fn look_again(&self) {
        self.by_id.iter().filter_map(|tenant| tenant.tokens.as_ref()).for_each(Tokens::look_again);
    }

    /// Those that other settings still have: what serves while plugins change.
    pub(crate) fn also_in(&self, other: &Self) -> Self {
        let stays = |tenant: &Arc<Tenant>| other.by_id(Some(&tenant.id)).is_some();
        let kept = |map: &HashMap<String, Arc<Tenant>>| {
            map.iter()
                .filter(|(_, tenant)| stays(tenant))
                .map(|(name, tenant)| (name.clone(), tenant.clone()))
                .collect()
        };
        Self {
            exact: kept(&self.exact),
            below: kept(&self.below),
            any: self.any.clone().filter(stays),
            by_id: self.by_id.iter().filter(|tenant| stays(tenant)).cloned().collect(),
        }
    }

    /// Every tenant, in the order of the settings.
    pub(crate) fn all(&self) -> &[Arc<Tenant>] {
        &self.by_id
    }
}

#[cfg(test)]
mod tests {
    use super::Tenants;
    use config::GatewaySettings;

    #[test]
    fn the_closest_domain_wins() {
        let text = r#"
            hive = { address = "unix:/x", token = "t" }
            [[tenant]]
            id = "a"
            domains = ["films.example.com", "*.a.example.com"]
            channels = [-1001]
            link.secrets = [{ id = "1", secret = "s" }]
            [[tenant]]
            id = "b"
            domains = ["*.example.com"]
            channels = [-1002]
            link.secrets = [{ id = "1", secret = "s" }]
        "#;
        let loaded = config::parse::<GatewaySettings>(text, std::path::Path::new("test")).unwrap();
        let tenants = Tenants::new(&loaded.settings.tenant).unwrap();
        for (host, id) in [
            ("films.example.com", Some("a")),
            ("x.y.a.example.com", Some("a")),
            ("a.example.com", Some("b")),
            ("other.example.com", Some("b")),
            ("example.com", None),
            ("evil-example.com", None),
            ("com", None),
        ] {
            assert_eq!(tenants.naming(host).map(|t| &*t.id), id, "{host}");
        }
        assert!(tenants.of_the_rest().is_none());
        assert!(tenants.by_id(None).is_none(), "with two tenants one must be named");
        let b = tenants.by_id(Some("b")).unwrap();
        assert!(b.may_serve(-1002, false) && !b.may_serve(-1001, true));
    }
}
